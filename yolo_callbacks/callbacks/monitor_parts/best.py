"""Find the best epoch of a run, by the first callback that has one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from yolo_callbacks.callbacks.monitor_callback import MonitorCallback

__all__ = ["Best", "best_of"]


class Best(NamedTuple):
    """The best epoch of a run.

    Attributes:
        monitor: What it is the best by, in words.
        value: The value.
        epoch: The epoch, counted from 1.
    """

    monitor: str
    value: float
    epoch: int


def best_of(callbacks: Iterable[object]) -> Best | None:
    """Return the best epoch by the first callback with a monitor that has one; None where there is none."""
    for callback in callbacks:
        found: Any = callback
        score = getattr(callback, "best_score", None)
        if isinstance(callback, MonitorCallback) and isinstance(score, (int, float)) and found.best_epoch:
            return Best(callback.shown_words, float(score), int(found.best_epoch))
    return None
