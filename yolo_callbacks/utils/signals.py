"""Handle signals in a training: Ctrl-C and SIGTERM raise, others are noted, and none interrupts a write of a file."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

from yolo_callbacks.utils.control_flow import StoppedByAgent, is_trial_of_sweep

__all__ = ["SignalWatch", "Terminated", "deferred", "raise_on_sigterm", "restore_child_handler"]

# The handlers of SIGCHLD that `_terminate` has replaced.
_replaced: list[Any] = []


class Terminated(SystemExit):
    """A signal that ends the process, for example from a scheduler that needs the machine.

    Args:
        number: The signal. The exit code is that of a shell, 128 more.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    @property
    def signal_name(self) -> str:
        """The name of the signal."""
        return signal.Signals(self.number).name


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


class SignalWatch:
    """Note signals, in place of what they do by default. A handler of other code stays.

    Args:
        names: The names of the signals, such as `"SIGTERM"`.

    Attributes:
        received: The time at which each signal came first, as `time.monotonic()`, by its name; the first one first.
        foreign: The names of the signals that are left to a handler of other code.
        missing: The names of the signals that this system does not have.
        active: Whether the signals are watched. They are not outside the main thread, where Python runs no handler.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.received: dict[str, float] = {}
        self.foreign: list[str] = []
        self.missing = [name for name in names if not hasattr(signal, name)]
        self.active = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> SignalWatch:
        if not _in_main_thread():
            return self
        self.active, self.foreign = True, []
        for name in self.names:
            if name in self.missing:
                continue
            number = getattr(signal, name)
            handler = signal.getsignal(number)
            if number == signal.SIGTERM and is_trial_of_sweep():  # by which the agent stops a trial for good
                self.foreign.append(name)
                continue
            # SIG_IGN is inherited from a shell script that has said `trap '' USR1`, so that it survives the signal.
            if handler in (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler, _terminate):
                self._before[number] = handler
                signal.signal(number, self._note)
            else:  # None is a handler that was not set from Python, as by `faulthandler.register`
                self.foreign.append(name)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._note:
                signal.signal(number, handler)
        self._before.clear()
        self.active = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        # Only that: a handler runs between any two lines, so it must not log.
        if number == signal.SIGTERM:
            _ignore_ends_of_children()
        self.received.setdefault(signal.Signals(number).name, time.monotonic())


def restore_child_handler() -> None:
    """Restore the handler of SIGCHLD that a SIGTERM has replaced."""
    while _replaced:
        handler = _replaced.pop()
        if signal.getsignal(signal.SIGCHLD) is _ignore_child:
            signal.signal(signal.SIGCHLD, handler)


def _terminate(number: int, frame: FrameType | None) -> None:
    _ignore_ends_of_children()
    # The agent of a sweep that runs commands stops a trial by this signal. It counts any exit code but 0 as a failed
    # trial, and gives up after three of them (wandb 0.31.0).
    raise StoppedByAgent(0) if is_trial_of_sweep() else Terminated(number)


def _ignore_ends_of_children() -> None:
    """Let the end of a worker of a loader raise nothing.

    Schedulers and `timeout` send SIGTERM to the workers of a loader too. The handler of torch raises where a worker
    ends, at any place of the main thread: also where the training is being closed.
    """
    if not hasattr(signal, "SIGCHLD"):
        return
    handler = signal.getsignal(signal.SIGCHLD)
    if callable(handler) and handler is not _ignore_child:
        _replaced.append(handler)
        signal.signal(signal.SIGCHLD, _ignore_child)


def _ignore_child(number: int, frame: FrameType | None) -> None:
    """Do nothing: a worker has ended, as this process will."""


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
