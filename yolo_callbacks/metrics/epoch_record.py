"""Describe an epoch of a training to the callbacks, and the metric names of the run.

This module imports neither ultralytics nor torch, so that decisions can be tested without them.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from yolo_callbacks.metrics.epoch_metrics import EpochMetrics

__all__ = ["EpochRecord", "MetricNames"]

# The attributes of a record that the journal stores.
_STORED = (
    "epoch", "epochs", "validated", "warming_up", "mosaic_closed", "metrics", "per_class", "best_confidence",
    "thresholds", "by_size",
)  # fmt: skip


@dataclass(frozen=True)
class MetricNames:
    """The metric names of a run, among which a monitor must be.

    Attributes:
        task: Ultralytics' name of the task: `"detect"`, `"segment"`, `"pose"`, `"obb"`, `"classify"`, …
        keys: Every metric key of `trainer.metrics` without the losses, and the keys of the learning rates.
        losses: The names of the loss components without a prefix, or None while Ultralytics does not know them: from
            8.4.104 on it knows them after the first batch.
        names: The class names by index.
        scalars: The keys that other callbacks log before a decision of this epoch. Defaults to none.
    """

    task: str
    keys: tuple[str, ...]
    losses: tuple[str, ...] | None
    names: Mapping[int, str]
    scalars: tuple[str, ...] = ()

    @property
    def all_keys(self) -> tuple[str, ...]:
        """Every key that the metrics of an epoch can have."""
        losses = [f"{split}/{loss}" for split in ("train", "val") for loss in self.losses or ()]
        return (*self.keys, *losses, "fitness", *self.scalars)


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of a training: what was measured, and the scalars that callbacks have logged.

    Every callback receives the same record of an epoch. The attributes cannot be replaced; `log` adds a scalar.

    Attributes:
        epoch: The number of the epoch, counted from 1 as in `results.csv` and the progress bar. The record of the
            evaluation after training has the number of the last epoch.
        epochs: The planned number of epochs.
        metrics: Training losses and learning rates under Ultralytics' keys, and `"fitness"`. If the epoch was
            validated, validation losses and metrics too.
        per_class: Values by class index, for `"precision(B)"`, `"recall(B)"`, `"mAP50(B)"` and `"mAP50-95(B)"`, with
            `(M)` for masks and `(P)` for poses. A class without objects in the validation set is missing.
        best_confidence: The confidence with the highest F1 of the boxes, by class index.
        thresholds: The lowest confidence from which on the boxes reach a precision, by that precision (`"0.8"`,
            `"0.9"`, `"0.95"`) and class index; without the classes that never reach it.
        by_size: `"mAP50(B)"` and `"mAP50-95(B)"` of `"small"`, `"medium"` and `"large"` objects, where a monitor reads
            one of them.
        names: The class names by index.
        validated: Whether validation ran in this epoch.
        final: Whether this is the record of the evaluation after training, with the metrics of the best checkpoint.
            It is not an epoch.
        checkpoint: The `last.pt` that Ultralytics has just written, or None if it wrote none in this epoch.
        warming_up: Whether the warm-up of the learning rate was not over at the end of this epoch.
        mosaic_closed: Whether this epoch trained without mosaic, which Ultralytics switches off for the last epochs.
        scalars: The scalars that callbacks have logged in this epoch, for the loggers.

    Example:
        >>> from yolo_callbacks import EpochRecord
        >>> record = EpochRecord(epoch=3, epochs=100, metrics={"train/box_loss": 1.5, "val/box_loss": 2.0})
        >>> record.log("gap/box_loss", record.metrics["val/box_loss"] - record.metrics["train/box_loss"])
        >>> record.scalars
        {'gap/box_loss': 0.5}
    """

    epoch: int
    epochs: int
    metrics: Mapping[str, float]
    per_class: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    best_confidence: Mapping[int, float] = field(default_factory=dict)
    thresholds: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    by_size: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    validated: bool = True
    final: bool = False
    checkpoint: Path | None = None
    warming_up: bool = False
    mosaic_closed: bool = False
    scalars: dict[str, float] = field(default_factory=dict)

    @classmethod
    def restore(cls, content: Mapping[str, Any], *, names: Mapping[int, str], checkpoint: Path) -> EpochRecord:
        """Return the record that a line of the journal stores, as the callbacks would have received it."""
        stored = {name: content[name] for name in _STORED}
        stored["metrics"] = EpochMetrics(stored["metrics"])
        scalars = dict(content.get("published", {}))
        return cls(**stored, names=names, checkpoint=checkpoint, scalars=scalars)

    def class_name(self, index: int) -> str:
        """Return the name of a class, followed by its index if several classes have that name."""
        name = self.names.get(index) or str(index)
        return name if self._classes_named[name] < 2 else f"{name}#{index}"

    @cached_property
    def _classes_named(self) -> Counter[str]:
        """How many classes have each name; counted once, since a run may have a thousand classes."""
        return Counter(self.names.values())

    def log(self, key: str, value: float) -> None:
        """Log a scalar: pass it to the loggers, which run after all other callbacks.

        Args:
            key: The name of the scalar, for example `"early_stopping/wait"`.
            value: The scalar.

        Raises:
            TypeError: If `key` is not a string, or `value` is not a number.
            ValueError: If `key` is empty, is `"epoch"`, is a metric of Ultralytics, or was logged in this epoch before.
                Also if `value` holds several numbers, or is too large for a float.
        """
        _validate_key(key)
        if key in self.scalars or key in self.metrics:
            raise ValueError(f"{key!r} has a value already in epoch {self.epoch}: choose another key")
        self.scalars[key] = _scalar(key, value)

    def publish(self, key: str, value: float) -> None:
        """Log a scalar, by the old name of `log`."""
        warnings.warn(
            "record.publish(key, value) is called record.log(key, value) now", DeprecationWarning, stacklevel=2
        )
        self.log(key, value)

    @property
    def published(self) -> dict[str, float]:
        """The scalars, by the old name of `scalars`."""
        warnings.warn("record.published is called record.scalars now", DeprecationWarning, stacklevel=2)
        return self.scalars


def _validate_key(key: object) -> None:
    if not isinstance(key, str):
        raise TypeError(f"key must be a string, received {key!r}")
    if not key.strip():
        raise ValueError(f"key must not be empty, received {key!r}")
    if key == "epoch":
        raise ValueError("key must not be 'epoch', which loggers use for the number of the epoch")
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"key must contain only characters that UTF-8 can encode, received {key!r}") from error


def _scalar(key: str, value: Any) -> float:
    """Return a value as a float, also NaN, infinity, and a tensor or array with one element."""
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError(f"the value of {key!r} must be a number, received {value!r}")
    size = getattr(value, "numel", None) or getattr(value, "size", None)
    count = size() if callable(size) else size
    if isinstance(count, int) and count != 1:
        raise ValueError(f"the value of {key!r} must be one number, received {count} in a {type(value).__name__}")
    try:
        # From NumPy 1.25 on, `float` of an array with one element and a dimension is deprecated.
        return float(value.item() if hasattr(value, "item") else value)
    except OverflowError as error:
        raise ValueError(f"the value of {key!r} must fit a float, received a larger one") from error
    except Exception as error:  # an object of any type may raise anything
        kind = type(value).__name__
        raise TypeError(f"the value of {key!r} must be a number, received an object of type {kind}") from error
