"""Run functions in a background thread, so that training does not wait for them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

__all__ = ["Background"]


class Background:
    """A thread that calls functions one after the other, in the order in which they were submitted."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None

    def submit(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function in the thread. The function must not raise.

        If the system allows no further thread, call the function at once.
        """
        self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="yolo-callbacks")
        try:
            self._thread.submit(function, *arguments)
        except RuntimeError:
            function(*arguments)

    def wait(self) -> None:
        """Wait until all submitted functions have returned."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
