"""Several callbacks on one model: order, isolation, ranks, state and the table at the end."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from functools import partial
from time import perf_counter
from typing import Any

from yolo_callbacks.adaptor import TrainerAdaptor, before_workers_without_callbacks, task_of, versions
from yolo_callbacks.callback import Callback
from yolo_callbacks.callbacks import EarlyStopping, MemoryCleanup, SaveBest, WandbLogger
from yolo_callbacks.checks import check_bool
from yolo_callbacks.files import LOGGER, read_json, write_json
from yolo_callbacks.report.at_end import draw_picture, recorders, write_report
from yolo_callbacks.slot import Slot
from yolo_callbacks.summary import render

__all__ = ["EVENTS", "STATE_FILE", "Suite", "attach", "default_suite", "is_attached"]

STATE_FILE = "callbacks.json"
_SCHEMA = 1
_CLOSING = ("on_train_end", "teardown")
_SET_UP = ("on_pretrain_routine_start", "on_pretrain_routine_end")

EVENTS = tuple(name for name in vars(Callback) if name.startswith("on_") or name in ("optimizer_step", "teardown"))


def attach(model: Any, *callbacks: Callback, strict: bool = False, report: bool = False) -> Suite:
    """Attach callbacks to a model, so that its trainings run them.

    Args:
        model: A `YOLO` model, or an Ultralytics trainer.
        *callbacks: In the order in which they run; loggers run last whatever their place. Without any, the default
            suite: `SaveBest()`, `EarlyStopping()`, `MemoryCleanup()` and `WandbLogger(images=0, log_model=False)`,
            which uploads no picture and no weights.
        strict: Whether an exception inside a callback ends the training. Defaults to `False`: it is logged, and
            training goes on.
        report: Whether to write `report.html` in the run's folder at the end. What it needs is kept while training:
            `callbacks.jsonl` and `callbacks.images.json`. Defaults to `False`.

    Returns:
        The suite. It can be used for several trainings; each starts from a clean state. Attaching to a model again
        replaces the suite that it has, with a warning.

    Raises:
        TypeError: If `model` takes no callbacks, or one of `callbacks` is none.
        ValueError: If a callback is given twice, or two would write the same file.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import EarlyStopping, SaveBest, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, SaveBest("mAP50", top_k=3), EarlyStopping("val/box_loss", patience=20))
    """
    task = task_of(model)
    suite = Suite(callbacks or default_suite(), task=task, strict=strict, report=report)
    if is_attached(model):
        warnings.warn("attach replaces the callbacks that this model has from an earlier attach", stacklevel=2)
    for event, functions in model.callbacks.items():
        model.callbacks[event] = [function for function in functions if not isinstance(function, _Handler)]
    for event in suite.events:
        model.add_callback(event, _Handler(suite, event))
    before_workers_without_callbacks(_warn_of_workers)
    return suite


def is_attached(model: Any) -> bool:
    """Whether `attach` has given callbacks to a model or trainer."""
    return any(isinstance(function, _Handler) for functions in model.callbacks.values() for function in functions)


def _warn_of_workers(trainer: Any) -> None:
    if is_attached(trainer) and not os.environ.get("YOLO_CALLBACKS"):
        LOGGER.warning(
            f"Ultralytics {versions()['ultralytics']} does not carry callbacks given in Python to the workers of a "
            "training on several GPUs (8.4.140 does): none of those that `attach` was given runs. "
            "YOLO_CALLBACKS=callbacks.yaml in the environment reaches the workers"
        )


def default_suite() -> tuple[Callback, ...]:
    """The callbacks that `attach` takes where it is given none."""
    return SaveBest(), EarlyStopping(), MemoryCleanup(), WandbLogger(images=0, log_model=False)


class _Handler:
    """What Ultralytics calls: a suite's answer to one event."""

    def __init__(self, suite: Suite, event: str) -> None:
        self.suite, self.event = suite, event

    def __call__(self, source: Any) -> None:
        self.suite.handle(self.event, source)


