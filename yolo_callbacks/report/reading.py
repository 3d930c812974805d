"""Read what a run left in its folder. Only `results.csv` is needed; every other file adds what it contains."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from yolo_callbacks.report.failures import read_failures
from yolo_callbacks.report.monitors import monitored
from yolo_callbacks.report.run_data import EVENT_KINDS, Event, RunData
from yolo_callbacks.state.summary import read_summary, relative_outcome
from yolo_callbacks.trainer.results import read_results
from yolo_callbacks.trainer.validated_image import Classified
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

__all__ = ["BOXES_FILE", "read_run"]

BOXES_FILE = "callbacks.images.json"

_LARGEST = 1e100
_MAX_SERIES = 10_000  # a thousand classes have four each


def read_run(folder: Path, *, pictures: bool = True) -> RunData:
    """Read the folder of a run.

    Args:
        folder: The run's folder, or its `results.csv`.
        pictures: Whether to read pictures too. Defaults to `True`.

    Raises:
        FileNotFoundError: If there is no `results.csv`.
        ValueError: If `results.csv` contains no epoch.
    """
    folder = folder.parent if folder.name == "results.csv" else folder
    path = folder / "results.csv"
    if not folder.exists():
        raise FileNotFoundError(f"{folder} does not exist")
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
            except Exception as error:  # one unreadable file of any content must not prevent the report
                LOGGER.warning(
                    f"{found} cannot be read and is not in the report: {type(error).__name__} {text_of(error)}"
                )
    _describe_reductions(run)
    run.events.sort(key=lambda event: (event.epoch, EVENT_KINDS.index(event.kind)))
    _choose_classes(run)
    return run


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
    """Return a value within limits. Matplotlib fails if a difference of two values is too large for a float."""
    return math.copysign(math.inf, value) if abs(value) > _LARGEST else value


def _read_state(run: RunData, path: Path) -> None:
    content = as_mapping(any_json(path))
    run.summary = read_summary(content.get("summary")) or {}
    for row in run.summary.get("callbacks", ()):
        row["outcome"] = relative_outcome(row, run.summary)
    run.versions = _versions(content) or run.versions
    run.training = as_mapping(content.get("training"))
    for who, found in as_mapping(content.get("callbacks")).items():
        state = as_mapping(found)
        name, monitor = who.partition("(")[0], as_text(state.get("monitor"))
        label = f"{name}({monitor})" if monitor else name
        if monitor:
            run.monitors[monitor] = as_text(state.get("mode"))
        run.events += _events(label, monitor, state)


def _versions(content: Mapping[str, Any]) -> dict[str, str]:
    found = {name: as_text(version) for name, version in as_mapping(content.get("versions")).items()}
    return {name: version for name, version in found.items() if version}


def _events(label: str, monitor: str, state: Mapping[str, Any]) -> Iterator[Event]:
    kept = [item for item in map(as_list, as_list(state.get("kept"))) if len(item) == 2]
    for place, (epoch, value) in enumerate((epoch_of(first), as_number(second)) for first, second in kept):
        if epoch is not None:
            what = f"Best {monitor}" if place == 0 else f"Kept, number {place + 1} by {monitor}"
            yield Event(epoch, "best", label, what, monitor, value)
    for epoch in map(epoch_of, as_list(state.get("cuts"))):  # the key under which `ReduceLROnPlateau` stores them
        if epoch is not None:
            yield Event(epoch, "reduction", label, f"Learning rate reduction, {monitor} on a plateau", monitor)
    for change in map(as_list, as_list(state.get("changes"))):  # of `RemoteControl`
        if len(change) == 2 and (changed := epoch_of(change[0])) is not None:
            yield Event(changed, "change", label, as_text(change[1]).capitalize(), monitor)
    stopped = epoch_of(state.get("stopped_epoch"))
    if stopped is not None:
        message = as_text(state.get("stopping_message")) or "no reason is stored"
        yield Event(stopped, "stop", label, f"Stopped, {message}", monitor)


def _describe_reductions(run: RunData) -> None:
    """Give the reductions of the learning rate the value of their monitor, and the rates before and after."""
    values, rates = monitored(run), run.series.get("lr/pg0", {})
    for index, event in enumerate(run.events):
        if event.kind == "reduction":
            before, after = rates.get(event.epoch), rates.get(event.epoch + 1)
            changed = f": {before:.3g}, then {after:.3g}" if before is not None and after is not None else ""
            value = values.get(event.monitor, {}).get(event.epoch)
            run.events[index] = replace(event, what=f"{event.what}{changed}", value=value)


def _read_failures(run: RunData, path: Path) -> None:
    run.failures = read_failures(path)


def _read_sidecar(run: RunData, path: Path) -> None:
    content, main = as_mapping(any_json(path)), run.main_metric
    epoch = epoch_of(content.get("epoch"))
    if epoch is None:
        return
    found = run.best(main) if main else None
    best = found[0] if found else 0
    # Use the sidecar that is nearest to the best epoch by the main metric.
    if not run.per_class_epoch or abs(epoch - best) < abs(run.per_class_epoch - best):
        run.per_class_epoch = epoch
        run.per_class = {
            metric.removesuffix("(B)"): _numbers(values)
            for metric, values in as_mapping(content.get("per_class")).items()
        }
        run.versions = run.versions or _versions(content)
        by_class = [value for value in _numbers(content.get("best_confidence")).values() if 0 < value <= 1]
        if by_class:
            run.confidence = sum(by_class) / len(by_class), f"the validation at epoch {epoch}, as a mean over classes"


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
    confidence = as_number(content.get("best_confidence"))
    if confidence is not None and 0 <= confidence <= 1:
        run.confidence = confidence, "the final evaluation of best.pt"


def _boxed_image(image: Mapping[str, Any]) -> dict[str, Any] | None:
    # Without `as_text`, which would replace the surrogates in the name of a file that is not UTF-8.
    path, size = image.get("path"), [as_count(side) for side in as_list(image.get("size"))]
    if not isinstance(path, str) or len(size) != 2 or not all(size):
        return None
    boxes = [_box(as_list(box)) for name in ("truth", "predictions") for box in as_list(image.get(name))]
    content = {"path": Path(path), "size": tuple(size), "boxes": [box for box in boxes if box]}
    return {**content, "classified": _classified(as_list(image.get("classified")))}


def _classified(given: list[Any]) -> Classified | None:
    numbers = [number for number in map(as_number, given[:3]) if number is not None and math.isfinite(number)]
    return Classified(as_count(numbers[0]), as_count(numbers[1]), numbers[2]) if len(numbers) == 3 else None


def _box(box: list[Any]) -> tuple[Any, ...] | None:
    """Return the edges, the class, the confidence and the shapes of a box; None where a number is none."""
    if len(box) not in (6, 7):
        return None
    edges, label, confidence = [as_number(edge) for edge in box[:4]], as_number(box[4]), as_number(box[5])
    right = all(edge is not None and math.isfinite(edge) for edge in (*edges, label))
    if not right or (confidence is None) != (box[5] is None) or not math.isfinite(confidence or 0.0):
        return None
    return (*edges, as_count(label), confidence, _shapes(as_mapping(box[6]) if len(box) == 7 else {}))


def _shapes(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the lines of a mask, the corners and the keypoints of a box."""
    mask = [line for line in (_points(line) for line in as_list(given.get("mask"))) if line]
    return {"mask": mask, "corners": _points(given.get("corners")), "points": _points(given.get("points"))}


