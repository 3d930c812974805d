"""Finish the open W&B runs when the interpreter exits, and kill a wandb process that is frozen."""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Mapping
from typing import Any, Protocol

from yolo_callbacks.loggers.wandb_parts import open_runs
from yolo_callbacks.loggers.wandb_parts.service import kill_service

__all__ = ["Closable", "add", "add_abandoned", "kill_service_if_unused", "remove", "run_before_wandb"]


class Closable(Protocol):
    """A session that is open."""

    def close(self, uploads: Mapping[str, Any], *, failed: bool) -> None:
        """Upload, and finish the run."""


_sessions: list[Closable] = []  # of this process, or of the one that it was forked from
_abandoned: list[threading.Thread] = []


def add(session: Closable) -> None:
    """Close a session at the exit, unless `remove` is called before."""
    _sessions.append(session)


def remove(session: Closable) -> None:
    """Leave a session alone at the exit."""
    _sessions[:] = [other for other in _sessions if other is not session]


def add_abandoned(thread: threading.Thread) -> None:
    """Kill wandb's process at the exit if a thread waits for it even then."""
    _abandoned.append(thread)


def kill_service_if_unused(run: Any) -> None:
    """Kill wandb's process, unless this process has another run open than the given one."""
    if not open_runs.others_are_open(run):
        kill_service()


def run_before_wandb() -> None:
    """Run at the exit before what wandb registers in `wandb.init`: Python calls what was registered last first."""
    atexit.unregister(_at_exit)
    atexit.register(_at_exit)


def _at_exit() -> None:
    for session in list(_sessions):
        session.close({}, failed=getattr(sys, "last_value", None) is not None)
    if any(thread.is_alive() for thread in _abandoned):
        killing = threading.Thread(target=kill_service, daemon=True)
        killing.start()
        killing.join(2)
