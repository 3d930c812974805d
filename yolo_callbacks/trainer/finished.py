"""Remember finished trainers, and free what they hold when another training needs the memory."""

from __future__ import annotations

import contextlib
import threading
import weakref
from typing import Any

from yolo_callbacks.trainer.teardown import release

__all__ = ["add", "any_left", "discard", "release_all"]

# Weak references: Python itself frees a trainer to which nothing refers any more.
_finished: list[weakref.ref[Any]] = []
_lock = threading.Lock()  # trainings may end and start in several threads


def add(trainer: Any) -> None:
    """Remember a trainer whose training is over. A trainer that still trains must never be added."""
    with _lock:
        _finished.append(weakref.ref(trainer))


def discard(trainer: Any) -> None:
    """Forget a trainer that trains again."""
    with _lock:
        _finished[:] = [reference for reference in _finished if reference() not in (None, trainer)]


def any_left() -> bool:
    """Return whether a finished trainer still exists."""
    return any(reference() is not None for reference in _finished)


def release_all() -> list[Any]:
    """Free what the finished trainers hold; return the devices on which they trained, each once."""
    with _lock:
        trainers = [trainer for reference in _finished if (trainer := reference()) is not None]
        _finished.clear()
    devices: list[Any] = []
    for trainer in trainers:
        with contextlib.suppress(Exception):  # a trainer of any class, in any state
            release(trainer)
        device = getattr(trainer, "device", None)
        if device is not None and device not in devices:
            devices.append(device)
    return devices
