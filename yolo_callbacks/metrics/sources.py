"""Find the value that the name of a monitor means in a run, and read it from the record of an epoch."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from yolo_callbacks.decisions.comparison import Mode
from yolo_callbacks.metrics.epoch_record import EpochRecord, MetricNames
from yolo_callbacks.utils.unknown_arguments import nearest

__all__ = [
    "CLASS_METRICS",
    "FOR_A_SCRIPT",
    "SIZES",
    "FunctionSource",
    "Source",
    "WeightedSum",
    "direction_of",
    "find_source",
]

CLASS_METRICS = ("precision", "recall", "mAP50", "mAP50-95")
"""The metrics of which each class has a value, without the suffix of boxes, masks or poses."""

SIZES = ("small", "medium", "large")
"""The sizes of objects: the area of the box below 32², from there to 96², and above, in pixels of the image."""

FOR_A_SCRIPT = ", or a function, for a metric that validation adds later: lambda metrics: metrics['metrics/mine']"
"""The advice in the message of a wrong monitor that is of no use for a YAML file."""

_ACCURACY = ("top1", "top5")
_METRIC = re.compile(r"(?:metrics/)?(?P<name>precision|recall|mAP50|mAP50-95)(?:\((?P<suffix>[BMP])\))?")
_WORST = re.compile(r"min\((?P<metric>.+)\)")
_NO_CLASS = "none: this task has no values by class"


class Source(Protocol):
    """The place of a monitor's value in the records of a run."""

    def read(self, record: EpochRecord) -> float | None:
        """Return the value of an epoch, or None if it has none."""
        ...

    def measures_detection(self, record: EpochRecord) -> bool:
        """Return whether the value means nothing in an epoch that detects nothing."""
        ...

    def absent_class(self, record: EpochRecord) -> str | None:
        """Return the name of the class without a value because the validation set has no object of it, or None."""
        ...


@dataclass(frozen=True)
class Key:
    """A key of `record.metrics`."""

    key: str

    def read(self, record: EpochRecord) -> float | None:
        """Return the value of the key."""
        return record.metrics.get(self.key)

    def measures_detection(self, record: EpochRecord) -> bool:
        """Return True for Ultralytics' metrics of detection, validation losses, and a fitness of 0."""
        if self.key == "fitness":
            # Ultralytics' fitness is 0 if every mAP is 0; any other value is a fitness that the user has defined.
            return record.metrics.get(self.key) == 0
        return self.key.startswith("val/") or _METRIC.fullmatch(self.key) is not None

    def absent_class(self, record: EpochRecord) -> str | None:
        """Return None: a key belongs to no class."""
        return None


@dataclass(frozen=True)
class Scalar:
    """A scalar that another callback has logged in the epoch."""

    key: str

    def read(self, record: EpochRecord) -> float | None:
        """Return the scalar."""
        return record.scalars.get(self.key)

    def measures_detection(self, record: EpochRecord) -> bool:
        """Return False: the meaning of the scalar is unknown."""
        return False

    def absent_class(self, record: EpochRecord) -> str | None:
        """Return None: a scalar belongs to no class."""
        return None


@dataclass(frozen=True)
class OneClass:
    """A metric of one class."""

    metric: str
    index: int

    def read(self, record: EpochRecord) -> float | None:
        """Return the metric of the class."""
        return record.per_class.get(self.metric, {}).get(self.index)

    def measures_detection(self, record: EpochRecord) -> bool:
        """Return True: values by class are metrics of detection."""
        return True

    def absent_class(self, record: EpochRecord) -> str | None:
        """Return the name of the class if the other classes have values and this one has none."""
        values = record.per_class.get(self.metric, {})
        return record.class_name(self.index) if values and self.index not in values else None


@dataclass(frozen=True)
class OneSize:
    """A metric of the objects of one size."""

    metric: str
    size: str

    def read(self, record: EpochRecord) -> float | None:
        """Return the metric of the size."""
        return record.by_size.get(self.metric, {}).get(self.size)

    def measures_detection(self, record: EpochRecord) -> bool:
        """Return True: values by size are metrics of detection."""
        return True

    def absent_class(self, record: EpochRecord) -> str | None:
        """Return the size if other sizes have values and this one has none."""
        values = record.by_size.get(self.metric, {})
        return self.size if values and self.size not in values else None


@dataclass(frozen=True)
class WorstClass:
    """The lowest value of a metric over all classes that have one."""

    metric: str

    def read(self, record: EpochRecord) -> float | None:
        """Return the lowest value, or NaN if any value is NaN."""
        values = record.per_class.get(self.metric, {}).values()
        # The result of min() for values with NaN depends on their order.
        return math.nan if any(map(math.isnan, values)) else min(values, default=None)

    def measures_detection(self, record: EpochRecord) -> bool:
        """Return True: values by class are metrics of detection."""
        return True

    def absent_class(self, record: EpochRecord) -> str | None:
        """Return None: classes without a value are ignored."""
        return None


@dataclass(frozen=True)
class WeightedSum:
    """A weighted sum of other sources."""

    terms: tuple[tuple[float, Source], ...]

    def read(self, record: EpochRecord) -> float | None:
        """Return the sum, or None if one of its terms has no value."""
        total = 0.0
        for weight, source in self.terms:
            value = source.read(record)
            if value is None:
                return None
            total += weight * value
        return total

    def measures_detection(self, record: EpochRecord) -> bool:
        """Return whether a term with a weight other than 0 measures detection."""
        return any(source.measures_detection(record) for weight, source in self.terms if weight)

    def absent_class(self, record: EpochRecord) -> str | None:
        """Return the first absent class of a term."""
        absent = (source.absent_class(record) for _, source in self.terms)
        return next((name for name in absent if name is not None), None)


