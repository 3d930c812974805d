"""What a run left in its folder. Only `results.csv` is needed; each other source adds what it has, or nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolo_callbacks.files import LOGGER, read_lines
from yolo_callbacks.redaction import clean_arguments
from yolo_callbacks.results import read_results

__all__ = ["BOXES_FILE", "Event", "RunData", "Series", "class_series", "read_run"]

BOXES_FILE = "callbacks.images.json"

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
    run = RunData(folder, folder.resolve().name)
    _read_results(run, path)
    if not any(run.series.values()):
        raise ValueError(f"{path} holds no epoch")
    for name, read in {**_OPTIONAL, **(_PICTURES if pictures else {})}.items():
        for found in sorted(folder.glob(name)):
            try:
                read(run, found)
            except Exception as error:  # a file of any content: it must not cost the rest of the report
                LOGGER.warning(f"{found} cannot be read, the report goes without it: {type(error).__name__} {error}")
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
        epoch = int(row.pop("epoch"))
        for key, value in row.items():
            run.series.setdefault(key, {})[epoch] = value


def _read_lines(run: RunData, path: Path) -> None:
    for line in read_lines(path):
        try:
            row = json.loads(line)
        except ValueError:
            continue  # the last line of a run that was killed
        epoch = row.pop("epoch", None)
        values = {str(key): math.nan if value is None else float(value) for key, value in row.items()}
        if epoch is None:
            run.final = {key.removeprefix("final/"): value for key, value in values.items()}
            continue
        for key, value in values.items():
            run.series.setdefault(key, {})[int(epoch)] = value


def _read_state(run: RunData, path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    run.summary = _summary(content["summary"]) if content.get("summary") else {}
    run.version = str(content.get("versions", {}).get("ultralytics") or "")
    for who, state in content["callbacks"].items():
        name, monitor = who.partition("(")[0], str(state.get("monitor") or "")
        label = f"{name}({monitor})" if monitor else name
        if monitor:
            run.monitors[monitor] = str(state.get("mode") or "")
        for place, (epoch, value) in enumerate(state.get("kept") or ()):
            what = f"Best {monitor}" if place == 0 else f"Kept, number {place + 1} by {monitor}"
            run.events.append(Event(int(epoch), "best", label, what, monitor, float(value)))
        for epoch in state.get("cuts") or ():
            what = f"Learning rate cut, {monitor} on a plateau"
            run.events.append(Event(int(epoch), "cut", label, what, monitor))
        if state.get("stopped_epoch"):
            message = f"Stopped, {state.get('stopping_message') or 'without a reason told'}"
            run.events.append(Event(int(state["stopped_epoch"]), "stop", label, message, monitor))


def _summary(content: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        {
            "name": str(row["name"]),
            "outcome": str(row["outcome"] or ""),
            "seconds": float(row["seconds"]),
            "failures": int(row["failures"]),
            "switched_off": bool(row["switched_off"]),
        }
        for row in content["callbacks"]
    ]
    seconds = {name: float(content[name]) for name in ("seconds", "seconds_in_callbacks")}
    return {"status": str(content["status"]), **seconds, "callbacks": rows}


def _read_sidecar(run: RunData, path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    epoch, main = int(content["epoch"]), run.main_metric
    best = run.best(main)[0] if main and run.best(main) else 0  # type: ignore[index]
    # the nearest to the best epoch by the main metric
    if not run.per_class_epoch or abs(epoch - best) < abs(run.per_class_epoch - best):
        run.per_class_epoch = epoch
        run.per_class = {
            metric.removesuffix("(B)"): {str(name): float(value) for name, value in values.items()}
            for metric, values in content["per_class"].items()
        }


def _read_arguments(run: RunData, path: Path) -> None:
    import yaml

    run.arguments = clean_arguments(yaml.safe_load(path.read_text(encoding="utf-8")) or {})


def _read_boxes(run: RunData, path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    names = {int(index): str(name) for index, name in content["names"].items()}
    images = [
        {
            "path": Path(image["path"]),
            "size": tuple(int(side) for side in image["size"]),
            "boxes": [tuple(box) for box in (*image["truth"], *image["predictions"])],
        }
        for image in content["images"]
    ]
    run.boxes = {"names": names, "images": images}


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
