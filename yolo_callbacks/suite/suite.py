"""Several callbacks on one model: order, isolation, ranks, state and the table at the end."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.callbacks.events import Event
from yolo_callbacks.report.at_end import draw_picture, recorders, write_report
from yolo_callbacks.state.run_state import RunState
from yolo_callbacks.state.state_file import STATE_FILE, read_state
from yolo_callbacks.state.summary import render
from yolo_callbacks.suite.guarded_callback import GuardedCallback, log_error, shown_error
from yolo_callbacks.suite.relocation import copy_checkpoints
from yolo_callbacks.suite.restoring import Restored, load_reached, restore
from yolo_callbacks.trainer.installation import run_folder, run_folders
from yolo_callbacks.trainer.teardown import TrainingOver
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_bool
from yolo_callbacks.utils.files import LOGGER, remove_temporary_files
from yolo_callbacks.utils.origins import Origins, origins_of

__all__ = ["EVENTS", "STATE_FILE", "Suite"]

_CLOSING = ("on_train_end", "teardown")
_MEETINGS = ("on_train_start", "on_fit_epoch_end")
_SET_UP = ("on_pretrain_routine_start", "on_pretrain_routine_end")
# What a user got wrong, found in the run: to be seen as it is.
_MISTAKES = (ValueError, TypeError, ImportError)

EVENTS = tuple(event.value for event in Event)


class _Observer:
    """Hand on what the trainer layer sees of one training to a suite."""

    def __init__(self, suite: Suite, run: TrainingRun) -> None:
        self._suite, self._run = suite, run

    def before_checkpoint(self) -> None:
        self._suite._before_checkpoint(self._run)

    def on_exit(self) -> None:
        self._suite.handle("teardown", self._run.trainer)

    def on_end(self) -> None:
        self._suite._end(self._run)


def _no_model() -> None:
    """In a worker, and before `attach`."""


class Suite:
    """The callbacks of a model, run together. Made by `attach`.

    Attributes:
        callbacks: In the order in which they run.
        strict: Whether an exception inside a callback ends the training.
        report: Whether a report is written at the end of a run.
        keep_resumable: Whether last.pt keeps its optimizer at the end of a run.
        events: The events that the suite listens to.
    """

    def __init__(
        self,
        callbacks: Iterable[Callback],
        *,
        task: str = "detect",
        strict: bool = False,
        report: bool = False,
        keep_resumable: bool = False,
    ) -> None:
        self.strict, self.report = validate_bool("strict", strict), validate_bool("report", report)
        self.keep_resumable = validate_bool("keep_resumable", keep_resumable)
        given = list(callbacks)
        _check_callbacks(given, task)
        given += recorders(given) if report else []
        self.callbacks = tuple(sorted(given, key=lambda callback: callback.is_logger))
        self._members = [
            GuardedCallback(*pair) for pair in zip(self.callbacks, _keys(self.callbacks, task), strict=True)
        ]
        self._listeners = {
            event: [member for member in self._members if member.callback.listens_to(event)] for event in EVENTS
        }
        self._before = {
            "on_pretrain_routine_end": self._set_up,
            "on_train_epoch_start": self._open_epoch,
            "on_train_batch_end": self._check_names,
            "on_train_epoch_end": self._note_trained,
            "on_val_start": self._note_validation,
            "on_model_save": self._note_saved,
            "on_fit_epoch_end": self._complete_epoch,
        }
        self._after = {
            "on_train_start": self._begin,
            "on_fit_epoch_end": self._close_epoch,
            "on_train_end": self._finish,
            "teardown": self._tear_down,
        }
        always = {"on_pretrain_routine_start", *self._before, *self._after}
        self.events = tuple(event for event in EVENTS if event in always or self._listeners[event])
        self.model: Callable[[], Any] = _no_model
        self._run: TrainingRun | None = None
        self._fatal: Exception | None = None
        self._shared_error: Exception | None = None
        self._error_elsewhere: str = ""
        self._event_started = 0.0
        self._restart()

    def __repr__(self) -> str:
        """Show the callbacks, and the options that are on."""
        options = [f"{name}=True" for name in ("strict", "report", "keep_resumable") if getattr(self, name)]
        return f"{type(self).__name__}({', '.join([repr(list(self.callbacks)), *options])})"

    def __getstate__(self) -> dict[str, Any]:
        # Ultralytics pickles the callbacks for the workers of a multi-GPU training; a run belongs to its process.
        return {**self.__dict__, "_run": None, "_state": None, "model": _no_model}

    def load_results(self) -> dict[str, Any]:
        """Load what the last training of the model reached from its callbacks.json.

        The workers of a multi-GPU training are processes of their own, whose callbacks are copies. Bring the attributes
        of the callbacks here to what theirs were at the end. After a training in this process this changes nothing.

        After `model.train(data=[a, b])`, which trains on one data set after the other, return the results of each of
        these runs, by the names under which `train` returns their metrics: None for a data set whose training failed.
        The attributes of the callbacks are those of the last run that did not fail.

        Returns:
            `epoch`, the last one; `callbacks`, the state of each by key; `summary`, the content of the table at the
            end, None while the training runs or where it was killed; `ended`, `versions`. For a list of data sets a
            dict of these, by run.

        Raises:
            RuntimeError: If the model has not been trained, or no folder holds results: workers of Ultralytics before
                8.4.140 get no callbacks from their parent.

        Example:
            >>> from ultralytics import YOLO
            >>> from yolo_callbacks import SaveBest, attach
            >>> suite = attach(YOLO("yolo11n.yaml"), SaveBest("mAP50"))
            >>> # after model.train(data="coco8.yaml"): suite.load_results()["epoch"]
            >>> # after model.train(data=["coco8.yaml", "dota8.yaml"]): suite.load_results()["coco8"]["epoch"]
        """
        model = self.model()
        folder, several = run_folder(model), run_folders(model)
        if folder is None:
            raise RuntimeError("No results yet: call model.train() first")
        folders = {"": folder} if several is None else several
        states = {name: read_state(path / STATE_FILE) if path else None for name, path in folders.items()}
        found = [(path, state) for name, state in states.items() if state is not None and (path := folders[name])]
        if not found:
            raise RuntimeError(f"{folder} has no {STATE_FILE} that can be read: no callback ran in this training")
        last, reached = found[-1]
        for member in self._members:
            if member.key in reached["callbacks"]:
                load_reached(member, reached["callbacks"][member.key], last)
        return reached if several is None else states

    def results(self) -> dict[str, Any]:
        """Do as `load_results`, under the name that it had before."""
        warnings.warn("suite.results() is called suite.load_results() now", DeprecationWarning, stacklevel=2)
        return self.load_results()

    def handle(self, event: str, source: Any) -> None:
        """Run the callbacks that listen to an event.

        Args:
            event: Its name.
            source: What Ultralytics hands to a callback: the trainer, validator, predictor or exporter.
        """
        if event.startswith(("on_predict", "on_export")):
            self._dispatch(event, source)
            return
        self._event_started = perf_counter()
        run = self._run_of(event, source)
        if run is None:
            return
        before, after = self._before.get(event), self._after.get(event)
        if before:
            self._attempt(event, before, run)
        self._dispatch(event, source)
        if after and event in _MEETINGS:
            after(run)  # ranks wait for each other inside it: no rank may leave it early
        elif after:
            self._attempt(event, after, run)
        self._seconds += perf_counter() - self._event_started
        # On several ranks all raise together, at the next place where they meet, what they have told each other there:
        # one alone would leave the others waiting for it. After the last epoch only rank 0 is left.
        if run.failure:
            return
        if run.single_process or event in _CLOSING or run.final:
            self._raise_errors(self._error())
        elif event in _MEETINGS:
            self._raise_errors(self._shared_error)

    def _attempt(self, what: str, function: Callable[..., object], *arguments: object) -> None:
        """Do what the suite itself does around callbacks: an error of it is logged, and the training goes on."""
        try:
            function(*arguments)
        except TrainingOver:
            raise
        except Exception as error:
            if self.strict:
                self._fatal = self._fatal or error
            if what not in self._failed:  # once a run: it may fail in every epoch
                self._failed.add(what)
                log_error(f"Callbacks: the suite failed in {what}, training goes on", error, self._origins)

    @property
    def _origins(self) -> Origins:
        """Where the arguments of all callbacks came from, for an error that may be of any of them."""
        of_each = [(member.name, member.origins.variables) for member in self._members]
        return Origins(variables={f"{name}.{key}": names for name, each in of_each for key, names in each.items()})

    def blame(self, error: Exception) -> Callback | None:
        """The callback that `error`, raised by `handle`, says does not fit the run; None for any other error."""
        return self._mistaken if error is self._mistake else None

    def _run_of(self, event: str, source: Any) -> TrainingRun | None:
        """The run that an event belongs to; None if it belongs to none, as a validation that the user started."""
        run = self._run
        if event.startswith("on_val"):
            return run if run and source is run.validator else None
        if event == "teardown" and (run is None or run.trainer is not source or self._torn_down):
            return None  # told before, when the training failed
        if run is None or run.trainer is not source:
            run = self._run = TrainingRun.of(source)
            observer = _Observer(self, run)
            follow = partial(run.supervision.follow, self.callbacks, observer, keep_resumable=self.keep_resumable)
            self._restart()
            self._attempt("following the trainer", follow)
            for member in self._members:
                member.call("start_run", source)
        if self._training_started is None and event not in (*_SET_UP, *_CLOSING):
            self._attempt("the start of the training", self._start, run, event)
        return run

    def _dispatch(self, event: str, source: Any) -> None:
        run = self._run
        if run and run.ended and event == "on_fit_epoch_end" and not run.final:
            return
        for member in self._listeners[event]:
            # what a callback has opened it must be able to close, also when it was switched off
            if member.missed or (member.off and event not in _CLOSING):
                continue
            if run is None or run.is_main or member.callback.every_rank:
                member.call(event, source)

    def _raise_errors(self, error: Exception | None) -> None:
        """Raise what ends the training: a mistake of the user's, and with `strict` any error, here or elsewhere."""
        error = error or (RuntimeError(self._error_elsewhere) if self._error_elsewhere else None)
        self._shared_error, self._error_elsewhere = None, ""
        if error:
            self._fatal = None
            for member in self._members:
                member.take_error()
            raise error

    def _error(self) -> Exception | None:
        """The error that is to end the training, as it may be shown."""
        if self._fatal is not None:
            return self._fatal if self._fatal is self._mistake else shown_error("Callbacks", self._fatal, self._origins)
        failed = [(member, member.error) for member in self._members if member.error] if self.strict else []
        return next((member.shown(error) for member, error in failed), None)

    # The life of a run --------------------------------------------------------------------------------------------

    def _restart(self) -> None:
        self._set_up_done = self._names_checked = self._finished = self._torn_down = False
        self._fatal, self._shared_error, self._error_elsewhere = None, None, ""
        self._mistake: Exception | None = None
        self._mistaken: Callback | None = None
        self._state: RunState | None = None
        self._restored: Restored | None = None
        self._published: Mapping[str, float] = {}
        self._deciding = False
        self._failed: set[str] = set()
        self._journalled_epoch = 0
        self._seconds = 0.0
        self._training_started: float | None = None
        for member in self._members:
            member.restart()

    def _set_up(self, run: TrainingRun) -> None:
        """Check what the run alone can tell, and take up the state of a resumed run."""
        self._set_up_done = True
        run.supervision.progress.last_epoch = run.completed_epochs
        self._names_checked = self._check(run)
        if run.is_main:
            for folder in (run.save_dir, run.weights_dir):
                self._attempt("removing temporary files", remove_temporary_files, folder)
            self._state = RunState(run.save_dir, run.run_in_background, keep_resumable=self.keep_resumable)
            if run.completed_epochs and not self._fatal:
                self._attempt("restoring the state", self._restore, run)
            elif not run.completed_epochs:
                self._attempt("looking for files of an earlier run", self._state.find_leftovers)

    def _start(self, run: TrainingRun, event: str) -> None:
        missed = [] if event == "on_train_start" else ["on_train_start"]
        if not self._set_up_done:  # attached after it
            missed.insert(0, "on_pretrain_routine_end")
            self._set_up(run)
        self._leave_out(run, missed)
        self._training_started = perf_counter()

    def _leave_out(self, run: TrainingRun, missed: Iterable[str]) -> None:
        """Keep the callbacks that were attached too late for an event that they need out of the run."""
        late: dict[str, list[str]] = {}
        for event in missed:
            for member in self._listeners[event]:
                callback = member.callback
                if callback.needs_start and not member.missed and (run.is_main or callback.every_rank):
                    member.missed = event
                    late.setdefault(event, []).append(member.name)
        if late:
            which = "; ".join(f"{' and '.join(names)} missed {event}" for event, names in late.items())
            LOGGER.warning(
                f"Callbacks were attached after the training had begun: {which}, and will do nothing in this run. "
                "Attach before model.train()"
            )

    def _check_names(self, run: TrainingRun) -> None:
        if not self._names_checked:
            self._names_checked = True
            self._check(run)

    def _check(self, run: TrainingRun) -> bool:
        """Whether every callback has found what it needs; what a user got wrong is not kept from the training."""
        found = True
        for member in self._members:
            check = partial(member.callback.validate, run)
            try:
                found &= member.guard("validate", check, True, passing=_MISTAKES) is not False
            except _MISTAKES as error:
                if self._mistake is None:
                    self._fatal, self._mistake, self._mistaken = error, error, member.callback
        return found

    def _begin(self, run: TrainingRun) -> None:
        """Decide what a kill cut off, and let every rank know what a resumed run takes up: only rank 0 has read it."""
        if self._state and run.completed_epochs:
            self._attempt("deciding on the last epoch", self._catch_up, run, self._restored)
        states = self._states() if self._state else {}
        self._share(run)
        run.ended, run.shared.ended = run.shared.ended, False
        self._attempt("holding the learning rate", run.learning_rate.apply_held_schedule)
        if self._state:
            run.past = []
            begin = partial(self._state.begin, run.completed_epochs, states, self._published, ended=run.ended)
            self._attempt("starting the state", begin)

    def _open_epoch(self, run: TrainingRun) -> None:
        if run.ended:
            run.supervision.end_before_next_epoch()
        run.learning_rate.apply()

    def _note_trained(self, run: TrainingRun) -> None:
        run.supervision.progress.epoch_trained()

    def _note_validation(self, run: TrainingRun) -> None:
        run.supervision.progress.validation_started()

    def _note_saved(self, run: TrainingRun) -> None:
        run.supervision.progress.model_saved()

    def _before_checkpoint(self, run: TrainingRun) -> None:
        started = perf_counter()
        self._journal(run)
        self._seconds += perf_counter() - started

    def _journal(self, run: TrainingRun) -> None:
        """Journal the epoch, before its checkpoint is written; before anyone decides on it where there is none."""
        if self._state is None or self._deciding or not run.supervision.progress.in_epoch or run.ended:
            return
        try:
            record = run.supervision.reader.read()
            self._state.open_epoch(record, self._states(), ended=run.concluded)
            self._journalled_epoch = record.epoch
        except Exception as error:  # in the middle of Ultralytics' loop: never worth a training
            log_error("the journal could not be written", error, self._origins)

    def _complete_epoch(self, run: TrainingRun) -> None:
        run.supervision.progress.epoch_complete()
        if not run.final and self._journalled_epoch != run.last_epoch:
            self._journal(run)
        self._deciding = True

    def _close_epoch(self, run: TrainingRun) -> None:
        self._deciding = False
        if run.final:
            return
        stores = self._state is not None and not run.ended
        # Before the exchange: with `strict` an error of a callback in here ends every rank in this epoch.
        states = self._states() if stores else {}
        files = [path for member in self._members for path in member.written_files()] if stores else []
        self._share(run)
        if stores:
            self._attempt("storing the state", self._store, run, states, files)
        run.supervision.progress.epoch_fitted()

    def _store(self, run: TrainingRun, states: Mapping[str, Any], files: list[Path]) -> None:
        if self._state is None:
            return
        self._state.files = files
        if run.supervision.has_checkpoint:
            self._state.remove_leftovers()
        self._state.close_epoch(run.last_epoch, states, run.record().scalars, ended=run.concluded)

    def _share(self, run: TrainingRun) -> None:
        # Outside any guard and on every rank: the only place where ranks wait for each other because of us.
        error = self._shared_error = self._error()
        told = run.supervision.exchange(self._described(error))
        failed = [f"a callback failed on rank {rank}: {message}" for rank, message in enumerate(told) if message]
        self._error_elsewhere = failed[0] if failed else ""

    def _described(self, error: Exception | None) -> str:
        """What the other ranks are told of an error of this one."""
        if error is None:
            return ""
        of_mistake = origins_of(self._mistaken) if error is self._mistake else Origins()
        return of_mistake.described(error)

    def _finish(self, run: TrainingRun) -> None:
        self._finished = True

    def _tear_down(self, run: TrainingRun) -> None:
        self._torn_down = True
        if not run.supervision.end.is_reported:
            self._end(run)

    def _end(self, run: TrainingRun) -> None:
        """After every `teardown`, of others too: let go of what the run holds, and say what happened."""
        self._event_started = perf_counter()
        for member in self._members:
            if not member.missed and (run.is_main or member.callback.every_rank):
                member.call("finalize", run)
        if self._finished and not run.failure:
            self._attempt("the end of the run", self._tell, run)
        else:
            status = f"ended by {type(run.failure).__name__}" if run.failure else "ended"
            self._attempt("the end of the run", self._conclude, run, status)
        for member in [] if self.strict else self._members:
            member.take_error()  # its traceback holds on to the trainer
        run.supervision.close()
        self._run = None  # what a trainer holds is large, and a suite lives as long as its model

    def _tell(self, run: TrainingRun) -> None:
        """Picture, table and report of a training that went through."""
        run.wait_for_background()  # picture and report read what is written
        if run.is_main and run.draws_plots:
            draw_picture(run.save_dir, self.callbacks)
        self._conclude(run, "finished")
        if run.is_main and self.report:
            run.wait_for_background()
            write_report(run.save_dir)

    def _conclude(self, run: TrainingRun, status: str) -> None:
        """Say what happened; nothing where a mistake kept the training from it."""
        if not run.is_main or self._training_started is None or self._mistake:
            return
        summary = {
            "status": status,
            "epochs": run.last_epoch,
            "stopped_by": run.stopped_by if status == "finished" else "",
            "seconds": perf_counter() - self._training_started,
            "seconds_in_callbacks": self._seconds + perf_counter() - self._event_started,
            "folder": str(run.save_dir),
            "callbacks": [member.told() for member in self._members],
        }
        LOGGER.info(render(summary))
        if self._state:
            self._state.conclude(summary, self._states() if status == "finished" else None)

    # The state in the run's folder --------------------------------------------------------------------------------

    def _states(self) -> dict[str, Any]:
        return {member.key: member.state() for member in self._members}

    def _restore(self, run: TrainingRun) -> None:
        """Take up the states of the callbacks that the run had before and has again."""
        self._restored = restore(self._members, run)
        extension = self._restored.recovery.extension if self._restored else None
        if self._state:
            self._state.extension = extension
        if extension is not None and extension["hold"]:
            self._attempt("holding the learning rate", run.learning_rate.hold_schedule, extension)
        self._published = run.past[-1].scalars if run.past else {}

    def _catch_up(self, run: TrainingRun, restored: Restored | None) -> None:
        """Let the callbacks decide on the last epoch if a kill came before them, and see whether the run is over."""
        stopped = run.completed_epochs >= run.planned_epochs
        if restored is not None:
            stopped |= restored.recovery.ended
            stopped |= self._decide_late(run, restored)
        if stopped:
            LOGGER.info(f"Callbacks: this run had come to its end with epoch {run.completed_epochs}, it ends at once")
            copy_checkpoints(run)
        run.shared.ended = stopped

    def _decide_late(self, run: TrainingRun, restored: Restored) -> bool:
        """Let the callbacks decide that have not decided on the last epoch; return whether one stops the run."""
        stops = False
        for recovery, members in restored.undecided():
            with run.supervision.replay_epoch(recovery.undecided or {}):
                for member in members:
                    member.call("on_fit_epoch_end", run.trainer)
                stops |= run.stopping
                if recovery is restored.recovery:
                    self._published = run.record().scalars
        return stops


