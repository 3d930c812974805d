"""Call functions of the user at events, in a suite."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.callbacks.events import Event
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.unknown_arguments import UnknownArgumentError, hint

__all__ = ["LambdaCallback"]

_CALLS = ("on_epoch", "on_final_evaluation")
_RUN_LATER = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


class LambdaCallback(Callback):
    """Call functions at events; a suite isolates their errors and calls them on rank 0 only.

    Args:
        on_epoch: Called with the run and the record of each epoch. Defaults to `None`.
        on_final_evaluation: Called with the run and the record of the evaluation after training. Defaults to `None`.
        **functions: Functions by the name of an event, such as `on_train_start`. Each gets the object that Ultralytics
            passes to its callbacks: the trainer, validator, predictor or exporter.

    Attributes:
        functions: The functions given, by the name of their event.

    Raises:
        TypeError: If a name is no event; the message names the nearest one. Also if a value cannot be called, or is an
            async or generator function, whose body a call does not run.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import LambdaCallback, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, LambdaCallback(on_epoch=lambda run, record: print(record.epoch, record.metrics)))

    In a training on several GPUs Ultralytics stores the functions with cloudpickle: those of the script itself whole,
    those of a module by its name, which the workers must be able to import. Logs nothing. Writes no file.
    """

    def __init__(
        self,
        *,
        on_epoch: Callable[[TrainingRun, EpochRecord], object] | None = None,
        on_final_evaluation: Callable[[TrainingRun, EpochRecord], object] | None = None,
        **functions: Callable[[Any], object],
    ) -> None:
        given = {"on_epoch": on_epoch, "on_final_evaluation": on_final_evaluation, **functions}
        self.functions = {name: _validate(name, each) for name, each in given.items() if each is not None}
        for name in self.functions.keys() - {*_CALLS, Event.FIT_EPOCH_END.value}:
            setattr(self, name, self.functions[name])

    def __repr__(self) -> str:
        """Show the functions by event."""
        shown = ", ".join(f"{name}={getattr(each, '__name__', repr(each))}" for name, each in self.functions.items())
        return f"{type(self).__name__}({shown})"

    def listens_to(self, event: str) -> bool:
        """Return whether there is a function for an event."""
        return event in self.functions or (
            event == Event.FIT_EPOCH_END and any(name in self.functions for name in _CALLS)
        )

    def on_fit_epoch_end(self, trainer: Any) -> None:
        """Call the function for this event, then those of an epoch or of the final evaluation."""
        if Event.FIT_EPOCH_END in self.functions:
            self.functions[Event.FIT_EPOCH_END](trainer)
        super().on_fit_epoch_end(trainer)

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Call the function for an epoch."""
        if "on_epoch" in self.functions:
            self.functions["on_epoch"](run, record)

    def on_final_evaluation(self, run: TrainingRun, record: EpochRecord) -> None:
        """Call the function for the evaluation after training."""
        if "on_final_evaluation" in self.functions:
            self.functions["on_final_evaluation"](run, record)


def _validate(name: str, function: object) -> Callable[..., object]:
    known = (*_CALLS, *(event.value for event in Event))
    if name not in known:
        remedy = hint(name, known) or f" (there are {', '.join(known)})"
        raise UnknownArgumentError(f"LambdaCallback knows no event {name!r}{remedy}", name)
    if not callable(function):
        raise TypeError(f"{name} must be a function, received {function!r}")
    if any(runs_later(function) for runs_later in _RUN_LATER):
        raise TypeError(f"{name} must be a function whose call runs it, received the async or generator {function!r}")
    return function
