"""Read from a trainer the names of its classes and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yolo_callbacks.metrics.epoch_record import MetricNames
from yolo_callbacks.trainer.installation import late_metric_keys

__all__ = ["class_names", "metric_names"]


def class_names(trainer: Any) -> dict[int, str]:
    """Return the class names of a training by index."""
    # `get_dataset` of a user's trainer may return data without names; the model has them too.
    names = (getattr(trainer, "data", None) or {}).get("names")
    if names is None:
        names = getattr(getattr(trainer, "model", None), "names", None) or {}
    named = names.items() if isinstance(names, Mapping) else enumerate(names)
    return {int(index): str(name) for index, name in named}


def metric_names(trainer: Any) -> MetricNames:
    """Return the metric names that a trainer knows now.

    They are complete from `on_pretrain_routine_end` on, but for the losses.
    """
    # () until the first batch from 8.4.104 on; known from the start before that
    losses: tuple[str, ...] | None = tuple(map(str, getattr(trainer, "loss_names", None) or ()))
    if not losses and getattr(trainer, "tloss", None) is None:
        losses = None
    task = str(trainer.args.task)
    known = late_metric_keys(task) or trainer.metrics or {}
    metrics = [key for key in map(str, known) if not key.startswith("val/")]
    rates = [f"lr/pg{index}" for index in range(len(getattr(trainer.optimizer, "param_groups", ())))]
    return MetricNames(task, (*metrics, *rates), losses, class_names(trainer))
