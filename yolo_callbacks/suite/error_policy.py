"""Decide which exceptions end the training, on one rank or on several, and log the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.suite.guarded_callback import MISTAKES, GuardedCallback, log_error, shown_error
from yolo_callbacks.trainer.teardown import TrainingOver
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.console import FRESH_LINE
from yolo_callbacks.utils.control_flow import is_control_flow
from yolo_callbacks.utils.origins import Origins, origins_of

__all__ = ["ErrorPolicy"]


class ErrorPolicy:
    """Hold the exceptions of one run, and raise those that end the training.

    A wrong argument that only the run can detect, here called a mistake, always ends it. With `strict` every exception
    of a callback or of the suite does.

    On several ranks all of them raise together, at the next event in which they exchange data (`prepare_exchange`): if
    one rank raised alone, the others would wait for it.

    Args:
        members: The callbacks of the run.
        strict: Whether every exception ends the training.
    """

    def __init__(self, members: Sequence[GuardedCallback], *, strict: bool) -> None:
        self._members, self._strict = members, strict
        for member in members:
            member.strict = strict
        self._fatal: Exception | None = None
        self._leaving: Exception | None = None  # on purpose, from the suite itself
        self._mistake: Exception | None = None
        self._mistaken: Callback | None = None
        self._exchanged: Exception | None = None
        self._elsewhere = ""
        self._logged: set[str] = set()

    @property
    def has_mistake(self) -> bool:
        """Whether the user has given a callback a wrong argument."""
        return self._mistake is not None

    @property
    def is_fatal(self) -> bool:
        """Whether an exception is going to end the training, apart from those inside callbacks."""
        return self._fatal is not None

    def attempt(self, what: str, function: Callable[..., object], *arguments: object) -> None:
        """Call a function of the suite itself: an exception of it is logged, and training goes on.

        Args:
            what: What the function does, for the message. It is logged once a run: it may fail in every epoch.
            function: The function.
            *arguments: Its arguments.
        """
        try:
            function(*arguments)
        except TrainingOver:
            raise
        except Exception as error:
            if is_control_flow(error):
                self._leaving = self._leaving or error
                return
            if self._strict:
                self._fatal = self._fatal or error
            if what not in self._logged:
                self._logged.add(what)
                self.log(f"Callbacks: the suite failed in {what}, training goes on", error)

    def log(self, message: str, error: Exception) -> None:
        """Log an exception that may be of any callback."""
        log_error(message, error, self._origins)

    def validate(self, run: TrainingRun) -> bool:
        """Let every callback validate its arguments against the run; keep the first mistake.

        Returns:
            Whether all arguments are validated.
        """
        complete = True
        for member in self._members:
            try:
                complete &= member.validate(run)
            except MISTAKES as error:
                if self._mistake is None:
                    if hasattr(error, "add_note"):  # from Python 3.11 on
                        error.add_note(f"The mistake is in an argument of {member.name}.")
                    self._fatal, self._mistake, self._mistaken = error, error, member.callback
        return complete

    def blame(self, error: Exception) -> Callback | None:
        """Return the callback whose mistake an exception is; None for any other exception."""
        return self._mistaken if error is self._mistake else None

    # Raising ----------------------------------------------------------------------------------------------------------

    def raise_pending(self) -> None:
        """Raise what is to end the training, in a process that no other one waits for."""
        self._raise(self._pending())

    def raise_exchanged(self) -> None:
        """Raise what is to end the training on every rank, after an exchange."""
        self._raise(self._exchanged)

    def prepare_exchange(self) -> str:
        """Fix the exception to be raised after the exchange; return its description for the other ranks, or ""."""
        error = self._exchanged = self._pending()
        if error is None:
            return ""
        # Where it is no mistake, `_pending` has removed what must not be shown.
        origins = origins_of(self._mistaken) if error is self._mistake else Origins()
        return origins.described(error)

    def receive(self, descriptions: Sequence[str]) -> None:
        """Take the descriptions of all ranks, in their order."""
        failed = [f"a callback failed on rank {rank}: {text}" for rank, text in enumerate(descriptions) if text]
        self._elsewhere = failed[0] if failed else ""

    def clear(self) -> None:
        """Forget the exceptions inside callbacks: a traceback holds the trainer."""
        self._leaving = None
        for member in self._members:
            member.take_error()
            member.leaving = None

    def _pending(self) -> Exception | None:
        """Return the exception that is to end the training, as it may be shown."""
        for leaving in (self._leaving, *(member.leaving for member in self._members)):
            if leaving is not None:
                return leaving
        if self._fatal is not None:
            is_mistake = self._fatal is self._mistake
            return self._fatal if is_mistake else shown_error("Callbacks", self._fatal, self._origins)
        if self._strict:
            for member in self._members:
                if member.error:
                    return member.shown(member.error)
        return None

    def _raise(self, error: Exception | None) -> None:
        error = error or (RuntimeError(self._elsewhere) if self._elsewhere else None)
        self._exchanged, self._elsewhere = None, ""
        if error:
            self._fatal = None
            self.clear()
            FRESH_LINE.begin_line()  # its message goes to stderr, which shares the line of a progress bar on a terminal
            raise error

    @property
    def _origins(self) -> Origins:
        """Where the arguments of all callbacks came from, for an exception that may be of any of them."""
        of_each = [(member.name, member.origins.variables) for member in self._members]
        return Origins(variables={f"{name}.{key}": names for name, each in of_each for key, names in each.items()})
