"""What a run left in its folder. Only `results.csv` is needed; each other source adds what it has, or nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolo_callbacks.state.summary import read_summary
from yolo_callbacks.trainer.results import read_results
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.lenient import (
    any_json,
    any_yaml,
    as_count,
    as_list,
    as_mapping,
    as_number,
    as_text,
    epoch_of,
    json_lines,
)
from yolo_callbacks.utils.messages import text_of
from yolo_callbacks.utils.redaction import clean_arguments

__all__ = ["BOXES_FILE", "Event", "RunData", "Series", "class_series", "read_run"]

BOXES_FILE = "callbacks.images.json"

_LARGEST = 1e100
_MAX_SERIES = 10_000  # a thousand classes have four each

Series = dict[int, float]
"""A value by epoch, the epochs counted from 1."""

# The most telling metric first; a run has those of its task.
_MAIN_METRICS = (
    "metrics/mAP50-95(P)",
    "metrics/mAP50-95(M)",
    "metrics/mAP50-95(B)",
    "metrics/accuracy_top1",
)


@dataclass(frozen=True)
class Event:
    """Something that a callback did.

    Attributes:
        epoch: When.
        kind: `"best"`, `"cut"` or `"stop"`.
        who: The callback, with its monitor.
        what: In words.
        monitor: The name of the monitor, `""` if it has none.
        value: The value of the monitor, None if it is not known.
    """

    epoch: int
    kind: str
    who: str
    what: str
    monitor: str = ""
    value: float | None = None


@dataclass
class RunData:
    """One run, as far as its folder tells.

    Attributes:
        folder: The run's folder.
        name: The name of the folder.
        series: A series for each key of `results.csv` and `callbacks.jsonl`, without `epoch`.
        final: What the evaluation after training gave, without the prefix `final/`.
        per_class: The values of each class by metric, of the epoch `per_class_epoch`.
        per_class_epoch: The epoch of `per_class`, 0 where there is none.
        events: What the callbacks did, in the order of epochs.
        monitors: The mode of each monitor of the run's callbacks.
        summary: `callbacks.json`'s table at the end, empty if the run did not end, or ran without a suite.
        version: Ultralytics' version, `""` if it is not known.
        arguments: `args.yaml`, secrets masked.
        boxes: Validation images with their boxes: `names` of classes by index, and `images` with `path`, `size` and
            `boxes` of edges, class and confidence; empty if there are none.
        pictures: Ultralytics' own pictures and plots by name without an ending.
    """

    folder: Path
    name: str
    series: dict[str, Series] = field(default_factory=dict)
    final: dict[str, float] = field(default_factory=dict)
    per_class: dict[str, dict[str, float]] = field(default_factory=dict)
    per_class_epoch: int = 0
    events: list[Event] = field(default_factory=list)
    monitors: dict[str, str] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    version: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    boxes: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Path] = field(default_factory=dict)

    @property
    def epochs(self) -> list[int]:
        """The epochs that have a row in `results.csv`, or in another source."""
        return sorted({epoch for series in self.series.values() for epoch in series})

    @property
    def last_epoch(self) -> int:
        """The last of the epochs."""
        return self.epochs[-1]

    @property
    def main_metric(self) -> str | None:
        """The key by which epochs are compared; None for a run without validation."""
        metrics = [key for key in self.series if key.startswith("metrics/")]
        return next((key for key in (*_MAIN_METRICS, *metrics) if self.series.get(key)), None)

    @property
    def status(self) -> str:
        """How the run ended in a word or two, `""` if that is not known."""
        stopped = any(event.kind == "stop" for event in self.events)
        return "stopped early" if stopped else str(self.summary.get("status") or "")

    @property
    def end(self) -> str:
        """How the run ended, as far as it is known; `""` if it is not."""
        stops = [event.what for event in self.events if event.kind == "stop"]
        return stops[-1] if stops else str(self.summary.get("status") or "")

    def best(self, key: str) -> tuple[int, float] | None:
        """Epoch and value of the best of a metric or a loss; of equals the earlier. None where it has no value."""
        finite = {epoch: value for epoch, value in self.series.get(key, {}).items() if math.isfinite(value)}
        if not finite:
            return None
        lower_is_better = "loss" in key
        epoch = min(finite, key=lambda epoch: (finite[epoch] if lower_is_better else -finite[epoch], epoch))
        return epoch, finite[epoch]

    def starting_with(self, *prefixes: str) -> dict[str, Series]:
        """The series whose keys start with one of these."""
        return {key: series for key, series in self.series.items() if key.startswith(prefixes)}


def read_run(folder: Path, *, pictures: bool = True) -> RunData:
    """Read what is in a run's folder.

    Args:
        folder: The run's folder, or its `results.csv`.
        pictures: Whether to look for pictures.

    Raises:
        FileNotFoundError: If there is no `results.csv`.
        ValueError: If it holds no epoch.
    """
    folder = folder.parent if folder.name == "results.csv" else folder
    path = folder / "results.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not the folder of a training: it has no results.csv")
    run = RunData(folder, as_text(folder.resolve().name))
    _read_results(run, path)
    if not any(run.series.values()):
        raise ValueError(f"{path} holds no epoch")
    for name, read in {**_OPTIONAL, **(_PICTURES if pictures else {})}.items():
        for found in sorted(folder.glob(name)):
            try:
                read(run, found)
            except Exception as error:  # a file of any content: it must not cost the rest of the report
                LOGGER.warning(
                    f"{found} cannot be read, the report goes without it: {type(error).__name__} {text_of(error)}"
                )
    run.events.sort(key=lambda event: (event.epoch, ("best", "cut", "stop").index(event.kind)))
    _choose_classes(run)
    return run


def class_series(series: Mapping[str, Series], metric: str) -> dict[str, Series]:
    """The series of each class for a metric such as `"mAP50-95"`."""
    split = {key: key.removeprefix("per_class/").rpartition("/") for key in series if key.startswith("per_class/")}
    return {name: series[key] for key, (name, _, found) in split.items() if found == metric}


# Sources ----------------------------------------------------------------------------------------------------------


def _read_results(run: RunData, path: Path) -> None:
    for row in read_results(path):
        epoch = epoch_of(row.pop("epoch"))
        if epoch is not None:
            _add(run, epoch, row)


def _read_lines(run: RunData, path: Path) -> None:
    for row in json_lines(path):
        values = {as_text(key): math.nan if value is None else as_number(value) for key, value in row.items()}
        numbers = {key: value for key, value in values.items() if value is not None and key != "epoch"}
        epoch = epoch_of(row.get("epoch"))
        if epoch is not None:
            _add(run, epoch, numbers)
        elif "epoch" not in row:
            run.final = {key.removeprefix("final/"): _drawable(value) for key, value in numbers.items()}


def _add(run: RunData, epoch: int, row: Mapping[str, float]) -> None:
    for key, value in row.items():
        if key in run.series or len(run.series) < _MAX_SERIES:
            run.series.setdefault(as_text(key), {})[epoch] = _drawable(value)


def _drawable(value: float) -> float:
    """Return a value that can be drawn: matplotlib fails on differences that no float holds."""
    return math.copysign(math.inf, value) if abs(value) > _LARGEST else value


def _read_state(run: RunData, path: Path) -> None:
    content = as_mapping(any_json(path))
    run.summary = read_summary(content.get("summary")) or {}
    run.version = as_text(as_mapping(content.get("versions")).get("ultralytics"))
    for who, found in as_mapping(content.get("callbacks")).items():
        state = as_mapping(found)
        name, monitor = who.partition("(")[0], as_text(state.get("monitor"))
        label = f"{name}({monitor})" if monitor else name
        if monitor:
            run.monitors[monitor] = as_text(state.get("mode"))
        run.events += _events(label, monitor, state)


def _events(label: str, monitor: str, state: Mapping[str, Any]) -> Iterator[Event]:
    kept = [item for item in map(as_list, as_list(state.get("kept"))) if len(item) == 2]
    for place, (epoch, value) in enumerate((epoch_of(first), as_number(second)) for first, second in kept):
        if epoch is not None:
            what = f"Best {monitor}" if place == 0 else f"Kept, number {place + 1} by {monitor}"
            yield Event(epoch, "best", label, what, monitor, value)
    for epoch in map(epoch_of, as_list(state.get("cuts"))):
        if epoch is not None:
            yield Event(epoch, "cut", label, f"Learning rate cut, {monitor} on a plateau", monitor)
    stopped = epoch_of(state.get("stopped_epoch"))
    if stopped is not None:
        message = as_text(state.get("stopping_message")) or "without a reason told"
        yield Event(stopped, "stop", label, f"Stopped, {message}", monitor)


def _read_sidecar(run: RunData, path: Path) -> None:
    content, main = as_mapping(any_json(path)), run.main_metric
    epoch = epoch_of(content.get("epoch"))
    if epoch is None:
        return
    found = run.best(main) if main else None
    best = found[0] if found else 0
    # the nearest to the best epoch by the main metric
    if not run.per_class_epoch or abs(epoch - best) < abs(run.per_class_epoch - best):
        run.per_class_epoch = epoch
        run.per_class = {
            metric.removesuffix("(B)"): _numbers(values)
            for metric, values in as_mapping(content.get("per_class")).items()
        }


def _numbers(values: object) -> dict[str, float]:
    found = {name: as_number(value) for name, value in as_mapping(values).items()}
    return {name: _drawable(value) for name, value in found.items() if value is not None}


def _read_arguments(run: RunData, path: Path) -> None:
    content = any_yaml(path)
    run.arguments = clean_arguments(content) if isinstance(content, dict) else {}


def _read_boxes(run: RunData, path: Path) -> None:
    content = as_mapping(any_json(path))
    given = as_mapping(content.get("names"))
    names = {int(index): as_text(name) for index, name in given.items() if re.fullmatch(r"[0-9]{1,9}", index)}
    images = [_boxed_image(as_mapping(image)) for image in as_list(content.get("images"))]
    run.boxes = {"names": names, "images": [image for image in images if image]}


def _boxed_image(image: Mapping[str, Any]) -> dict[str, Any] | None:
    # not `as_text`: the name of a file that is not UTF-8 holds surrogates, by which it is found
    path, size = image.get("path"), [as_count(side) for side in as_list(image.get("size"))]
    if not isinstance(path, str) or len(size) != 2 or not all(size):
        return None
    boxes = [_box(as_list(box)) for name in ("truth", "predictions") for box in as_list(image.get(name))]
    return {"path": Path(path), "size": tuple(size), "boxes": [box for box in boxes if box]}


def _box(box: list[Any]) -> tuple[Any, ...] | None:
    if len(box) != 6:
        return None
    edges, label, confidence = [as_number(edge) for edge in box[:4]], as_number(box[4]), as_number(box[5])
    right = all(edge is not None and math.isfinite(edge) for edge in (*edges, label))
    if not right or (confidence is None) != (box[5] is None) or not math.isfinite(confidence or 0.0):
        return None
    return (*edges, as_count(label), confidence)


def _read_picture(run: RunData, path: Path) -> None:
    run.pictures[path.stem] = path


_OPTIONAL: dict[str, Callable[[RunData, Path], None]] = {
    "callbacks.jsonl": _read_lines,
    "callbacks.json": _read_state,
    "weights/best-*.json": _read_sidecar,
    "args.yaml": _read_arguments,
}
"""What reads each file, by its name or pattern. A new source is a line here."""

_PICTURES = {BOXES_FILE: _read_boxes, "*.jpg": _read_picture, "*.png": _read_picture}


def _choose_classes(run: RunData) -> None:
    """Take the values by class of the best epoch where every epoch has them; else what a sidecar had is left."""
    best = run.best(run.main_metric) if run.main_metric else None
    names = [key for key, series in run.starting_with("per_class/").items() if best and best[0] in series]
    if not best or not names:
        return
    run.per_class_epoch, run.per_class = best[0], {}
    for key in names:
        name, _, metric = key.removeprefix("per_class/").rpartition("/")
        run.per_class.setdefault(metric, {})[name] = run.series[key][best[0]]
