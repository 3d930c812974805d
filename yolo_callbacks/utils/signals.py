"""Handle Ctrl-C and SIGTERM in a training: both raise, and neither interrupts the write of a file."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from yolo_callbacks.utils.control_flow import StoppedByAgent, is_trial_of_sweep

__all__ = ["Terminated", "deferred", "raise_on_sigterm", "restore_child_handler"]

# The handlers of SIGCHLD that `_terminate` has replaced.
_replaced: list[Any] = []


class Terminated(SystemExit):
    """A SIGTERM, for example from a scheduler that needs the machine."""


@contextlib.contextmanager
def raise_on_sigterm() -> Iterator[None]:
    """Make SIGTERM raise `Terminated` with the usual exit code 143; by default it kills without any clean-up.

    In a trial of a W&B sweep it raises `StoppedByAgent` instead.

    It does so only if no other handler is set, and only in the main thread, where Python runs handlers.
    """
    if not _in_main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is _terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Delay the first Ctrl-C or SIGTERM until the end of the block; a second one takes effect at once."""
    if not _in_main_thread():
        yield
        return
    handlers: dict[int, Any] = {}
    waiting: list[tuple[int, FrameType | None]] = []

    def wait(number: int, frame: FrameType | None) -> None:
        if waiting:
            handlers[number](number, frame)
        waiting.append((number, frame))

    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        if callable(handler):  # not SIG_IGN, SIG_DFL, or a handler set outside Python
            handlers[number] = handler
            signal.signal(number, wait)
    try:
        yield
    finally:
        for caught, handler in handlers.items():
            signal.signal(caught, handler)
        for caught, frame in waiting:
            handlers[caught](caught, frame)


def restore_child_handler() -> None:
    """Restore the handler of SIGCHLD that a SIGTERM has replaced."""
    while _replaced:
        handler = _replaced.pop()
        if signal.getsignal(signal.SIGCHLD) is _ignore_child:
            signal.signal(signal.SIGCHLD, handler)


def _terminate(number: int, frame: FrameType | None) -> None:
    # Schedulers and `timeout` send SIGTERM to the workers of a loader too. The handler of torch raises where a worker
    # ends, at any place of the main thread: also where the training is being closed.
    if hasattr(signal, "SIGCHLD") and callable(handler := signal.getsignal(signal.SIGCHLD)):
        _replaced.append(handler)
        signal.signal(signal.SIGCHLD, _ignore_child)
    # The agent of a sweep that runs commands stops a trial by this signal. It counts any exit code but 0 as a failed
    # trial, and gives up after three of them (wandb 0.31.0).
    raise StoppedByAgent(0) if is_trial_of_sweep() else Terminated(128 + number)


def _ignore_child(number: int, frame: FrameType | None) -> None:
    """Do nothing: a worker has ended, as this process will."""


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