def _points(given: object) -> list[tuple[float, float]]:
    found = []
    for point in map(as_list, as_list(given)):
        place = [as_number(number) for number in point]
        if len(place) == 2 and all(number is not None and math.isfinite(number) for number in place):
            found.append((place[0], place[1]))
    return found  # type: ignore[return-value]


def _read_picture(run: RunData, path: Path) -> None:
    run.pictures[path.stem] = path


_OPTIONAL: dict[str, Callable[[RunData, Path], None]] = {
    "callbacks.jsonl": _read_lines,
    "callbacks.json": _read_state,
    "weights/best-*.json": _read_sidecar,
    "args.yaml": _read_arguments,
    "failures.jsonl": _read_failures,
}
"""The function that reads each file, by the name or pattern of the file. A new source is a new line here."""

_PICTURES = {BOXES_FILE: _read_boxes, "*.jpg": _read_picture, "*.png": _read_picture}


def _choose_classes(run: RunData) -> None:
    """Use the values by class of the best epoch if `callbacks.jsonl` has them; otherwise keep those of a sidecar."""
    best = run.best(run.main_metric) if run.main_metric else None
    names = [key for key, series in run.starting_with("per_class/").items() if best and best[0] in series]
    if not best or not names:
        return
    run.per_class_epoch, run.per_class = best[0], {}
    for key in names:
        name, _, metric = key.removeprefix("per_class/").rpartition("/")
        run.per_class.setdefault(metric, {})[name] = run.series[key][best[0]]
