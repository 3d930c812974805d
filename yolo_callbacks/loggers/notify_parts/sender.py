"""Send messages in a thread, with bounds: training never waits for a service."""

from __future__ import annotations

import atexit
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from yolo_callbacks.loggers.notify_parts.services import QUIET_THREAD
from yolo_callbacks.utils.files import LOGGER

__all__ = ["Message", "Sender"]

_DELAYS = (2.0, 8.0)  # before each further attempt


@cache
def _exit_began() -> float:
    """Return when the exit of the process has called this for the first time: all senders wait at the same time."""
    return time.monotonic()


@dataclass(frozen=True)
class Message:
    """A message.

    Attributes:
        kind: The event.
        title: The first line.
        text: The rest.
        urgent: Whether it is sent at once, however short ago the last one was.
    """

    kind: str
    title: str
    text: str
    urgent: bool = False


class Sender:
    """Send messages one after the other, until `close` and the last one is sent.

    One message of a kind can wait: a newer one replaces it. The thread does not keep the process alive, but the process
    waits for the last messages when it exits, at most `finish_timeout` seconds.

    Args:
        services: Functions that send a title and a text, and return why that failed, `""` where it worked. They must
            not raise, and what they return must hold no secret.
        every: The least seconds between two messages that are not urgent.
        finish_timeout: How many seconds the exit of the process waits at most.
        idle: Returns a message where the training makes no progress, else None; called about once a second.
        to: The names of the services for warnings. Defaults to `"the service"`.

    Attributes:
        sent: How many messages were sent.
        failed: How many could not be sent.
    """

    def __init__(
        self,
        services: Sequence[Callable[[str, str], str]],
        *,
        every: float,
        finish_timeout: float,
        idle: Callable[[], Message | None] = lambda: None,
        to: str = "the service",
    ) -> None:
        self._to, self._reason, self._warned = to, "", ""
        self._in_flight: Message | None = None
        self._services, self._every, self._finish_timeout, self._idle = services, every, finish_timeout, idle
        self._changed = threading.Condition()
        self._waiting: dict[str, Message] = {}
        self._closed, self._closes_at = False, math.inf
        self._last: float | None = None
        self.sent = self.failed = 0
        self._start()

    def submit(self, message: Message) -> None:
        """Send a message later."""
        with self._changed:
            self._waiting[message.kind] = message
            if self._ended:  # `close_in` has ended it: a report or an upload may take longer than that
                self._closes_at = math.inf
                self._start()
            self._changed.notify_all()

    def close(self) -> None:
        """Send what waits, and end the thread then. Return at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread.is_alive():
            atexit.register(self._join)

    def close_in(self, seconds: float) -> None:
        """End the thread after some seconds, unless it is closed before."""
        self._closes_at = time.monotonic() + seconds

    def wait(self, seconds: float) -> bool:
        """Return whether the thread has ended before the seconds have passed."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _start(self) -> None:
        self._ended = False
        self._thread = threading.Thread(target=self._work, name=QUIET_THREAD, daemon=True)
        self._thread.start()

    def _join(self) -> None:
        if self.wait(max(_exit_began() + self._finish_timeout - time.monotonic(), 0.0)):
            return
        with self._changed:
            unsent = self._in_flight or next(iter(self._waiting.values()), None)
        if unsent is not None:
            reason = self._reason or "no answer yet"
            self._warn(unsent, f"{reason}; the process ends, after finish_timeout={self._finish_timeout:g} s")

    def _work(self) -> None:
        while (message := self._next()) is not None:
            delivered = self._deliver(message)
            with self._changed:
                self._last, self._in_flight = time.monotonic(), None
                self.sent, self.failed = self.sent + delivered, self.failed + (not delivered)
            if not delivered and (message.urgent or self._reason != self._warned):  # once where a service stays away
                self._warned = self._reason
                self._warn(message, self._reason)
        atexit.unregister(self._join)

    def _warn(self, message: Message, reason: str) -> None:
        LOGGER.warning(f"Notify: the message about {message.kind!r} could not be sent to {self._to}: {reason}")

    def _next(self) -> Message | None:
        """Return the next message when it is time for it; None at the end."""
        with self._changed:
            while True:
                if self._waiting and self._may_send():
                    self._in_flight, self._reason = self._waiting.pop(next(iter(self._waiting))), ""
                    return self._in_flight
                if self._closed or time.monotonic() >= self._closes_at:
                    self._ended = True
                    return None
                self._changed.wait(1.0)
                if (idle := self._idle()) is not None:
                    self._waiting[idle.kind] = idle

    def _may_send(self) -> bool:
        if self._closed or self._last is None or any(message.urgent for message in self._waiting.values()):
            return True  # what came before an urgent one is sent before it
        return time.monotonic() - self._last >= self._every

    def _deliver(self, message: Message) -> bool:
        """Send a message, again to those services only that have not taken it; return whether all have."""
        missing = self._services
        for delay in (*_DELAYS, None):
            refused = [(send, reason) for send in missing if (reason := send(message.title, message.text))]
            missing = [send for send, _ in refused]
            self._reason = ", ".join(dict.fromkeys(reason for _, reason in refused))
            if not missing:
                return True
            if delay is None or (self._closed and not message.urgent):
                return False
            time.sleep(delay)
        return False
