"""Run the callbacks of a suite in one training, from its first event to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.callbacks.events import TRAINER_EVENTS, Event
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.suite.clock import Clock, EpochShare
from yolo_callbacks.suite.dispatch import CLOSING, Dispatcher
from yolo_callbacks.suite.error_policy import ErrorPolicy
from yolo_callbacks.suite.guarded_callback import GuardedCallback
from yolo_callbacks.suite.messages import log_start, repeat_at_exit, show_summary, warn_of_no_epoch
from yolo_callbacks.suite.next_step import STOPPED_BY_AGENT, can_be_resumed
from yolo_callbacks.suite.run_end import RunOutputs, note_in_search, summarize, write_picture, write_report
from yolo_callbacks.suite.state_store import StateStore
from yolo_callbacks.suite.status_writer import StatusWriter
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.console import FRESH_LINE
from yolo_callbacks.utils.control_flow import is_pruned, is_stopped
from yolo_callbacks.utils.files import remove_temporary_files
from yolo_callbacks.utils.signals import Terminated

__all__ = ["RunSession", "SessionOptions"]

# A training has started with the first of these events, whichever that is: a suite may be attached late.
_STARTING = frozenset(TRAINER_EVENTS) - {Event.PRETRAIN_ROUTINE_START, Event.PRETRAIN_ROUTINE_END, *CLOSING}

# Ultralytics' progress bars are drawn in these events, and from these events on.
_IN_BAR = frozenset(
    {
        Event.TRAIN_BATCH_START,
        Event.BEFORE_ZERO_GRAD,
        Event.TRAIN_BATCH_END,
        Event.VAL_BATCH_START,
        Event.VAL_BATCH_END,
    }
)
_BEFORE_BAR = frozenset({Event.TRAIN_EPOCH_START, Event.VAL_START})

# What a user has done, by the exception that it raises. A signal has its own name.
_SIGNALS = {"KeyboardInterrupt": "Ctrl-C"}


def _status_of(failure: BaseException) -> str:
    """Return how an exception has ended a training."""
    if is_pruned(failure):
        return "pruned"
    if is_stopped(failure):
        return STOPPED_BY_AGENT
    if isinstance(failure, Terminated):
        return f"ended by {failure.signal_name}"
    name = type(failure).__name__
    return f"ended by {_SIGNALS.get(name, name)}"


@dataclass(frozen=True)
class SessionOptions:
    """The options of a suite that hold for a run.

    Attributes:
        strict: Whether an exception inside a callback ends the training.
        report: Whether a report is written at the end.
        keep_resumable: Whether last.pt keeps its optimizer at the end.
        outputs: Draws the picture and writes the report.
    """

    strict: bool
    report: bool
    keep_resumable: bool
    outputs: RunOutputs

    def flags(self) -> dict[str, bool]:
        """Return the options that `attach` has as arguments."""
        return {"strict": self.strict, "report": self.report, "keep_resumable": self.keep_resumable}


class RunSession:
    """Run the callbacks in one training. It is a `TrainingObserver`.

    Attributes:
        run: The training.
        errors: Decides which exceptions end it.
        torn_down: Whether `teardown` was handled.
        settled: The events in which the suite itself has nothing more to do in this run, with the callbacks that
            listen to them: those of a batch, after the first one.

    Args:
        run: The training.
        dispatcher: The callbacks.
        options: The options of the suite.
        on_close: Called when the session is over.
    """

    def __init__(
        self, run: TrainingRun, dispatcher: Dispatcher, options: SessionOptions, on_close: Callable[[RunSession], None]
    ) -> None:
        self.run, self._dispatcher, self._options, self._on_close = run, dispatcher, options, on_close
        self._members, self._events = dispatcher.members, run.supervision.events
        self.errors = ErrorPolicy(self._members, strict=options.strict)
        self._store: StateStore | None = None  # on rank 0
        self._status: StatusWriter | None = None  # on rank 0
        self._clock = Clock()
        self.settled: dict[str, list[GuardedCallback]] = {}
        self._summary: dict[str, Any] | None = None
        self._set_up_done = self._validated = self._finished = self.torn_down = False

    @property
    def callbacks(self) -> Sequence[Callback]:
        """The callbacks, in the order in which they run."""
        return [member.callback for member in self._members]

    def open(self) -> None:
        """Follow the trainer, and reset the callbacks."""
        with self._clock.event():
            self.errors.attempt("following the trainer", self._follow)
            self._dispatcher.start_run(self.run)

    def _follow(self) -> None:
        self.run.supervision.follow(self.callbacks, self, keep_resumable=self._options.keep_resumable)

    def handle(self, event: str, source: Any) -> None:
        """Do what an event asks of the suite and of the callbacks that listen to it.

        Args:
            event: The name of the event.
            source: The trainer, or its validator.
        """
        run = self.run
        if event not in CLOSING:  # an error may have left a bar open
            FRESH_LINE.bar_open = event in _IN_BAR
        self._events.number += 1
        with self._clock.event():
            if not self._clock.running and event in _STARTING:
                self.errors.attempt("the start of the training", self._start, event)
            if before := self._BEFORE.get(event):
                self.errors.attempt(event, before, self)
            self._call(self._dispatcher.listeners(event, run), event, source)
            if exchange := self._EXCHANGES.get(event):
                exchange(self)
            elif after := self._AFTER.get(event):
                self.errors.attempt(event, after, self)
        if event in _IN_BAR or event in _BEFORE_BAR:
            FRESH_LINE.bar_open = True
        if run.failure:
            return
        # After the last epoch only rank 0 is left.
        if run.single_process or event in CLOSING or run.final:
            self.errors.raise_pending()
        elif event in self._EXCHANGES:
            self.errors.raise_exchanged()

    def handle_settled(self, event: str, source: Any) -> None:
        """Do what `handle` does, for an event in `settled`, in half of its time: there is one for each batch."""
        self._events.number += 1
        members = [member for member in self.settled[event] if not member.off]
        if members:
            with self._clock.event():
                self._call(members, event, source)
        FRESH_LINE.bar_open = True
        if self.run.single_process and (self._options.strict or any(member.leaving for member in members)):
            self.errors.raise_pending()

    def _call(self, members: Iterable[GuardedCallback], event: str, source: Any) -> None:
        """Call the method of an event, and let the run know whose it is: it may stop the run."""
        for member in members:
            self.run.caller = member.name
            member.call(event, source)
        self.run.caller = ""

    # What the trainer layer calls -------------------------------------------------------------------------------------

    def before_checkpoint(self) -> None:
        """Journal the epoch."""
        FRESH_LINE.bar_open = False  # that of the validation is complete
        if self._store:
            with self._clock.event():
                self._store.journal()

    def on_exit(self) -> None:
        """Handle `teardown`, unless Ultralytics has called it."""
        if not self.torn_down:
            self.handle(Event.TEARDOWN.value, self.run.trainer)

    def on_end(self) -> None:
        """Summarize the run, and drop what it holds; after every `teardown`, those of other callbacks too."""
        run = self.run
        if isinstance(run.failure, KeyboardInterrupt):
            FRESH_LINE.bar_open = True  # a terminal shows ^C
        with self._clock.event():
            self._dispatcher.finalize(run)
            self.errors.attempt("the end of the run", self._conclude_after, run.supervision.end.failure)
            if self._status:
                self.errors.attempt("the status", self._close_status, run.supervision.end.failure)
            if self._store:
                self.errors.attempt("the end of the run", note_in_search, run, self._store.written_files())
            self.errors.attempt("the end of the run", self._announce_end)
        if not self._options.strict:
            self.errors.clear()
        self._on_close(self)

    # Before the first epoch -------------------------------------------------------------------------------------------

    def _set_up(self) -> None:
        """Validate the arguments against the run, and restore the state of a resumed run."""
        run = self.run
        self._set_up_done = True
        run.supervision.progress.last_epoch = run.completed_epochs
        self._validated = self.errors.validate(run)
        if not run.is_main:
            return
        warn_of_no_epoch(self._members, run)
        for folder in (run.save_dir, run.weights_dir):
            self.errors.attempt("removing temporary files", remove_temporary_files, folder)
        store = self._store = StateStore(run, self._members, self.errors, keep_resumable=self._options.keep_resumable)
        if not run.completed_epochs:
            self.errors.attempt("looking for files of an earlier run", store.find_leftovers)
        elif not self.errors.is_fatal:
            self.errors.attempt("restoring the state", store.restore)

    def _start(self, event: str) -> None:
        """Start the training, perhaps with callbacks that were attached after its first events."""
        missed = [] if event == Event.TRAIN_START else [Event.TRAIN_START.value]
        if not self._set_up_done:
            missed.insert(0, Event.PRETRAIN_ROUTINE_END.value)
            self._set_up()
        self._dispatcher.exclude_late(missed, self.run)
        self._clock.start()

    def _begin(self) -> None:
        """Decide on the last epoch of a resumed run, and hand its state to every rank: only rank 0 has read it."""
        run, store = self.run, self._store
        if store and run.completed_epochs:
            self.errors.attempt("deciding on the last epoch", store.catch_up)
        states = store.states() if store else {}
        self._exchange()
        run.ended, run.shared.ended = run.shared.ended, False
        self.errors.attempt("holding the learning rate", run.learning_rate.apply_held_schedule)
        past: Sequence[EpochRecord] = run.past
        if store:
            run.past = []
            self._clock.earlier = store.seconds_before
            self.errors.attempt("starting the state", store.begin, states)
        if run.is_main and not run.ended:
            self.errors.attempt("the line at the start", log_start, self._members, run)
        if run.is_main:
            self.errors.attempt("the status", self._open_status, past)
        for share, seconds in self._shares():
            share.begin(seconds)

    def _open_status(self, past: Sequence[EpochRecord]) -> None:
        self._status = StatusWriter(self.run, self._members, past)

    def _shares(self) -> list[tuple[EpochShare, float]]:
        """List what counts the time in epochs, with the seconds so far: of all callbacks together, and of each."""
        of_each = [(member.epoch_share, member.seconds) for member in self._members]
        return [(self._clock.epoch_share, self._clock.seconds_in_callbacks), *of_each]

    # In each epoch ----------------------------------------------------------------------------------------------------

    def _open_epoch(self) -> None:
        if self.run.ended:
            self.run.supervision.end_before_next_epoch()
        self.run.learning_rate.apply()
        if self._status:
            self._status.training()

    def _open_validation(self) -> None:
        self.run.supervision.progress.validation_started()
        if self._status:
            self._status.validating()

    def _validate_loss_names(self) -> None:
        """Validate again after the first batch: from Ultralytics 8.4.104 on the losses have names only then."""
        if not self._validated:
            self._validated = True
            self.errors.validate(self.run)
        for event in (Event.TRAIN_BATCH_START.value, Event.TRAIN_BATCH_END.value):
            self.settled[event] = self._dispatcher.listeners(event, self.run)

    def _complete_epoch(self) -> None:
        self.run.supervision.progress.epoch_complete()
        if self._store:
            self._store.start_decisions()

    def _close_epoch(self) -> None:
        run, store = self.run, self._store
        if store and (run.final or run.ended):
            store.end_decisions()
        if run.final:
            return
        if run.ended:
            store = None
        run.shared.concluding = run.concluded
        # Before the exchange: with `strict` an exception of a callback in here ends every rank in this epoch.
        states = store.states() if store else {}
        files = store.written_files() if store else []
        self._exchange()
        self.errors.attempt("leaving the training", run.leave_as_requested)
        if store:
            store.end_decisions()
            self.errors.attempt("storing the state", store.store, states, files, self._clock.total)
        if self._status:
            self.errors.attempt("the status", self._status.epoch_done, run.record())
        run.supervision.progress.epoch_fitted()
        for share, seconds in self._shares():
            share.end_epoch(seconds)

    def _exchange(self) -> None:
        """Give every rank what rank 0 has decided, and the exceptions of the others. Every rank must call this."""
        run = self.run
        description = self.errors.prepare_exchange()
        self.errors.receive(run.supervision.exchange(description))

    # At the end -------------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        self._finished = True

    def _tear_down(self) -> None:
        self.torn_down = True
        if not self.run.supervision.end.is_reported:
            self.run.supervision.report_end()

    def _conclude_after(self, failure: BaseException | None) -> None:
        """Summarize the run; where it has finished, draw the picture and write the report too."""
        left = self.run.left
        if failure is not None:
            self._conclude(_status_of(failure))
        elif not self._finished:
            self._conclude("ended")
        else:
            evaluated = left is None or left.evaluate
            if evaluated:
                write_picture(self.run, self.callbacks, self._options.outputs)
            self._conclude("finished" if left is None else left.status)
            if evaluated and self._options.report:
                write_report(self.run, self._options.outputs)

    def _conclude(self, status: str) -> None:
        """Log and store the summary; not where a wrong argument has kept the training from starting."""
        if not self.run.is_main or not self._clock.running or self.errors.has_mistake:
            return
        summary = summarize(self.run, self._members, self._clock, status, options=self._options.flags())
        self._summary = summary
        if self._store and status != "finished" and can_be_resumed(self.run):
            summary["undecided_epoch"] = self._store.undecided_epoch
        show_summary(summary)
        if summary["next_step"] and self.run.failure is not None:
            repeat_at_exit(f"Callbacks: to continue: {summary['next_step']}")
        if self._store:
            self._store.conclude(summary, finished=status == "finished" or self.run.left is not None)

    def _close_status(self, failure: BaseException | None) -> None:
        summary = self._summary or {}  # there is none where a wrong argument has ended the run
        status = summary.get("status") or ("ended" if failure is None else _status_of(failure))
        if self._status:
            self._status.close(status, summary.get("stopped_by", ""), summary.get("epochs", self.run.last_epoch))

    def _announce_end(self) -> None:
        """Call `on_run_end` of the callbacks, after all files of the run are written."""
        listening = [member for member in self._members if member.overrides("on_run_end") and not member.missed]
        if self._summary is not None and listening:
            self.run.wait_for_background()
            for member in listening:
                member.call("on_run_end", self.run, self._summary)

    # What the suite itself does at an event, before its callbacks and after them. The methods are defined above.
    _BEFORE: ClassVar[Mapping[str, Callable[[RunSession], None]]] = {
        Event.PRETRAIN_ROUTINE_END: _set_up,
        Event.TRAIN_EPOCH_START: _open_epoch,
        Event.TRAIN_BATCH_END: _validate_loss_names,
        Event.TRAIN_EPOCH_END: lambda session: session.run.supervision.progress.epoch_trained(),
        Event.VAL_START: _open_validation,
        Event.MODEL_SAVE: lambda session: session.run.supervision.progress.model_saved(),
        Event.FIT_EPOCH_END: _complete_epoch,
    }
    _AFTER: ClassVar[Mapping[str, Callable[[RunSession], None]]] = {
        Event.TRAIN_END: _finish,
        Event.TEARDOWN: _tear_down,
    }
    # After the callbacks too: the ranks exchange data. No rank may skip that, since the others would wait for it.
    _EXCHANGES: ClassVar[Mapping[str, Callable[[RunSession], None]]] = {
        Event.TRAIN_START: _begin,
        Event.FIT_EPOCH_END: _close_epoch,
    }
    EVENTS: ClassVar[frozenset[str]] = frozenset({Event.PRETRAIN_ROUTINE_START, *_BEFORE, *_AFTER, *_EXCHANGES})
    """The events that the suite handles, whether or not a callback listens to them."""
