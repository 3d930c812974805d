"""End the MLflow runs that are still open when the interpreter exits."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from typing import Any, Protocol

__all__ = ["Closable", "add", "remove"]


class Closable(Protocol):
    """A session that is open."""

    def close(self, uploads: Sequence[Any], status: str) -> None:
        """End the run."""


_sessions: list[Closable] = []


def add(session: Closable) -> None:
    """End the run of a session as failed at the exit, unless `remove` is called before."""
    _sessions.append(session)


def remove(session: Closable) -> None:
    """Leave a session alone at the exit."""
    _sessions[:] = [other for other in _sessions if other is not session]


def _at_exit() -> None:
    for session in list(_sessions):
        session.close((), "FAILED")


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):  # the runs of a parent are not those of its forks
    os.register_at_fork(after_in_child=_sessions.clear)
