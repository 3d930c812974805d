"""Call one callback of a suite: measure the time of each call, and keep its exceptions away from the training."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.callbacks.monitor_callback import MonitorCallback
from yolo_callbacks.suite.clock import EpochShare
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.control_flow import is_control_flow
from yolo_callbacks.utils.files import LOGGER, plain
from yolo_callbacks.utils.messages import one_line
from yolo_callbacks.utils.origins import Origins, origins_of
from yolo_callbacks.utils.redaction import clean_text

__all__ = ["MISTAKES", "CallbackError", "GuardedCallback", "log_error", "shown_error"]

MISTAKES = (ValueError, TypeError, ImportError)
"""The exceptions by which a callback says that the user has given it wrong arguments."""

_MAX_FAILURES = 3
_MOST = 200  # characters of an error in the table
# The suite asks for these: where they fail the callback can do its work nevertheless.
_OF_THE_SUITE = ("state_dict", "written_files")
_AFTER_TRAINING = ("outcome", "teardown", "finalize", "on_run_end")


class CallbackError(RuntimeError):
    """An exception of a callback, without its text, which may hold a value of the environment."""


def log_error(message: str, error: BaseException, origins: Origins) -> None:
    """Log an exception with its traceback; without its text where that may hold a value of the environment."""
    if origins.variables:
        LOGGER.error(f"{message}\n{origins.trace(error)}")
    else:
        LOGGER.error(message, exc_info=error)


def shown_error(who: str, error: Exception, origins: Origins) -> Exception:
    """Return an exception as it may be raised out of the training.

    Where the text may hold a value of the environment, that is a `CallbackError` without the text.
    """
    if not origins.variables or isinstance(error, CallbackError):
        return error
    shown = CallbackError(f"{who}: {origins.text(error)}").with_traceback(error.__traceback__)
    shown.__suppress_context__ = True  # Python would print the text of the context
    return shown


class GuardedCallback:
    """A callback, and what a suite knows about it in one run.

    Args:
        callback: The callback.
        key: The name under which its state is stored.
        events: The events that it listens to.
        of_report: Whether `report=True` added it, and not the user. Defaults to `False`.

    Attributes:
        seconds: How long its calls took.
        failures: How many of its calls raised an exception.
        off: Whether it is switched off for this run: the same method raised three times in a row.
        missed: The event that the callback needs and was attached too late for, else "". It does nothing in this run.
        error: The first exception since `take_error`.
        leaving: The exception by which a call leaves the training on purpose; it is raised after the event.
        epoch_share: How much of `seconds` was spent in epochs.
        strict: Whether an exception of the callback ends the training.
    """

    def __init__(
        self, callback: Callback, key: str, events: frozenset[str] = frozenset(), *, of_report: bool = False
    ) -> None:
        self.callback, self.key, self.events, self.of_report = callback, key, events, of_report
        self.seconds, self.failures, self.off, self.missed = 0.0, 0, False, ""
        self.epoch_share, self.strict = EpochShare(), False
        self.error: Exception | None = None
        self.leaving: Exception | None = None
        self._last_error: Exception | None = None
        self._logged: set[tuple[str, type[Exception], str, int]] = set()
        self._failures_in_a_row: dict[str, int] = {}

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

    def overrides(self, method: str) -> bool:
        """Return whether the class of the callback has a method of its own."""
        return getattr(type(self.callback), method) is not getattr(Callback, method)

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the callback; return None if it raises."""
        with _Guard(self, method):
            return getattr(self.callback, method)(*arguments)
        return None

    def validate(self, run: TrainingRun) -> bool:
        """Validate the arguments against the run; return whether all of them are validated.

        Raises:
            ValueError, TypeError, ImportError: If the user has given a wrong argument.
        """
        with _Guard(self, "validate", passing=MISTAKES):
            return self.callback.validate(run) is not False
        return True

    def state(self) -> dict[str, Any]:
        """Return its state; an empty one if it has none that JSON can hold."""
        with _Guard(self, "state_dict"):
            state: dict[str, Any] = plain(self.callback.state_dict())
            return state
        return {}

    def written_files(self) -> list[Path]:
        """Return the files that it has written and keeps; none if it fails to list them."""
        with _Guard(self, "written_files"):
            return [Path(path) for path in self.callback.written_files()]
        return []

    def take_error(self) -> Exception | None:
        """Return the first exception since the last call of this, and forget it."""
        error, self.error = self.error, None
        return error

    def shown(self, error: Exception) -> Exception:
        """Return an exception of the callback as it may be raised out of the training."""
        return shown_error(self.name, error, self.origins)

    def title(self) -> str:
        """Return its class, and its monitor in words, for the line at the start."""
        if not self.events and not self.overrides("on_run_end"):
            hint = "; decide is called in a MonitorCallback only" if hasattr(self.callback, "decide") else ""
            return f"{self.name} (it overrides no event, and does nothing{hint})"
        chosen = f" in epochs {self.callback.epoch_filter.text}" if self.callback.epoch_filter else ""
        if not isinstance(self.callback, MonitorCallback):
            return f"{self.name}{chosen}"
        return f"{self.name} by {self.callback.shown_words}{chosen}"

    def summary_row(self) -> dict[str, Any]:
        """Return its row of the summary."""
        outcome = f"nothing: attached too late, it missed {self.missed}" if self.missed else self.call("outcome")
        return {
            "name": self.name,
            "outcome": None if outcome is None else clean_text(str(outcome)),
            "seconds": self.seconds,
            "seconds_in_epochs": self.epoch_share.seconds,
            "failures": self.failures,
            "switched_off": self.off,
            "error": one_line(clean_text(self.origins.described(self._last_error)))[:_MOST] if self._last_error else "",
            "of_report": self.of_report,
        }

    def note_success(self, what: str) -> None:
        """Note that a call did not raise."""
        self._failures_in_a_row.pop(what, None)

    def note_failure(self, what: str, error: Exception) -> None:
        """Log that a call raised, once a run for each line of code; the third time in a row, switch the callback off.

        Args:
            what: The name of the method.
            error: The exception.
        """
        self.error, self._last_error = self.error or error, error
        self.failures += 1
        self._failures_in_a_row[what] = self._failures_in_a_row.get(what, 0) + 1
        goes_on = "" if self.strict or what in _AFTER_TRAINING else ", training goes on"
        if (place := (what, type(error), *_line_of(error))) not in self._logged:
            self._logged.add(place)
            lost = ": its state is not stored" if what == "state_dict" else ""
            log_error(f"{self.name} failed in {_method_of(error, what)}{lost}{goes_on}", error, self.origins)
        if self._failures_in_a_row[what] >= _MAX_FAILURES and not self.off and what not in _OF_THE_SUITE:
            self.off = True
            times = f"failed {_MAX_FAILURES} times in a row in {_method_of(error, what)}"
            LOGGER.error(f"{self.name} {times}: switched off for this run{goes_on}")


