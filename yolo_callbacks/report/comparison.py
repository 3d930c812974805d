"""Compare several runs: values of each run, mean and spread of repeated runs, and settings that differ."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from yolo_callbacks.report.run_data import RunData
from yolo_callbacks.report.setup import setup
from yolo_callbacks.report.tables import metrics_of, plain, suffix_of
from yolo_callbacks.report.words import NOTHING, duration, number, value_text

__all__ = ["Cell", "Labelled", "Repeat", "Row", "by_task", "classes", "different", "labelled", "repeats", "rows"]

_MAX_CLASSES = 200
_ALWAYS_DIFFERENT = ("name", "project", "save_dir", "exist_ok")
# Runs that differ only in these are repeats of one experiment: other folds, other seeds, another place.
_NOT_OF_AN_EXPERIMENT = (
    *(*_ALWAYS_DIFFERENT, "data", "seed", "device", "workers", "cache", "plots", "verbose", "resume"),
    *("save", "save_period"),
)

# Rows of `setup` that repeat no argument.
_SET_UP = (
    *("Training images", "Validation images", "Classes", "Optimizer", "Initial rate", "Device", "CPU", "Host memory"),
    *("Operating system", "ultralytics", "torch", "python", "yolo-callbacks"),
)


@dataclass(frozen=True)
class Labelled:
    """A run of a comparison.

    Attributes:
        index: The position among all runs of the page, which decides the colour.
        label: The name, which no other run of the page has.
        run: The run.
    """

    index: int
    label: str
    run: RunData


@dataclass(frozen=True)
class Repeat:
    """Runs of one experiment, which differ only in data, seed or place.

    Attributes:
        name: The labels of the runs.
        positions: The positions of the runs in their table.
    """

    name: str
    positions: tuple[int, ...]


@dataclass(frozen=True)
class Cell:
    """A value in a table.

    Attributes:
        text: The value.
        remark: What the value is of, `""` if the row says it.
        leading: Whether it is the best value of the row.
    """

    text: str
    remark: str = ""
    leading: bool = False


@dataclass
class Row:
    """A row of the table of a task.

    Attributes:
        group: What the values of this row and its neighbours are of.
        name: The name of the values.
        cells: The value of each run.
        means: Mean, standard deviation and number of values of each repeat.
    """

    group: str
    name: str
    cells: list[Cell]
    means: list[Cell] = field(default_factory=list)


def labelled(runs: Sequence[RunData]) -> list[Labelled]:
    """Return the runs with a name for each; with the parent folder if several runs have the same name."""
    names = [run.name for run in runs]
    labels = [
        run.name if names.count(run.name) == 1 else f"{run.folder.resolve().parent.name}/{run.name}" for run in runs
    ]
    unique = [name if labels.count(name) == 1 else f"{name} #{index + 1}" for index, name in enumerate(labels)]
    return [Labelled(index, label, run) for index, (label, run) in enumerate(zip(unique, runs, strict=True))]


def by_task(runs: Sequence[Labelled]) -> dict[str, list[Labelled]]:
    """Return the runs of each task. Metrics of two tasks cannot be compared, even if they have the same name."""
    found: dict[str, list[Labelled]] = {}
    for each in runs:
        found.setdefault(each.run.task, []).append(each)
    return found


def repeats(runs: Sequence[Labelled]) -> list[Repeat]:
    """Return the repeated experiments among the runs of a task, without runs that did not finish."""
    found: dict[str, list[int]] = {}
    for position, each in enumerate(runs):
        if each.run.summary.get("status", "finished") != "finished":
            continue  # interrupted: its best epoch is not that of the others
        settings = {name: value for name, value in each.run.arguments.items() if name not in _NOT_OF_AN_EXPERIMENT}
        found.setdefault(json.dumps(settings, sort_keys=True, default=str), []).append(position)
    return [
        Repeat(", ".join(runs[position].label for position in positions), tuple(positions))
        for positions in (_latest_of_each(runs, positions) for positions in found.values())
        if len(positions) > 1
    ]


def _latest_of_each(runs: Sequence[Labelled], positions: Sequence[int]) -> list[int]:
    """Return the last run of each fold and seed: one that was trained twice must not count twice in a mean."""
    latest: dict[tuple[str, str], int] = {}
    for position in positions:
        arguments = runs[position].run.arguments
        latest[str(arguments.get("data")), str(arguments.get("seed"))] = position
    return sorted(latest.values()) if len(latest) > 1 else list(positions)


def rows(runs: Sequence[Labelled], repeated: Sequence[Repeat]) -> list[Row]:
    """Return the rows of the table of a task."""
    found = [*_best_rows(runs), *_final_rows(runs), *_course_rows(runs)]
    for row, values, text in found:
        row.means = [_mean([values[position] for position in each.positions], text) for each in repeated]
    ended = [Cell(each.run.end or NOTHING) for each in runs]
    return [*(row for row, _, _ in found), Row("Course", "Ended by", ended, [Cell("") for _ in repeated])]


_Values = list[float | None]
_Found = tuple[Row, _Values, Callable[[float], str]]


def _best_rows(runs: Sequence[Labelled]) -> list[_Found]:
    metrics = dict.fromkeys(key for each in runs for key in metrics_of(each.run))
    losses = dict.fromkeys(key for each in runs for key in each.run.starting_with("val/"))
    found: list[_Found] = []
    for key in (*metrics, *losses):
        best = [each.run.best(key) for each in runs]
        values: _Values = [pair[1] if pair else None for pair in best]
        # A metric that was 0 in all epochs has no best epoch.
        remarks = [f"epoch {pair[0]}" if pair and (pair[1] or "loss" in key) else "" for pair in best]
        row = Row("Best validation", plain(key, metrics), _cells(values, remarks, lowest="loss" in key))
        # A low loss of a run that detects nothing is no merit.
        if "loss" in key and any(each.run.has_detected_nothing for each in runs):
            row.cells = [replace(cell, leading=False) for cell in row.cells]
        found.append((row, values, number))
    return found


def _final_rows(runs: Sequence[Labelled]) -> list[_Found]:
    keys = dict.fromkeys(key for each in runs for key in metrics_of(each.run) if key in each.run.final)
    found: list[_Found] = []
    for key in keys:
        values: _Values = [each.run.final.get(key) for each in runs]
        row = Row("Final evaluation of best.pt", plain(key, keys), _cells(values, lowest=False))
        found.append((row, values, number))
    return found


def _course_rows(runs: Sequence[Labelled]) -> list[_Found]:
    planned = [each.run.arguments.get("epochs") for each in runs]
    epochs: _Values = [float(each.run.last_epoch) for each in runs]
    per_epoch: _Values = [each.run.seconds_per_epoch for each in runs]
    seconds: _Values = [each.run.seconds or None for each in runs]
    counted = [
        Cell(f"{value:g}", f"of {value_text(given)} planned" if given else "")
        for value, given in zip(epochs, planned, strict=True)
    ]
    return [
        (Row("Course", "Epochs", counted), epochs, lambda value: number(value, 3)),
        (Row("Course", "Time of an epoch", [Cell(duration(value)) for value in per_epoch]), per_epoch, duration),
        (Row("Course", "Time of all epochs", [Cell(duration(value)) for value in seconds]), seconds, duration),
    ]


def _cells(values: _Values, remarks: Sequence[str] = (), *, lowest: bool) -> list[Cell]:
    known = [value for value in values if value is not None and math.isfinite(value)]
    # Of equal values none is the best.
    leading = (min(known) if lowest else max(known)) if len(set(known)) > 1 else None
    remarks = remarks or [""] * len(values)
    return [
        Cell(number(value), remark, value is not None and value == leading)
        for value, remark in zip(values, remarks, strict=True)
    ]


def _mean(values: _Values, text: Callable[[float], str]) -> Cell:
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return Cell(NOTHING)
    mean = statistics.fmean(known)
    if len(known) == 1:
        return Cell(text(mean), "n = 1")
    spread = statistics.stdev(known)
    # Both in seconds: "3.1 s ± 734 ms" is hard to read.
    in_seconds = text is duration and 0 < spread < 1 <= mean
    return Cell(f"{text(mean)} ± {f'{spread:.1f} s' if in_seconds else text(spread)}", f"n = {len(known)}")


def classes(runs: Sequence[Labelled], repeated: Sequence[Repeat]) -> list[Row]:
    """Return a row for each class: its value in the best epoch of each run, and the means of repeats."""
    tables = [each.run.per_class.get(f"mAP50-95{suffix_of(each.run).replace('(B)', '')}", {}) for each in runs]
    found = []
    for name in list(dict.fromkeys(name for table in tables for name in table))[:_MAX_CLASSES]:
        values: _Values = [table.get(name) for table in tables]
        means = [_mean([values[position] for position in each.positions], number) for each in repeated]
        found.append(Row("Classes", name, _cells(values, lowest=False), means))
    return found


def different(runs: Sequence[Labelled]) -> list[tuple[str, list[str]]]:
    """Return the arguments that are not the same in all runs, and what else is known of the set-up and differs."""
    names = dict.fromkeys(name for each in runs for name in each.run.arguments if name not in _ALWAYS_DIFFERENT)
    missing = object()
    found = {name: [each.run.arguments.get(name, missing) for each in runs] for name in names}
    texts = {
        name: [NOTHING if value is missing else value_text(value) for value in values] for name, values in found.items()
    }
    groups = [{name: text for _, group in setup(each.run) for name, text in group} for each in runs]
    texts |= {name: [group.get(name, NOTHING) for group in groups] for name in _SET_UP}
    return [(name, values) for name, values in texts.items() if any(value != values[0] for value in values)]
