"""What is monitored: from the `monitor=` and `mode=` that a user wrote to one value an epoch."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, TypeAlias

from yolo_callbacks.decisions.comparison import Mode
from yolo_callbacks.metrics.epoch_record import EpochRecord, MetricNames
from yolo_callbacks.utils.arguments import nearest, validate_float

__all__ = ["Monitor", "MonitorLike"]

MonitorLike: TypeAlias = str | Mapping[str, float] | Callable[[Mapping[str, float]], float] | None

# What a user of each task looks at first; any other task is judged by Ultralytics' own fitness.
_MAIN = {"detect": "mAP50-95", "obb": "mAP50-95", "segment": "mAP50-95(M)", "pose": "mAP50-95(P)", "classify": "top1"}
_PER_CLASS = ("precision", "recall", "mAP50", "mAP50-95")
_ACCURACY = ("top1", "top5")
_METRIC = re.compile(r"(?:metrics/)?(?P<name>precision|recall|mAP50|mAP50-95)(?:\((?P<suffix>[BMP])\))?")
_WORST = re.compile(r"min\((?P<metric>.+)\)")
_NO_CLASS = "none: this task has no values by class"


class _Source(Protocol):
    """Where a value comes from, once the run's names are known."""

    def read(self, record: EpochRecord) -> float | None: ...

    def measures_detection(self, record: EpochRecord) -> bool: ...

    def absent_class(self, record: EpochRecord) -> str | None: ...


@dataclass(frozen=True)
class _Key:
    key: str

    def read(self, record: EpochRecord) -> float | None:
        return record.metrics.get(self.key)

    def measures_detection(self, record: EpochRecord) -> bool:
        if self.key == "fitness":
            # Ultralytics' own fitness is 0 where every mAP is 0; any other value is a fitness of the user's own.
            return record.metrics.get(self.key) == 0
        return self.key.startswith("val/") or _METRIC.fullmatch(self.key) is not None

    def absent_class(self, record: EpochRecord) -> str | None:
        return None


@dataclass(frozen=True)
class _OneClass:
    metric: str
    index: int

    def read(self, record: EpochRecord) -> float | None:
        return record.per_class.get(self.metric, {}).get(self.index)

    def measures_detection(self, record: EpochRecord) -> bool:
        return True

    def absent_class(self, record: EpochRecord) -> str | None:
        values = record.per_class.get(self.metric, {})
        return record.class_name(self.index) if values and self.index not in values else None


@dataclass(frozen=True)
class _WorstClass:
    metric: str

    def read(self, record: EpochRecord) -> float | None:
        values = record.per_class.get(self.metric, {}).values()
        # min() of a sequence with NaN depends on its order
        return math.nan if any(map(math.isnan, values)) else min(values, default=None)

    def measures_detection(self, record: EpochRecord) -> bool:
        return True

    def absent_class(self, record: EpochRecord) -> str | None:
        return None


@dataclass(frozen=True)
class _WeightedSum:
    terms: tuple[tuple[float, _Source], ...]

    def read(self, record: EpochRecord) -> float | None:
        total = 0.0
        for weight, source in self.terms:
            value = source.read(record)
            if value is None:
                return None
            total += weight * value
        return total

    def measures_detection(self, record: EpochRecord) -> bool:
        return any(source.measures_detection(record) for weight, source in self.terms if weight)

    def absent_class(self, record: EpochRecord) -> str | None:
        absent = (source.absent_class(record) for _, source in self.terms)
        return next((name for name in absent if name is not None), None)


@dataclass(frozen=True)
class _Function:
    function: Callable[[Mapping[str, float]], float]

    def read(self, record: EpochRecord) -> float | None:
        # Without validation the metrics that a function most likely reads are not there.
        return float(self.function(MappingProxyType(dict(record.metrics)))) if record.validated else None

    def measures_detection(self, record: EpochRecord) -> bool:
        return False

    def absent_class(self, record: EpochRecord) -> str | None:
        return None


