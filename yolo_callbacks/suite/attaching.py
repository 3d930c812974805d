"""Attach callbacks to a model in Python, and detach them."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterable, Mapping, Set
from typing import Any

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.callbacks.early_stopping import EarlyStopping
from yolo_callbacks.callbacks.memory_cleanup import MemoryCleanup
from yolo_callbacks.callbacks.save_best import SaveBest
from yolo_callbacks.report.at_end import ReportOutputs
from yolo_callbacks.suite.handlers import add_handlers, is_attached, remove_handlers
from yolo_callbacks.suite.suite import Suite
from yolo_callbacks.suite.training_checks import check_trainings, warn_of_running_training
from yolo_callbacks.trainer.model_inspection import task_of
from yolo_callbacks.utils.unknown_arguments import refusing_unknown

__all__ = ["attach", "default_suite", "detach"]

# The suite imports no report: its outputs are handed to it here.
Suite.outputs = ReportOutputs()


@refusing_unknown
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
            An empty list attaches none. Without any argument, the default suite: `SaveBest()`, `EarlyStopping()`,
            `MemoryCleanup()` and `WandbLogger(images=0, log_model=False)`, which uploads no picture and no weights.
        strict: Whether an exception inside a callback ends the training. Defaults to `False`: it is logged, and
            training goes on.
        report: Whether to write `report.html` in the run's folder at the end. What it needs is recorded while training:
            `callbacks.jsonl` and `callbacks.images.json`. Defaults to `False`.
        keep_resumable: Whether last.pt keeps its optimizer at the end of a run, so that `extend` and
            `yolo-callbacks extend` can train the run for more epochs. It is about four times as large then. Defaults
            to `False`.

    Returns:
        The suite. It can be used for several trainings; each starts from a clean state. Attaching to a model again
        replaces the suite that it has, with a warning. It does not reach the iterations of `model.tune()`, nor a
        training that has already begun; a warning says so.

    Raises:
        TypeError: If `model` takes no callbacks, one of `callbacks` is none, or an argument is unknown.
        ValueError: If a callback is given twice, or two would write the same file or log to the same W&B run.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import EarlyStopping, SaveBest, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, SaveBest("mAP50", top_k=3), EarlyStopping("mAP50-95", patience=20))
    """
    task = task_of(model, caller="attach")
    given = _as_list(callbacks) if callbacks else default_suite()
    suite = Suite(given, task=task, strict=strict, report=report, keep_resumable=keep_resumable)
    suite.model = weakref.ref(model)
    if is_attached(model):
        # 3: past the decorator, to the line of the user
        warnings.warn("attach replaces the callbacks that this model has from an earlier attach", stacklevel=3)
    remove_handlers(model)
    add_handlers(model, suite)
    warn_of_running_training(model, suite.callbacks)
    check_trainings()
    return suite


def detach(model: Any) -> Suite | None:
    """Detach the suite that `attach` gave to a model; trainings that start later run without it.

    Args:
        model: A `YOLO` model, or an Ultralytics trainer.

    Returns:
        The suite; None if the model has none. Its callbacks can be attached again.

    Raises:
        TypeError: If `model` takes no callbacks.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import EarlyStopping, attach, detach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, EarlyStopping())
        >>> detach(model) is suite
        True
    """
    task_of(model, caller="detach")
    return remove_handlers(model)


def default_suite() -> tuple[Callback, ...]:
    """Return the callbacks that `attach` takes where it is given none."""
    from yolo_callbacks.loggers.wandb_logger import WandbLogger  # a fifth of the import of this module

    return SaveBest(), EarlyStopping(), MemoryCleanup(), WandbLogger(images=0, log_model=False)


def _as_list(callbacks: Iterable[Callback | Iterable[Callback]]) -> list[Any]:
    """Return the callbacks that were given one by one, or as one list, tuple or generator.

    A set has no order, in which its callbacks could run. `Suite` refuses it, and every other object.
    """
    given = list(callbacks)
    if len(given) == 1 and isinstance(given[0], Iterable):
        only: Any = given[0]
        if not isinstance(only, (Callback, str, bytes, Mapping, Set)):
            return list(only)
    return given