def _check_callbacks(callbacks: Iterable[object], task: str) -> None:
    claimed: dict[str, Callback] = {}
    seen: list[Callback] = []
    for callback in callbacks:
        if not isinstance(callback, Callback):
            hint = f": write {callback.__name__}()" if isinstance(callback, type) else ""
            raise TypeError(f"attach takes callbacks, received {callback!r}{hint}")
        if any(callback is other for other in seen):
            raise ValueError(f"attach was given the same {type(callback).__name__} twice")
        seen.append(callback)
        for claim in callback.output_files(task):
            if claim in claimed:
                names = f"{type(claimed[claim]).__name__} and {type(callback).__name__}"
                raise ValueError(f"{names} would both write {claim}: {_remedy(claim)}")
            claimed[claim] = callback


def _remedy(claim: str) -> str:
    """What lets two callbacks that claim the same thing run side by side."""
    if claim.startswith("the W&B run"):
        return "give one of them a name, project or id of its own"
    if claim in ("memory/*", "callbacks.jsonl", "tensorboard/"):
        return "attach one"
    return "promote only one" if claim == "weights/best.pt" else "give one of them a filename of its own"


def _keys(callbacks: Iterable[Callback], task: str) -> list[str]:
    """A name for each callback's state, the same whenever the same callbacks are attached."""
    keys: list[str] = []
    for callback in callbacks:
        key, number = callback.state_key(task), 2
        while key in keys:
            key, number = f"{callback.state_key(task)}#{number}", number + 1
        keys.append(key)
    return keys
