"""What training need not wait for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

__all__ = ["Background"]


class Background:
    """A thread that does one thing after the other, in the order in which they are given."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None

    def submit(self, function: Callable[..., object], *arguments: object) -> None:
        """Have a function called, which must not raise; at once where the system allows no thread more."""
        self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="yolo-callbacks")
        try:
            self._thread.submit(function, *arguments)
        except RuntimeError:
            function(*arguments)

    def wait(self) -> None:
        """Return when all is done."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