class Monitor:
    """One value an epoch, from a key, a short name, a class, the worst class, a weighted sum or a function.

    Args:
        monitor: What to read; the forms stand in `docs/monitors.md`. None is the task's main metric.
        mode: `"min"` if lower is better, `"max"` if higher is better, `"auto"` to tell by the name.

    Attributes:
        monitor: As given.
        mode: As given until `bind`, then never `"auto"`.

    Raises:
        TypeError: If `monitor` is no string, mapping of names to numbers, callable or None, or `mode` no string.
        ValueError: If `monitor` is empty, `mode` is none of the three, or a function comes with `mode="auto"`.
    """

    def __init__(self, monitor: MonitorLike = None, mode: str = "auto") -> None:
        _check(monitor, mode)
        self.monitor = monitor
        self._asked_mode = mode
        self._source: _Source | None = None
        self.mode = mode

    def __repr__(self) -> str:
        """Show what was asked for."""
        mode = "" if self._asked_mode == "auto" else f", mode={self._asked_mode!r}"
        return f"Monitor({self.monitor!r}{mode})"

    def name(self, task: str) -> str:
        """The monitor's name on the console and in file names."""
        if self.monitor is None:
            return _MAIN.get(task, "fitness")
        if isinstance(self.monitor, str):
            return self.monitor
        if isinstance(self.monitor, Mapping):
            return "+".join(f"{weight:g}*{key}" for key, weight in self.monitor.items())
        name = getattr(self.monitor, "__name__", "<lambda>")
        return "custom" if name == "<lambda>" else str(name)

    @property
    def bound(self) -> bool:
        """Whether the monitor was found in the run."""
        return self._source is not None

    @property
    def known_mode(self) -> Mode:
        """`"min"` or `"max"`; an error before `bind` where the mode is told by the run's names."""
        if self.mode == "min" or self.mode == "max":
            return "min" if self.mode == "min" else "max"
        raise RuntimeError("mode='auto' is told by the run's names: read it once a training has started")

    def unbind(self) -> None:
        """Forget the names of the last run."""
        self._source, self.mode = None, self._asked_mode

    def bind(self, metric_names: MetricNames) -> bool:
        """Check the monitor against the names of a run.

        Args:
            metric_names: The names that the run knows by now.

        Returns:
            False if the monitor needs the names of losses that Ultralytics does not know yet: try again later.

        Raises:
            ValueError: If the monitor does not exist in this run, naming the nearest match and every key; or if
                `mode="auto"` cannot tell what is better.
        """
        if self._source is None:
            source = self._resolve(metric_names)
            if source is None:
                return False
            self.mode = self._resolved_mode(metric_names)
            self._source = source
        return True

    def value(self, record: EpochRecord) -> float | None:
        """The value of an epoch, or None if the epoch has none: it is no check then."""
        if self._source is None:
            raise RuntimeError("Monitor.value needs Monitor.bind first")
        return self._source.read(record)

    def measures_detection(self, record: EpochRecord) -> bool:
        """Return whether the value means nothing in an epoch that detects nothing.

        True for Ultralytics' metrics of detection, their classes, validation losses, weighted sums with one of these,
        and a fitness of 0. False for functions, training losses, rates and metrics of the user's own.
        """
        return self._source is not None and self._source.measures_detection(record)

    def absent_class(self, record: EpochRecord) -> str | None:
        """Return the class that has no value because the validation set has no object of it, None if that is not so."""
        return None if self._source is None else self._source.absent_class(record)

    @property
    def is_loss(self) -> bool:
        """Whether the monitor reads losses only."""
        names = list(self.monitor) if isinstance(self.monitor, Mapping) else [self.monitor]
        return all(isinstance(name, str) and name.startswith(("train/", "val/")) for name in names)

    def _resolve(self, metric_names: MetricNames) -> _Source | None:
        if callable(self.monitor):
            return _Function(self.monitor)
        if isinstance(self.monitor, Mapping):
            sources = [(float(weight), _resolve_name(key, metric_names)) for key, weight in self.monitor.items()]
            known = tuple((weight, source) for weight, source in sources if source is not None)
            return _WeightedSum(known) if len(known) == len(sources) else None
        return _resolve_name(self.name(metric_names.task), metric_names)

    def _resolved_mode(self, metric_names: MetricNames) -> str:
        if self._asked_mode != "auto":
            return self._asked_mode
        terms = self.monitor if isinstance(self.monitor, Mapping) else {self.name(metric_names.task): 1.0}
        # A negative weight turns the meaning of its term around, so it tells nothing: ask. One of zero has no say.
        directions = {_direction(key) if weight > 0 else None for key, weight in terms.items() if weight}
        direction = directions.pop() if directions else None
        if direction is None or directions:
            raise ValueError(
                f"mode='auto' cannot tell whether a lower or a higher {self.name(metric_names.task)!r} is better: "
                "set mode='min' or mode='max'"
            )
        return direction