class Suite:
    """The callbacks of a model, run together. Made by `attach`.

    Attributes:
        callbacks: In the order in which they run.
        strict: Whether an exception inside a callback ends the training.
        report: Whether a report is written at the end of a run.
        events: The events that the suite listens to.
    """

    def __init__(
        self, callbacks: Iterable[Callback], *, task: str = "detect", strict: bool = False, report: bool = False
    ) -> None:
        self.strict, self.report = check_bool("strict", strict), check_bool("report", report)
        given = list(callbacks)
        _check_callbacks(given, task)
        given += recorders(given) if report else []
        self.callbacks = tuple(sorted(given, key=lambda callback: callback.is_logger))
        self._slots = [Slot(*pair) for pair in zip(self.callbacks, _keys(self.callbacks, task), strict=True)]
        self._listeners = {
            event: [slot for slot in self._slots if _overrides(slot.callback, event)] for event in EVENTS
        }
        self._before = {
            "on_pretrain_routine_end": self._set_up,
            "on_train_start": self._share,  # what a resumed run takes up, only rank 0 has read
            "on_train_epoch_start": TrainerAdaptor.apply_cuts,
            "on_train_batch_end": self._check_names,
            "on_train_epoch_end": TrainerAdaptor.epoch_trained,
            "on_val_start": TrainerAdaptor.validation_started,
            "on_model_save": TrainerAdaptor.model_saved,
            "on_fit_epoch_end": TrainerAdaptor.epoch_complete,
        }
        self._after = {
            "on_fit_epoch_end": self._close_epoch,
            "on_train_end": self._finish,
            "teardown": self._release,
        }
        always = {"on_pretrain_routine_start", *self._before, *self._after}
        self.events = tuple(event for event in EVENTS if event in always or self._listeners[event])
        self._run: TrainerAdaptor | None = None
        self._event_started = 0.0
        self._restart()

    def __getstate__(self) -> dict[str, Any]:
        # Ultralytics pickles the callbacks for the workers of a multi-GPU training; a run belongs to its process.
        return {**self.__dict__, "_run": None}

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
            before(run)
        self._dispatch(event, source)
        if after:
            after(run)
        self._seconds += perf_counter() - self._event_started
        if self.strict:
            self._raise_first_error()

    def blame(self, error: Exception) -> Callback | None:
        """The callback that `error`, raised by `handle`, says does not fit the run; None for any other error."""
        return next((slot.callback for slot in self._slots if slot.error is error), None)

    def _run_of(self, event: str, source: Any) -> TrainerAdaptor | None:
        """The run that an event belongs to; None if it belongs to none, as a validation that the user started."""
        run = self._run
        if event.startswith("on_val"):
            return run if run and source is run.validator else None
        if event == "teardown" and (run is None or run.trainer is not source):
            return None  # told before, when the training failed
        if run is None or run.trainer is not source:
            run = self._run = TrainerAdaptor.of(source)
            run.follow(lambda: self.handle("teardown", source))
            self._restart()
            for slot in self._slots:
                slot.call("enter", source)
        if self._training_started is None and event not in (*_SET_UP, *_CLOSING):
            self._start(run)
        return run

    def _dispatch(self, event: str, source: Any) -> None:
        run = self._run
        for slot in self._listeners[event]:
            # what a callback has opened it must be able to close, also when it was switched off
            if (not slot.off or event in _CLOSING) and (run is None or run.is_main or slot.callback.every_rank):
                slot.call(event, source)

    def _raise_first_error(self) -> None:
        errors = [slot.take_error() for slot in self._slots]
        for error in errors:
            if error:
                raise error

    # The life of a run --------------------------------------------------------------------------------------------

    def _restart(self) -> None:
        self._set_up_done = self._names_checked = self._finished = self._warned = False
        self._seconds = 0.0
        self._training_started: float | None = None
        for slot in self._slots:
            slot.restart()

    def _set_up(self, run: TrainerAdaptor) -> None:
        """Check what the run alone can tell, and take up the state of a resumed run."""
        self._set_up_done = True
        run.remember_rates()
        self._names_checked = self._check(run)
        if run.completed_epochs and run.is_main:
            self._restore(run)

    def _start(self, run: TrainerAdaptor) -> None:
        if not self._set_up_done:  # attached after it
            self._set_up(run)
        self._training_started = perf_counter()

    def _check_names(self, run: TrainerAdaptor) -> None:
        if not self._names_checked:
            self._names_checked = True
            self._check(run)

    def _check(self, run: TrainerAdaptor) -> bool:
        """Whether every callback has found what it needs; what a user got wrong is not kept from the training."""
        found = True
        for slot in self._slots:
            check = partial(slot.callback.check, run)
            try:
                found &= slot.guard("check", check, True, passing=(ValueError, TypeError, ImportError)) is not False
            except Exception:
                self._training_started = None  # there is no training to tell of
                raise
        return found

    def _close_epoch(self, run: TrainerAdaptor) -> None:
        if run.final:
            return
        self._share(run)
        if run.is_main:
            self._write(run)
        run.epoch_fitted()

    def _share(self, run: TrainerAdaptor) -> None:
        # Outside any guard and on every rank: the only place where ranks wait for each other because of us.
        run.shared = run.broadcast(run.shared)
        run.apply_cuts()

    def _finish(self, run: TrainerAdaptor) -> None:
        self._finished = True

    def _release(self, run: TrainerAdaptor) -> None:
        error = run.failure
        for slot in self._slots:
            if run.is_main or slot.callback.every_rank:
                slot.call("release", run)
        if self._finished:
            self._tell(run)
        else:
            self._conclude(run, f"ended by {type(error).__name__}" if error else "ended")
        run.unfollow()
        self._run = None  # what a trainer holds is large, and a suite lives as long as its model

    def _tell(self, run: TrainerAdaptor) -> None:
        """Picture, table and report of a training that went through."""
        if run.is_main and run.draws_plots:
            draw_picture(run.save_dir, self.callbacks)
        self._conclude(run, "finished")
        if run.is_main and self.report:
            write_report(run.save_dir)

    def _conclude(self, run: TrainerAdaptor, status: str) -> None:
        """Say what happened, once a run."""
        if not run.is_main or self._training_started is None:
            return
        summary = {
            "status": status,
            "epochs": run.last_epoch,
            "seconds": perf_counter() - self._training_started,
            "seconds_in_callbacks": self._seconds + perf_counter() - self._event_started,
            "folder": str(run.save_dir),
            "callbacks": [slot.told() for slot in self._slots],
        }
        LOGGER.info(render(summary))
        self._write(run, summary)

    # The state in the run's folder --------------------------------------------------------------------------------

    def _write(self, run: TrainerAdaptor, summary: dict[str, Any] | None = None) -> None:
        content = {
            "schema": _SCHEMA,
            "epoch": run.last_epoch,
            "versions": versions(),
            "callbacks": {slot.key: slot.state() for slot in self._slots},
            "summary": summary,
        }
        path = run.save_dir / STATE_FILE
        try:
            write_json(path, content)
        except OSError as error:
            if not self._warned:
                self._warned = True
                LOGGER.warning(f"{path} could not be written, this run cannot be resumed exactly: {error}")

    def _restore(self, run: TrainerAdaptor) -> None:
        kept = _kept_states(run)
        restored = [slot.key for slot in self._slots if slot.key in kept and _load(slot, kept[slot.key], run)]
        fresh = [slot.key for slot in self._slots if slot.key not in restored]
        LOGGER.info(
            f"Callbacks: resumed after epoch {run.completed_epochs}, restored: {', '.join(restored) or 'none'}"
            + (f"; started fresh: {', '.join(fresh)}" if fresh else "")
        )


