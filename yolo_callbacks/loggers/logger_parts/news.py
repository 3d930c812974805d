"""Collect messages about the run of a service on any thread, and print them on the training thread between epochs."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from yolo_callbacks.utils.files import LOGGER

__all__ = ["News"]


class News:
    """Collect messages until the training thread prints them: a line must not come in the middle of a progress bar.

    Args:
        describe: Returns the text of an error without arguments that no message may show.
        service: The name of the service, with which each message begins. Defaults to `"W&B"`.
    """

    def __init__(self, describe: Callable[[BaseException], str], service: str = "W&B") -> None:
        self.describe, self._service = describe, service
        self._messages: deque[tuple[int, str]] = deque()
        self._warned: set[tuple[type, int | None]] = set()

    def info(self, text: str) -> None:
        """Add a message."""
        self._messages.append((logging.INFO, f"{self._service}: {text}"))

    def warning(self, text: str) -> None:
        """Add a warning."""
        self._messages.append((logging.WARNING, f"{self._service}: {text}"))

    def warn_of(self, error: BaseException, what: str) -> None:
        """Add a warning of an error, once for each kind of error: a full disk fails every call.

        Args:
            error: The error.
            what: What failed, such as `"the run could not be opened"`.
        """
        kind = type(error), getattr(error, "errno", None)
        if kind not in self._warned:
            self._warned.add(kind)
            self.warning(f"{what}: {self.describe(error)}")

    def print(self) -> None:
        """Print the messages and forget them."""
        while self._messages:
            LOGGER.log(*self._messages.popleft())
