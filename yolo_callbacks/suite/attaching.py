"""The way in from Python: callbacks on a model, as one suite."""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from _yolo_callbacks_boot import VARIABLE, refuse
from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.callbacks.early_stopping import EarlyStopping
from yolo_callbacks.callbacks.memory_cleanup import MemoryCleanup
from yolo_callbacks.callbacks.save_best import SaveBest
from yolo_callbacks.loggers.wandb_logger import WandbLogger
from yolo_callbacks.state.state_file import last_finished_epoch
from yolo_callbacks.suite.suite import Suite
from yolo_callbacks.trainer.installation import (
    before_training,
    before_tuning,
    before_workers_without_callbacks,
    running_trainer,
    task_of,
)
from yolo_callbacks.trainer.resume import check_resume
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.version import versions

__all__ = ["attach", "check_training", "default_suite", "detach", "is_attached"]


def attach(
    model: Any,
    *callbacks: Callback | Iterable[Callback],
    strict: bool = False,
    report: bool = False,
    keep_resumable: bool = False,
) -> Suite:
    """Attach callbacks to a model, so that its trainings run them.

    Args:
        model: A `YOLO` model, or an Ultralytics trainer.
        *callbacks: In the order in which they run, one by one or as one list; loggers run last whatever their place.
            Without any, the default suite: `SaveBest()`, `EarlyStopping()`, `MemoryCleanup()` and
            `WandbLogger(images=0, log_model=False)`, which uploads no picture and no weights.
        strict: Whether an exception inside a callback ends the training. Defaults to `False`: it is logged, and
            training goes on.
        report: Whether to write `report.html` in the run's folder at the end. What it needs is kept while training:
            `callbacks.jsonl` and `callbacks.images.json`. Defaults to `False`.
        keep_resumable: Whether last.pt keeps its optimizer at the end of a run, so that `extend` and
            `yolo-callbacks extend` can train the run for more epochs. It is about four times as large then. Defaults
            to `False`.

    Returns:
        The suite. It can be used for several trainings; each starts from a clean state. Attaching to a model again
        replaces the suite that it has, with a warning. It does not reach the iterations of `model.tune()`, nor a
        training that has already begun; a warning says so.

    Raises:
        TypeError: If `model` takes no callbacks, or one of `callbacks` is none.
        ValueError: If a callback is given twice, or two would write the same file or log to the same W&B run.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import EarlyStopping, SaveBest, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, SaveBest("mAP50", top_k=3), EarlyStopping("mAP50-95", patience=20))
    """
    task = task_of(model)
    suite = Suite(
        _listed(callbacks) or default_suite(), task=task, strict=strict, report=report, keep_resumable=keep_resumable
    )
    suite.model = weakref.ref(model)
    if is_attached(model):
        warnings.warn("attach replaces the callbacks that this model has from an earlier attach", stacklevel=2)
    detach(model)
    for event in suite.events:
        model.add_callback(event, _Handler(suite, event))
    _warn_of_running(model, suite)
    before_workers_without_callbacks(_warn_of_workers)
    before_training(check_training)
    before_tuning(_warn_of_tuning)
    return suite


def detach(model: Any) -> Suite | None:
    """Take the suite that `attach` gave to a model off again; trainings that start later run without it.

    Args:
        model: A `YOLO` model, or an Ultralytics trainer.

    Returns:
        The suite, to be attached again; None if the model has none.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import EarlyStopping, attach, detach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, EarlyStopping())
        >>> detach(model) is suite
        True
    """
    handlers = [each for functions in model.callbacks.values() for each in functions if isinstance(each, _Handler)]
    for event, functions in model.callbacks.items():
        model.callbacks[event] = [function for function in functions if not isinstance(function, _Handler)]
    return handlers[0].suite if handlers else None


def is_attached(model: Any) -> bool:
    """Whether `attach` has given callbacks to a model or trainer."""
    return any(isinstance(function, _Handler) for functions in model.callbacks.values() for function in functions)


def _listed(callbacks: Iterable[Callback | Iterable[Callback]]) -> list[Any]:
    """Return the callbacks that were given one by one, or as one list."""
    given = list(callbacks)
    if len(given) == 1 and isinstance(given[0], (list, tuple)):
        return list(given[0])
    return given


def default_suite() -> tuple[Callback, ...]:
    """The callbacks that `attach` takes where it is given none."""
    return SaveBest(), EarlyStopping(), MemoryCleanup(), WandbLogger(images=0, log_model=False)


def _warn_of_running(model: Any, suite: Suite) -> None:
    trainer = running_trainer(model)
    if trainer is not None and trainer.callbacks is not model.callbacks:  # copied from 8.4.140 on
        names = ", ".join(type(callback).__name__ for callback in suite.callbacks)
        LOGGER.warning(
            "The training of this model has already begun and runs with the callbacks that the model had then: "
            f"{names} will do nothing in this run. Attach before model.train()"
        )


def _warn_of_workers(trainer: Any) -> None:
    if is_attached(trainer) and not os.environ.get(VARIABLE):
        LOGGER.warning(
            f"Ultralytics {versions()['ultralytics']} does not carry callbacks given in Python to the workers of a "
            "training on several GPUs (8.4.140 does): none of those that `attach` was given runs. "
            "YOLO_CALLBACKS=callbacks.yaml in the environment reaches the workers"
        )


def check_training(model: Any, arguments: Mapping[str, Any]) -> None:
    """Refuse to resume a run that is over, which Ultralytics answers with another training.

    Raises:
        ValueError: If there is nothing to resume. In a `yolo` command it becomes one line and exit code 2.
    """
    if is_attached(model) or os.environ.get(VARIABLE):
        try:
            check_resume(model, arguments, finished=last_finished_epoch)
        except ValueError as error:
            refuse(error)


def _warn_of_tuning(model: Any, arguments: Mapping[str, Any]) -> None:
    if is_attached(model) and not os.environ.get(VARIABLE):
        LOGGER.warning(
            "model.tune() trains each iteration in another process, where none of the callbacks runs that `attach` was "
            "given. Set YOLO_CALLBACKS=callbacks.yaml in the environment to run callbacks in every iteration"
        )


class _Handler:
    """What Ultralytics calls: a suite's answer to one event."""

    def __init__(self, suite: Suite, event: str) -> None:
        self.suite, self.event = suite, event

    def __call__(self, source: Any) -> None:
        self.suite.handle(self.event, source)
