"""What callbacks see of a training: one record for each epoch, and the names that a run knows.

Plain Python: no ultralytics and no torch here, so that decisions can be fed and tested without either.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

__all__ = ["EpochRecord", "MetricNames"]

# The attributes that the journal stores of each record.
_STORED = (
    "epoch", "epochs", "validated", "warming_up", "mosaic_closed", "metrics", "per_class", "best_confidence"
)  # fmt: skip


@dataclass(frozen=True)
class MetricNames:
    """The names that a run knows, against which a monitor is checked.

    Attributes:
        task: Ultralytics' name of the task: `"detect"`, `"segment"`, `"pose"`, `"obb"`, `"classify"`, …
        keys: Every metric key, as in `trainer.metrics` without the losses, and the learning rates.
        losses: Names of the loss components without a prefix, or None while Ultralytics does not know them: from
            8.4.104 on it learns them from the first batch.
        names: Class names by index.
    """

    task: str
    keys: tuple[str, ...]
    losses: tuple[str, ...] | None
    names: Mapping[int, str]

    @property
    def all_keys(self) -> tuple[str, ...]:
        """Every key that an epoch's metrics can hold."""
        losses = self.losses or ()
        return (*self.keys, *(f"{split}/{loss}" for split in ("train", "val") for loss in losses), "fitness")


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of a training, as every callback sees it.

    Attributes:
        epoch: The epoch, counted from 1 as `results.csv` and the progress bar do. The final record carries the number
            of the last epoch.
        epochs: How many epochs the run is planned to have.
        metrics: Training losses, learning rates and, where validation ran, validation losses and metrics, all under
            Ultralytics' own keys, and `"fitness"`. An epoch without validation holds no validation value.
        per_class: Values by class index for `"precision(B)"`, `"recall(B)"`, `"mAP50(B)"`, `"mAP50-95(B)"`, the same
            with `(M)` for masks and `(P)` for poses. A class without boxes in the validation set is absent.
        best_confidence: The confidence at which F1 of the boxes is highest, by class index.
        names: Class names by index.
        validated: Whether validation really ran in this epoch.
        final: Whether this is the extra call after training, with the metrics of the best checkpoint. Not an epoch.
        checkpoint: The `last.pt` that Ultralytics has just written, or None where it wrote none in this epoch.
        warming_up: Whether the warm-up of the learning rate was not over at the end of this epoch.
        mosaic_closed: Whether this epoch trained without mosaic because Ultralytics switched it off for the last ones.
        scalars: What callbacks logged in this epoch, for the loggers.
    """

    epoch: int
    epochs: int
    metrics: Mapping[str, float]
    per_class: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    best_confidence: Mapping[int, float] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    validated: bool = True
    final: bool = False
    checkpoint: Path | None = None
    warming_up: bool = False
    mosaic_closed: bool = False
    scalars: dict[str, float] = field(default_factory=dict)

    @classmethod
    def restore(cls, content: Mapping[str, Any], *, names: Mapping[int, str], checkpoint: Path) -> EpochRecord:
        """Return the record that a line of the journal holds, as the callbacks would have seen it."""
        stored = {name: content[name] for name in _STORED}
        scalars = dict(content.get("published", {}))
        return cls(**stored, names=names, checkpoint=checkpoint, scalars=scalars)

    def class_name(self, index: int) -> str:
        """The name of a class, with its index where several have that name."""
        name = self.names.get(index) or str(index)
        return name if self._classes_named[name] < 2 else f"{name}#{index}"

    @cached_property
    def _classes_named(self) -> Counter[str]:
        """How many classes have a name; counted once, since a thousand classes ask for it."""
        return Counter(self.names.values())

    def log(self, key: str, value: float) -> None:
        """Hand a scalar to the loggers, which run after all other callbacks.

        Args:
            key: The name to log under, for example `"early_stopping/wait"`.
            value: The scalar.

        Raises:
            TypeError: If `key` is no string, or `value` no number: here, where its author sees it, not in a logger.
            ValueError: If `key` is empty, `"epoch"`, one of Ultralytics' metrics or logged in this epoch already, or
                if `value` holds several numbers or is too large.
        """
        _check_key(key)
        if key in self.scalars or key in self.metrics:
            raise ValueError(f"{key!r} has a value already in epoch {self.epoch}: choose another key")
        self.scalars[key] = _scalar(key, value)

    def publish(self, key: str, value: float) -> None:
        """Do as `log`, under the name that it had before."""
        warnings.warn(
            "record.publish(key, value) is called record.log(key, value) now", DeprecationWarning, stacklevel=2
        )
        self.log(key, value)

    @property
    def published(self) -> dict[str, float]:
        """The scalars, under the name that they had before."""
        warnings.warn("record.published is called record.scalars now", DeprecationWarning, stacklevel=2)
        return self.scalars


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise TypeError(f"key must be a string, received {key!r}")
    if not key.strip():
        raise ValueError(f"key must not be empty, received {key!r}")
    if key == "epoch":
        raise ValueError("key must not be 'epoch', under which loggers write the number of the epoch")
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"key must be of characters that UTF-8 has, received {key!r}") from error


def _scalar(key: str, value: Any) -> float:
    """Return a value as a float; NaN and infinity are numbers too. A tensor or array of one element is one."""
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError(f"the value of {key!r} must be a number, received {value!r}")
    size = getattr(value, "numel", None) or getattr(value, "size", None)
    count = size() if callable(size) else size
    if isinstance(count, int) and count != 1:
        raise ValueError(f"the value of {key!r} must be one number, received {count} in a {type(value).__name__}")
    try:
        # an array of one element that has a dimension is deprecated as an argument of `float`, from NumPy 1.25 on
        return float(value.item() if hasattr(value, "item") else value)
    except OverflowError as error:
        raise ValueError(f"the value of {key!r} must fit a float, received a larger one") from error
    except Exception as error:  # objects of any kind
        kind = type(value).__name__
        raise TypeError(f"the value of {key!r} must be a number, received an object of type {kind}") from error