@dataclass(frozen=True)
class FunctionSource:
    """A function of the user, called with the metrics of an epoch."""

    function: Callable[[Mapping[str, float]], float]

    def read(self, record: EpochRecord) -> float | None:
        """Return the value of the function, or None in an epoch without validation.

        Such an epoch lacks the metrics that the function most likely reads.
        """
        return float(self.function(MappingProxyType(dict(record.metrics)))) if record.validated else None

    def measures_detection(self, record: EpochRecord) -> bool:
        """Return False: the meaning of the function is unknown."""
        return False

    def absent_class(self, record: EpochRecord) -> str | None:
        """Return None: a function belongs to no class."""
        return None


def direction_of(name: str) -> Mode | None:
    """Return whether a lower or a higher value is better, or None if the name does not say it."""
    if name.startswith(("train/", "val/")):
        return "min"
    worst = _WORST.fullmatch(name)
    base = worst["metric"] if worst else name.removeprefix("metrics/").partition("/")[0]
    known = base in _ACCURACY or base in ("fitness", "accuracy_top1", "accuracy_top5")
    return "max" if known or _METRIC.fullmatch(base) else None


def find_source(name: str, metric_names: MetricNames) -> Source | None:
    """Return the source of a name, or None if the name may be a loss that the run does not know yet.

    Raises:
        ValueError: If the run has no value of that name.
    """
    if name in metric_names.scalars:
        return Scalar(name)
    key = _metric_key(name, metric_names) or (name if name in metric_names.all_keys else None)
    if key is not None:
        return Key(key)
    split, _, loss = name.partition("/")
    if split in ("train", "val") and loss:
        if metric_names.losses is None:
            return None
        if loss == "loss" and metric_names.losses:
            return WeightedSum(tuple((1.0, Key(f"{split}/{part}")) for part in metric_names.losses))
    worst = _WORST.fullmatch(name)
    if worst and (key := _metric_key(worst["metric"], metric_names, per_class=True)):
        return WorstClass(key.removeprefix("metrics/"))
    metric, slash, wanted = name.removeprefix("metrics/").partition("/")
    if size := size_of(name, metric_names):
        return size
    if slash and (key := _metric_key(metric, metric_names, per_class=True)):
        return OneClass(key.removeprefix("metrics/"), _class_index(wanted, name, metric_names))
    raise ValueError(_unknown(name, metric_names))


def size_of(name: str, metric_names: MetricNames) -> OneSize | None:
    """Return the source of a name such as `"mAP50-95/small"`; None for another name, or where a class has that name."""
    metric, _, size = name.removeprefix("metrics/").partition("/")
    if size not in SIZES or size in metric_names.names.values() or not metric.startswith("mAP"):
        return None
    if metric_names.task == "obb":  # the area of the upright box around a rotated one is not that of the object
        return None
    key = _metric_key(metric, metric_names, per_class=True)
    return OneSize(key.removeprefix("metrics/"), size) if key and key.endswith("(B)") else None


def _metric_key(name: str, metric_names: MetricNames, *, per_class: bool = False) -> str | None:
    """Return the key of the run for a short name, or None."""
    found = _METRIC.fullmatch(name)
    if found:
        key = f"metrics/{found['name']}({found['suffix'] or 'B'})"
    elif per_class or name.startswith("accuracy_"):
        return None
    else:
        key = f"metrics/accuracy_{name}" if name in _ACCURACY else f"metrics/{name}"
    return key if key in metric_names.keys else None


def _class_index(wanted: str, name: str, metric_names: MetricNames) -> int:
    found = [index for index, class_name in metric_names.names.items() if class_name == wanted]
    if len(found) > 1:
        raise ValueError(f"monitor {name!r}: the classes {found} are all called {wanted!r}, use one of these numbers")
    if found:
        return found[0]
    # After the names: a class may be called "3".
    if wanted.isdecimal() and int(wanted) in metric_names.names:
        return int(wanted)
    classes = list(metric_names.names.values())
    guess = nearest(wanted, classes)
    meant = f" Did you mean {name.removesuffix(wanted) + guess!r}?" if guess else ""
    listed = ", ".join(f"{index}: {class_name}" for index, class_name in metric_names.names.items())
    raise ValueError(f"monitor {name!r}: the data set has no class {wanted!r}.{meant} Classes: {listed or _NO_CLASS}")


def _unknown(name: str, metric_names: MetricNames) -> str:
    short = [_short(key) for key in metric_names.keys if key.startswith("metrics/")]
    sums = ["train/loss", "val/loss"]
    available = list(dict.fromkeys((*metric_names.all_keys, *short, *sums)))
    classes = [f"{metric}/<class>" for metric in short if metric.partition("(")[0] in CLASS_METRICS]
    guess = nearest(name, available)
    meant = f" Did you mean {guess!r}?" if guess else ""
    own = "" if guess else ". A scalar that a callback of your own logs must be in its logged_scalars(task)."
    later = "" if metric_names.losses is not None else ", and the losses by name, known after the first batch"
    listed = ", ".join([*available, *classes])
    return f"monitor {name!r} does not exist in this run.{meant} Available: {listed}{FOR_A_SCRIPT}{later}{own}"


def _short(key: str) -> str:
    return key.removeprefix("metrics/").removeprefix("accuracy_").removesuffix("(B)")
