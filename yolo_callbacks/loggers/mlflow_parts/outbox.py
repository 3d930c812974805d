"""Keep what waits for MLflow, in the order of the training."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from yolo_callbacks.loggers.mlflow_parts.opened_run import OpenedRun

__all__ = ["Outbox", "Task"]

_FIRST_PAUSE, _LONGEST_PAUSE, _LAST_PAUSE = 1.0, 30.0, 0.25  # seconds before what has failed is tried again
_MOST_TASKS = 10_000


class Task(NamedTuple):
    """Something to send."""

    what: str
    """Names it in messages."""
    send: Callable[[OpenedRun], object]
    epoch: int | None = None
    """The epoch of a row."""
    lasts: bool = True
    """Whether it is tried again until it has arrived; else it is dropped at the first error."""


class Outbox:
    """A queue for one thread that sends, whose head stays until it is sent or given up."""

    def __init__(self) -> None:
        self._tasks: deque[Task] = deque()
        self._changed = threading.Condition()
        self._not_before = 0.0
        self._pause = 0.0
        self._deadline: float | None = None  # once it is closed

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt has failed."""
        return self._pause > 0

    def put(self, task: Task) -> bool:
        """Add a task; False if it was not, since too many wait."""
        with self._changed:
            if len(self._tasks) >= _MOST_TASKS:
                return False
            self._tasks.append(task)
            self._changed.notify_all()
            return True

    def waiting(self, what: str) -> int:
        """Return how many tasks of a name wait."""
        with self._changed:
            return sum(task.what == what for task in self._tasks)

    def close(self, seconds: float) -> None:
        """Let `next` return None when nothing is left, or when some seconds have passed."""
        with self._changed:
            self._deadline = time.monotonic() + seconds
            self._not_before = self._pause = 0.0
            self._changed.notify_all()

    def next(self) -> Task | None:
        """Return the task to try now; wait for one, and for the end of a pause. None at the end."""
        with self._changed:
            while True:
                now = time.monotonic()
                if self._deadline is not None and (not self._tasks or now >= self._deadline):
                    return None
                if self._tasks and now >= self._not_before:
                    return self._tasks[0]
                until = min(self._not_before if self._tasks else math.inf, self._deadline or math.inf)
                self._changed.wait(None if until == math.inf else max(until - now, 0.0))

    def remove(self, task: Task) -> None:
        """Remove a task that is sent or given up."""
        with self._changed:
            if self._tasks and self._tasks[0] is task:
                self._tasks.popleft()
            self._pause = 0.0

    def delay(self) -> None:
        """Wait before the next attempt, longer after each failure."""
        with self._changed:
            if self._deadline is not None:
                self._pause = _LAST_PAUSE
            else:
                self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
            self._not_before = time.monotonic() + self._pause

    def left(self) -> list[Task]:
        """Return what still waits."""
        with self._changed:
            return list(self._tasks)