def _kept_states(run: TrainerAdaptor) -> dict[str, Any]:
    state = read_json(run.save_dir / STATE_FILE)
    if state is None:
        return {}
    kept = state.get("callbacks")
    if state.get("schema") != _SCHEMA or not isinstance(kept, dict):
        LOGGER.warning(f"{STATE_FILE} of this run is of another form, it cannot be read")
        return {}
    if state.get("epoch", 0) > run.completed_epochs:
        LOGGER.warning(
            f"{STATE_FILE} is of epoch {state['epoch']}, the checkpoint of epoch {run.completed_epochs}: "
            "what came after it is forgotten, counts start again"
        )
    return kept


def _load(slot: Slot, state: Any, run: TrainerAdaptor) -> bool:
    """Whether a state could be taken over; it may be of another version, or of other arguments."""
    try:
        slot.callback.load_state_dict(state)
        slot.callback.resume(run)
    except Exception as error:
        LOGGER.warning(f"{slot.key}: its state cannot be taken over: {error!r}")
        slot.call("reset")
        slot.call("check", run)
        return False
    return True


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
        for claim in callback.claims(task):
            if claim in claimed:
                names = f"{type(claimed[claim]).__name__} and {type(callback).__name__}"
                remedy = "promote only one" if claim == "weights/best.pt" else "give one of them a filename of its own"
                raise ValueError(f"{names} would both write {claim}: {remedy}")
            claimed[claim] = callback


def _keys(callbacks: Iterable[Callback], task: str) -> list[str]:
    """A name for each callback's state, the same whenever the same callbacks are attached."""
    keys: list[str] = []
    for callback in callbacks:
        key, number = callback.key(task), 2
        while key in keys:
            key, number = f"{callback.key(task)}#{number}", number + 1
        keys.append(key)
    return keys


def _overrides(callback: Callback, event: str) -> bool:
    return getattr(type(callback), event) is not getattr(Callback, event)