def _check(monitor: object, mode: object) -> None:
    if not isinstance(mode, str):
        raise TypeError(f"mode must be 'auto', 'min' or 'max', received {mode!r}")
    if mode not in ("auto", "min", "max"):
        raise ValueError(f"mode must be 'auto', 'min' or 'max', received {mode!r}")
    if isinstance(monitor, Mapping):
        if not monitor:
            raise ValueError("monitor must name at least one metric, received an empty mapping")
        for key, weight in monitor.items():
            if not isinstance(key, str):
                raise TypeError(f"monitor must map names to numbers, received the name {key!r}")
            validate_float(f"the weight of {key!r} in monitor", weight)
    elif isinstance(monitor, str):
        if not monitor.strip():
            raise ValueError(f"monitor must not be empty, received {monitor!r}")
    elif callable(monitor) and not isinstance(monitor, type):
        if mode == "auto":
            raise ValueError("monitor is a function: set mode='min' or mode='max', received mode='auto'")
    elif monitor is not None:
        raise TypeError(f"monitor must be a name, a mapping of names to weights, a function or None, got {monitor!r}")


def _direction(name: str) -> Mode | None:
    """Whether lower or higher is better, as far as the name tells."""
    if name.startswith(("train/", "val/")):
        return "min"
    worst = _WORST.fullmatch(name)
    base = worst["metric"] if worst else name.removeprefix("metrics/").partition("/")[0]
    known = base in _ACCURACY or base in ("fitness", "accuracy_top1", "accuracy_top5")
    return "max" if known or _METRIC.fullmatch(base) else None


def _resolve_name(name: str, metric_names: MetricNames) -> _Source | None:
    """The source of a name; None if it may be a loss that the run does not know yet."""
    key = _metric_key(name, metric_names) or (name if name in metric_names.all_keys else None)
    if key is not None:
        return _Key(key)
    split, _, loss = name.partition("/")
    if split in ("train", "val") and loss:
        if metric_names.losses is None:
            return None
        if loss == "loss" and metric_names.losses:
            return _WeightedSum(tuple((1.0, _Key(f"{split}/{part}")) for part in metric_names.losses))
    worst = _WORST.fullmatch(name)
    if worst and (key := _metric_key(worst["metric"], metric_names, per_class=True)):
        return _WorstClass(key.removeprefix("metrics/"))
    metric, slash, wanted = name.removeprefix("metrics/").partition("/")
    if slash and (key := _metric_key(metric, metric_names, per_class=True)):
        return _OneClass(key.removeprefix("metrics/"), _class_index(wanted, name, metric_names))
    raise ValueError(_unknown(name, metric_names))


def _metric_key(name: str, metric_names: MetricNames, *, per_class: bool = False) -> str | None:
    """The run's key for a short name, or None."""
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
    # a class may be called "3": names go first
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
    classes = [f"{metric}/<class>" for metric in short if metric.partition("(")[0] in _PER_CLASS]
    guess = nearest(name, available)
    meant = f" Did you mean {guess!r}?" if guess else ""
    later = "" if metric_names.losses is not None else ", and the losses by name, known after the first batch"
    own = "or a function, for a metric that validation adds later: lambda metrics: metrics['metrics/mine']"
    listed = ", ".join([*available, *classes, own])
    return f"monitor {name!r} does not exist in this run.{meant} Available: {listed}{later}"


def _short(key: str) -> str:
    return key.removeprefix("metrics/").removeprefix("accuracy_").removesuffix("(B)")