def _line_of(error: Exception) -> tuple[str, int]:
    """Return the file and the line that raised an exception."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace else ("", 0)


def _method_of(error: Exception, called: str) -> str:
    """Return the method that a user has written: `on_fit_epoch_end` of `Callback` calls two others."""
    trace = error.__traceback__
    while called == "on_fit_epoch_end" and trace is not None:
        if (name := trace.tb_frame.f_code.co_name) in ("on_epoch", "on_final_evaluation"):
            return name
        trace = trace.tb_next
    return called


class _Guard:
    """Measure the time of a block, and keep its exceptions away from the training.

    A context manager rather than a function that calls another one: a traceback has fewer lines.

    Args:
        member: The callback that the block calls.
        what: The name of the method.
        passing: The exceptions that the block raises nevertheless.
    """

    def __init__(self, member: GuardedCallback, what: str, *, passing: tuple[type[Exception], ...] = ()) -> None:
        self._member, self._what, self._passing = member, what, passing

    def __enter__(self) -> None:
        self._started = perf_counter()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Return whether the exception is kept away: not one of `passing`, nor one that is no `Exception`."""
        member = self._member
        member.seconds += perf_counter() - self._started
        if error is None:
            member.note_success(self._what)
        elif isinstance(error, Exception) and is_control_flow(error):
            member.leaving = member.leaving or error
            return True
        elif isinstance(error, self._passing):
            member.error = error
        elif isinstance(error, Exception):
            member.note_failure(self._what, error)
            return True
        return False
