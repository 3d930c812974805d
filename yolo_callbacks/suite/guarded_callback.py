"""A callback in a suite: every call of it is timed, and what it raises is logged and kept from the training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.utils.files import LOGGER, plain
from yolo_callbacks.utils.origins import Origins, origins_of
from yolo_callbacks.utils.redaction import clean_text

__all__ = ["CallbackError", "GuardedCallback", "log_error", "shown_error"]

_MAX_FAILURES = 3

T = TypeVar("T")


class CallbackError(RuntimeError):
    """An error of a callback whose own text is not shown: it may hold a value of the environment."""


def log_error(message: str, error: BaseException, origins: Origins) -> None:
    """Log an exception with its traceback; without its text where that may hold a value of the environment."""
    if origins.variables:
        LOGGER.error(f"{message}\n{origins.trace(error)}")
    else:
        LOGGER.error(message, exc_info=error)


def shown_error(who: str, error: Exception, origins: Origins) -> Exception:
    """Return an exception as it may be raised out of the training: another one where its text must not be shown."""
    if not origins.variables or isinstance(error, CallbackError):
        return error
    shown = CallbackError(f"{who}: {origins.text(error)}").with_traceback(error.__traceback__)
    shown.__suppress_context__ = True  # it would show the text after all
    return shown


class GuardedCallback:
    """A callback, and what a suite knows of it.

    Args:
        callback: The callback.
        key: The name of its state.

    Attributes:
        seconds: What its calls took in this run.
        failures: How many of them raised.
        off: Whether it was switched off for this run, after three failures in a row of the same method.
        missed: The event that the callback needs and was attached too late for; it does nothing in this run. Else "".
        error: The first exception since `take_error`.
    """

    def __init__(self, callback: Callback, key: str) -> None:
        self.callback, self.key = callback, key
        self.restart()

    @property
    def origins(self) -> Origins:
        """Where the arguments of the callback came from."""
        return origins_of(self.callback)

    @property
    def label(self) -> str:
        """The key, for messages; the name of the class where the key may hold a value of the environment."""
        return self.name if self.origins.variables else self.key

    @property
    def name(self) -> str:
        """The name of its class."""
        return type(self.callback).__name__

    def restart(self) -> None:
        """Forget the last run."""
        self.seconds, self.failures, self.off, self.missed = 0.0, 0, False, ""
        self.error: Exception | None = None
        self._in_a_row: dict[str, int] = {}

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the callback; None if it raises."""
        return self.guard(method, lambda: getattr(self.callback, method)(*arguments), None)

    def guard(
        self, what: str, function: Callable[[], T], default: T, *, passing: tuple[type[Exception], ...] = ()
    ) -> T:
        """Call a function on behalf of the callback; `default` if it raises, unless that is for the user to see."""
        started = perf_counter()
        try:
            result = function()
        except Exception as error:
            if isinstance(error, passing):
                self.error = error
                raise
            self._failed(what, error)
            return default
        finally:
            self.seconds += perf_counter() - started
        if self._in_a_row:
            self._in_a_row.pop(what, None)
        return result

    def take_error(self) -> Exception | None:
        """The first exception since the last call of this."""
        error, self.error = self.error, None
        return error

    def shown(self, error: Exception) -> Exception:
        """Return an exception of the callback as it may be raised out of the training."""
        return shown_error(self.name, error, self.origins)

    def state(self) -> dict[str, Any]:
        """Its state; an empty one if it has none that JSON can hold."""
        return self.guard("state_dict", lambda: plain(self.callback.state_dict()), {})

    def written_files(self) -> list[Path]:
        """The files that it has written and keeps; none if it fails to say so."""
        return self.guard("written_files", lambda: [Path(path) for path in self.callback.written_files()], [])

    def told(self) -> dict[str, Any]:
        """Its row of the table at the end."""
        outcome = f"nothing: attached too late, it missed {self.missed}" if self.missed else self.call("outcome")
        return {
            "name": self.name,
            "outcome": None if outcome is None else clean_text(str(outcome)),
            "seconds": self.seconds,
            "failures": self.failures,
            "switched_off": self.off,
        }

    def _failed(self, what: str, error: Exception) -> None:
        self.error = self.error or error
        self.failures += 1
        self._in_a_row[what] = self._in_a_row.get(what, 0) + 1
        if self.failures == 1:  # the traceback once
            log_error(f"{self.name} failed in {what}", error, self.origins)
        if self._in_a_row[what] >= _MAX_FAILURES and not self.off:
            self.off = True
            LOGGER.error(f"{self.name} failed {_MAX_FAILURES} times in a row in {what}: switched off for this run")
