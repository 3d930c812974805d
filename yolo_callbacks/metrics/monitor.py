"""Read one value from each epoch of a training, as the arguments `monitor=` and `mode=` of a callback say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from yolo_callbacks.decisions.comparison import Mode
from yolo_callbacks.metrics.epoch_record import EpochRecord, MetricNames
from yolo_callbacks.metrics.sources import FunctionSource, Source, WeightedSum, direction_of, find_source, size_of
from yolo_callbacks.utils.arguments import validate_float

__all__ = ["Monitor", "MonitorLike"]

MonitorLike: TypeAlias = str | Mapping[str, float] | Callable[[Mapping[str, float]], float] | None

# The main metric of each task. Every other task is monitored by Ultralytics' fitness.
_MAIN = {"detect": "mAP50-95", "obb": "mAP50-95", "segment": "mAP50-95(M)", "pose": "mAP50-95(P)", "classify": "top1"}


class Monitor:
    """Read one value from each epoch: a metric, a loss, one class, the worst class, a weighted sum or a function.

    A callback makes a monitor from its arguments, before the names of the run are known. `bind` finds the monitor in a
    run, once for each run. After that, `value` reads an epoch.

    These are the forms of `monitor`:

    - `None`: the main metric of the task. That is `mAP50-95` of the boxes (detect, obb), the masks (segment) or the
      poses (pose), `top1` for classify, and `fitness` for any other task.
    - A key of `trainer.metrics`: `"metrics/mAP50-95(B)"`, `"val/box_loss"`.
    - A short name: `"mAP50-95"`, `"mAP50"`, `"precision"`, `"recall"`, with `(M)` for masks and `(P)` for poses;
      `"top1"`, `"top5"`, `"fitness"`; `"train/box_loss"`.
    - A sum of losses: `"val/loss"`, `"train/loss"`.
    - One class, by name or index: `"mAP50-95/person"`, `"recall/3"`.
    - The worst class: `"min(mAP50-95)"`.
    - A weighted sum: `{"mAP50": 0.1, "mAP50-95": 0.9}`.
    - A function of the epoch's metrics that returns a number: `lambda metrics: metrics["metrics/mine"]`.

    Args:
        monitor: The value to read, in one of these forms. Defaults to `None`.
        mode: `"min"` if lower is better, `"max"` if higher is better. Defaults to `"auto"`: `"min"` for losses, `"max"`
            for Ultralytics' metrics and fitness. A function and a metric of your own need `"min"` or `"max"`.

    Attributes:
        monitor: The argument, unchanged.
        mode: The argument until `bind`; after that, `"min"` or `"max"`.

    Raises:
        TypeError: If `monitor` is not a string, a mapping of names to numbers, a function or None; or if `mode` is not
            a string.
        ValueError: If `monitor` is empty, `mode` is not one of the three strings, or a function has `mode="auto"`.

    Example:
        >>> from yolo_callbacks import EpochRecord, Monitor
        >>> from yolo_callbacks.metrics.epoch_record import MetricNames
        >>> monitor = Monitor("recall")
        >>> monitor.bind(MetricNames("detect", ("metrics/recall(B)",), ("box_loss",), {0: "person"}))
        True
        >>> monitor.mode
        'max'
        >>> monitor.value(EpochRecord(epoch=1, epochs=10, metrics={"metrics/recall(B)": 0.5}))
        0.5
    """

    def __init__(self, monitor: MonitorLike = None, mode: str = "auto") -> None:
        _validate(monitor, mode)
        self.monitor = monitor
        self._asked_mode = mode
        self._source: Source | None = None
        self.mode = mode

    def __repr__(self) -> str:
        """Show the arguments."""
        mode = "" if self._asked_mode == "auto" else f", mode={self._asked_mode!r}"
        return f"Monitor({self.monitor!r}{mode})"

    def name(self, task: str) -> str:
        """Return the name of the monitor for the console and for file names.

        Args:
            task: Ultralytics' name of the task, on which the main metric depends.
        """
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
        """Whether `bind` has found the monitor in a run."""
        return self._source is not None

    @property
    def known_mode(self) -> Mode:
        """`"min"` or `"max"`.

        Raises:
            RuntimeError: If the mode is `"auto"` and `bind` has not decided it yet.
        """
        if self.mode == "min" or self.mode == "max":
            return "min" if self.mode == "min" else "max"
        raise RuntimeError("mode='auto' is decided when a training starts, from the names of the run: read it then")

    def unbind(self) -> None:
        """Forget the names of the last run."""
        self._source, self.mode = None, self._asked_mode

    def bind(self, metric_names: MetricNames) -> bool:
        """Find the monitor among the names of a run, and decide the mode if it is `"auto"`.

        Args:
            metric_names: The names that the run knows at this moment.

        Returns:
            False if the monitor needs the names of losses, and Ultralytics does not know them yet. Try again later.

        Raises:
            ValueError: If the monitor does not exist in this run; the message names the nearest match and every key.
                Also if `mode="auto"` and the name does not say whether lower or higher is better.
        """
        if self._source is None:
            source = self._find_source(metric_names)
            if source is None:
                return False
            self.mode = self._resolved_mode(metric_names)
            self._source = source
        return True

    def value(self, record: EpochRecord) -> float | None:
        """Return the value of an epoch, or None if the epoch has none. Such an epoch is not a check."""
        if self._source is None:
            raise RuntimeError("Monitor.value needs Monitor.bind first")
        return self._source.read(record)

    def measures_detection(self, record: EpochRecord) -> bool:
        """Return whether the value means nothing in an epoch that detects nothing.

        True for Ultralytics' metrics of detection, their classes, validation losses, weighted sums with one of these,
        and a fitness of 0. False for functions, training losses, learning rates and metrics of the user's own.
        """
        return self._source is not None and self._source.measures_detection(record)

    def absent_class(self, record: EpochRecord) -> str | None:
        """Return the name of the class without a value because the validation set has no object of it, or None."""
        return None if self._source is None else self._source.absent_class(record)

    def reads_sizes(self, metric_names: MetricNames) -> bool:
        """Return whether the monitor reads a metric of the objects of one size."""
        names = list(self.monitor) if isinstance(self.monitor, Mapping) else [self.monitor]
        return any(isinstance(name, str) and size_of(name, metric_names) is not None for name in names)

    @property
    def is_loss(self) -> bool:
        """Whether the monitor reads only losses."""
        names = list(self.monitor) if isinstance(self.monitor, Mapping) else [self.monitor]
        return all(isinstance(name, str) and name.startswith(("train/", "val/")) for name in names)

    def _find_source(self, metric_names: MetricNames) -> Source | None:
        if callable(self.monitor):
            return FunctionSource(self.monitor)
        if isinstance(self.monitor, Mapping):
            sources = [(float(weight), find_source(key, metric_names)) for key, weight in self.monitor.items()]
            known = tuple((weight, source) for weight, source in sources if source is not None)
            return WeightedSum(known) if len(known) == len(sources) else None
        return find_source(self.name(metric_names.task), metric_names)

    def _resolved_mode(self, metric_names: MetricNames) -> str:
        if self._asked_mode != "auto":
            return self._asked_mode
        terms = self.monitor if isinstance(self.monitor, Mapping) else {self.name(metric_names.task): 1.0}
        # A negative weight reverses the direction of its term, so "auto" does not guess. A weight of 0 has no effect.
        directions = {direction_of(key) if weight > 0 else None for key, weight in terms.items() if weight}
        direction = directions.pop() if directions else None
        if direction is None or directions:
            raise ValueError(
                f"mode='auto' cannot decide whether a lower or a higher {self.name(metric_names.task)!r} is better: "
                "set mode='min' or mode='max'"
            )
        return direction


def _validate(monitor: object, mode: object) -> None:
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
        allowed = "a name, a mapping of names to weights, a function or None"
        raise TypeError(f"monitor must be {allowed}, received {monitor!r}")
