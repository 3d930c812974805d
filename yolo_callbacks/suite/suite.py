"""Run several callbacks on one model as one suite."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.callbacks.events import Event
from yolo_callbacks.suite.callback_list import state_keys, validate_callbacks
from yolo_callbacks.suite.dispatch import OUTSIDE_TRAINING, Dispatcher
from yolo_callbacks.suite.guarded_callback import GuardedCallback
from yolo_callbacks.suite.results import load_results
from yolo_callbacks.suite.run_end import NoOutputs, RunOutputs
from yolo_callbacks.suite.run_session import RunSession, SessionOptions
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_bool

__all__ = ["Suite"]


def _no_model() -> None:
    """Return the model of a suite in a worker, and before `attach`: there is none."""


class Suite:
    """The callbacks of a model, which run together. Made by `attach`.

    Attributes:
        callbacks: The callbacks, in the order in which they run.
        strict: Whether an exception inside a callback ends the training.
        report: Whether a report is written at the end of a run.
        keep_resumable: Whether last.pt keeps its optimizer at the end of a run.
        events: The names of the events that the suite listens to.
    """

    outputs: ClassVar[RunOutputs] = NoOutputs()
    """Draws the picture and writes the report of each run. The module of `attach` sets those of the report's layer."""

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
        validate_callbacks(given, task)
        recorders = self.outputs.recorders(given) if report else []
        given += recorders
        self.callbacks = tuple(sorted(given, key=lambda callback: callback.is_logger))
        names = [event.value for event in Event]
        listened = [frozenset(filter(callback.listens_to, names)) for callback in self.callbacks]
        self._keys = state_keys(self.callbacks, task)
        self._members = list(zip(self.callbacks, self._keys, listened, strict=True))
        self._recorders = frozenset(index for index, each in enumerate(self.callbacks) if each in recorders)
        events = RunSession.EVENTS.union(*listened)
        self.events = tuple(name for name in names if name in events)
        self.model: Callable[[], Any] = _no_model
        self._dispatcher = self._new_dispatcher()
        self._session: RunSession | None = None

    def __repr__(self) -> str:
        """Show the callbacks, and the options that are on."""
        options = [f"{name}=True" for name in ("strict", "report", "keep_resumable") if getattr(self, name)]
        return f"{type(self).__name__}({', '.join([repr(list(self.callbacks)), *options])})"

    def __getstate__(self) -> dict[str, Any]:
        """Return what a worker gets: from 8.4.140 on Ultralytics pickles the callbacks for the workers of several GPUs.

        A run belongs to its process.
        """
        return {**self.__dict__, "_session": None, "_dispatcher": self._new_dispatcher(), "model": _no_model}

    def handle(self, event: str, source: Any) -> None:
        """Run the callbacks that listen to an event.

        Args:
            event: The name of the event.
            source: What Ultralytics hands to a callback: the trainer, validator, predictor or exporter.
        """
        session = self._session
        if session is not None and event in session.settled and source is session.run.trainer:
            session.handle_settled(event, source)
        elif event.startswith(OUTSIDE_TRAINING):
            run = session.run if session else None
            for member in self._dispatcher.listeners(event, run):
                member.call(event, source)
        elif current := self._session_of(event, source):
            current.handle(event, source)

    def blame(self, error: Exception) -> Callback | None:
        """Return the callback that got a wrong argument, where `handle` raised `error` because of that; else None."""
        return self._session.errors.blame(error) if self._session else None

    def load_results(self) -> dict[str, Any]:
        """Load the results of the last training of the model from its callbacks.json.

        The workers of a multi-GPU training are processes of their own, whose callbacks are copies. This gives the
        callbacks of this process the attributes that the copies had at the end. After a training in this process it
        changes nothing.

        After `model.train(data=[a, b])`, which trains on one data set after the other, return the results of each run,
        by the names under which `train` returns their metrics: None for a data set whose training failed. The
        attributes of the callbacks are those of the last run that did not fail.

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
        return load_results(self.model(), self._dispatcher.members)

    def results(self) -> dict[str, Any]:
        """Return `load_results()`; deprecated."""
        warnings.warn("suite.results() is called suite.load_results() now", DeprecationWarning, stacklevel=2)
        return self.load_results()

    def _new_dispatcher(self) -> Dispatcher:
        of_report = self._recorders
        return Dispatcher(
            [GuardedCallback(*each, of_report=index in of_report) for index, each in enumerate(self._members)]
        )

    def _session_of(self, event: str, source: Any) -> RunSession | None:
        """Return the session that an event belongs to; None if it belongs to none, as a validation by the user."""
        session = self._session
        if event.startswith("on_val"):
            return session if session and source is session.run.validator else None
        is_current = session is not None and session.run.trainer is source
        if event == Event.TEARDOWN and (not is_current or session is None or session.torn_down):
            return None  # handled already, when the training failed
        return session if is_current else self._open_session(source)

    def _open_session(self, trainer: Any) -> RunSession:
        """Start the session of a training."""
        options = SessionOptions(
            strict=self.strict, report=self.report, keep_resumable=self.keep_resumable, outputs=self.outputs
        )
        self._dispatcher = self._new_dispatcher()
        self._session = RunSession(TrainingRun.of(trainer), self._dispatcher, options, self._drop)
        self._session.open()
        return self._session

    def _drop(self, session: RunSession) -> None:
        """Drop a session that is over: its trainer is large, and a suite lives as long as its model."""
        if self._session is session:
            self._session = None
