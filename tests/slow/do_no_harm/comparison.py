"""Compare two trainings: what they left on disk, said and did. Every function returns differences as lines."""

from __future__ import annotations

import csv
import fnmatch
import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import yaml

__all__ = ["ASPECTS", "Outcome", "compare"]

# What is written by a suite. Everything else in a run's folder is Ultralytics' own.
OURS = (
    "status.json",
    "callbacks.*",
    "report.html",
    "weights/best-*.pt",
    "weights/best-*.json",
    "weights/best-*.onnx",
    "wandb",
    "wandb/*",
    "events.out.tfevents.*",
    "failures.jsonl",
    "oom-*.json",
)
# What two trainings need not share: the seconds in results.csv, the date of a checkpoint, the commit it was made at.
CHANGING = ("time", "date", "git")
# Lines of differences that are kept of one kind; more say nothing more.
MOST = 8
# What is said where the machine is busy, or two trainings at once have Ultralytics count their operations.
_BUSY = re.compile("time limit .*exceeded|slow image access|already has a .total_ops", re.IGNORECASE)
_WRONG = re.compile(r"^(wandb: *)?(WARNING|ERROR|Exception ignored|Traceback \(most recent call last\))")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Outcome:
    """Hold the facts about a training that has ended."""

    folder: Path
    """The folder of all its runs, with nothing else in it."""
    exit: str = "finished"
    """`"finished"`, or the exception with its message."""
    errors: list[str] = field(default_factory=list)
    """Lines on the console that say that something went wrong."""
    events: list[Any] = field(default_factory=list)
    """The events that a user's callback got, each with its epoch and the state of the trainer."""
    aftermath: dict[str, Any] = field(default_factory=dict)
    """The objects that can be read after the training, by name."""
    seconds: float = 0.0


def values(left: Any, right: Any, where: str = "", ignored: Collection[str] = CHANGING) -> Iterator[str]:
    """Compare two values deeply: tensors element by element, models by their weights and attributes, NaN equals NaN."""
    if type(left) is not type(right):
        yield f"{where}: {_short(left)} and {_short(right)}"
    elif isinstance(left, torch.nn.Module):
        yield from values(left.state_dict(), right.state_dict(), f"{where}.weights", ignored)
        for name in ("yaml", "names", "nc", "stride", "args", "task"):
            yield from values(getattr(left, name, None), getattr(right, name, None), f"{where}.{name}", ignored)
    elif isinstance(left, (torch.Tensor, np.ndarray)):
        one, two = (torch.as_tensor(value).detach().cpu() for value in (left, right))
        if (one.shape, one.dtype) != (two.shape, two.dtype):
            yield f"{where}: {tuple(one.shape)} {one.dtype} and {tuple(two.shape)} {two.dtype}"
        elif not (equal := (one == two) | ((one != one) & (two != two))).all():
            yield f"{where}: {int((~equal).sum())} of {equal.numel()} elements differ"
    elif isinstance(left, Mapping):
        for key in [key for key in left if key not in right and key not in ignored]:
            yield f"{where}.{key}: missing"
        for key in [key for key in right if key not in left and key not in ignored]:
            yield f"{where}.{key}: additional, {_short(right[key])}"
        for key in [key for key in left if key in right and key not in ignored]:
            yield from values(left[key], right[key], f"{where}.{key}", ignored)
    elif isinstance(left, Sequence) and not isinstance(left, (str, bytes)):
        if len(left) != len(right):
            yield f"{where}: {len(left)} and {len(right)} items"
        for number, (one, two) in enumerate(zip(left, right, strict=False)):
            yield from values(one, two, f"{where}[{number}]", ignored)
    elif isinstance(left, float) and math.isnan(left) and math.isnan(right):
        return
    elif left != right:
        yield f"{where}: {_short(left)} and {_short(right)}"


def runs(outcome: Outcome) -> dict[str, Path]:
    """The folders of runs below that of a training, by their names."""
    return {
        path.parent.relative_to(outcome.folder).as_posix(): path.parent for path in outcome.folder.rglob("args.yaml")
    }


def files(folder: Path) -> list[str]:
    """The files of Ultralytics' own below a folder."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return sorted(name for name in names if not is_of_this_package(name))


def is_of_this_package(name: str) -> bool:
    """Return whether a suite writes a file of that name, relative to a run's folder or to a folder of runs."""
    parts = name.split("/")
    return any(fnmatch.fnmatchcase("/".join(parts[i:]), pattern) for i in range(len(parts)) for pattern in OURS)


def table(folder: Path) -> tuple[list[str], list[list[str]]]:
    """The names of the columns of a run's results.csv, and its rows, without the seconds."""
    path = folder / "results.csv"
    lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []
    if not lines:
        return [], []
    header, *rows = lines
    keep = [number for number, name in enumerate(header) if name.strip() not in CHANGING]
    # a row may be longer than the header: a metric that came later
    cut = [[row[i] for i in keep if i < len(row)] + row[len(header) :] for row in rows]
    return [header[i].strip() for i in keep], cut


def checkpoint(path: Path, folder: Path) -> Any:
    """The content of a checkpoint, without the folder in its paths."""
    return without_folder(torch.load(path, map_location="cpu", weights_only=False), folder)


def without_folder(value: Any, folder: Path) -> Any:
    """Take the folder of a training out of all texts in a value."""
    if isinstance(value, torch.nn.Module):
        for name in ("args", "yaml"):
            if hasattr(value, name):
                setattr(value, name, without_folder(getattr(value, name), folder))
        return value
    if isinstance(value, Path):
        return without_folder(str(value), folder)
    if isinstance(value, str):
        return value.replace(str(folder), "<folder>")
    if isinstance(value, SimpleNamespace):
        return without_folder(vars(value), folder)
    if isinstance(value, dict):
        return {key: without_folder(item, folder) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(without_folder(item, folder) for item in value)
    return value


def clean(text: str) -> str:
    """A text without the colours of the console."""
    return _COLOUR.sub("", text).strip()


def is_of_the_machine(text: str) -> bool:
    """Return whether a message is about a busy machine and not about a fault."""
    return bool(_BUSY.search(text))


def lines_of_errors(text: str) -> list[str]:
    """The lines of a console that say that something went wrong."""
    lines = [clean(line) for line in text.replace("\r", "\n").splitlines()]
    return [line for line in lines if _WRONG.match(line) and not is_of_the_machine(line)]


def _compare_exit(one: Outcome, two: Outcome) -> Iterator[str]:
    yield from values(_said(one.exit, one), _said(two.exit, two))


def _compare_epochs(one: Outcome, two: Outcome) -> Iterator[str]:
    yield from values({name: [row[0] for row in table(path)[1]] for name, path in runs(one).items()},
                      {name: [row[0] for row in table(path)[1]] for name, path in runs(two).items()})  # fmt: skip


def _compare_columns(one: Outcome, two: Outcome) -> Iterator[str]:
    for name, left, right in _pairs(one, two):
        yield from values(table(left)[0], table(right)[0], name)


def _compare_rates(one: Outcome, two: Outcome) -> Iterator[str]:
    """Compare the learning rates of the epochs that both have."""
    for name, left, right in _pairs(one, two):
        for epoch, (row, other) in enumerate(zip(_rates(left), _rates(right), strict=False), 1):
            yield from values(row, other, f"{name} epoch {epoch}")


def _rates(folder: Path) -> list[dict[str, str]]:
    header, rows = table(folder)
    return [{key: cell for key, cell in zip(header, row, strict=False) if key.startswith("lr/")} for row in rows]


def _compare_numbers(one: Outcome, two: Outcome) -> Iterator[str]:
    """Compare results.csv cell by cell."""
    for name, left, right in _pairs(one, two):
        (header, rows), (_, others) = table(left), table(right)
        for epoch, (row, other) in enumerate(zip(rows, others, strict=False), 1):
            names = header + [f"column {number}" for number in range(len(header), max(len(row), len(other)))]
            yield from values(
                dict(zip(names, row, strict=False)), dict(zip(names, other, strict=False)), f"{name} epoch {epoch}"
            )


def _compare_checkpoints(one: Outcome, two: Outcome) -> Iterator[str]:
    names = [name for name in files(one.folder) if name.endswith(".pt") and (two.folder / name).exists()]
    for name in names:
        left, right = (checkpoint(outcome.folder / name, outcome.folder) for outcome in (one, two))
        yield from values(left, right, name)


def _compare_arguments(one: Outcome, two: Outcome) -> Iterator[str]:
    for name, left, right in _pairs(one, two):
        contents = [
            without_folder(yaml.safe_load((path / "args.yaml").read_text(encoding="utf-8")), outcome.folder)
            for path, outcome in ((left, one), (right, two))
        ]
        yield from values(*contents, f"{name}/args.yaml")


def _compare_files(one: Outcome, two: Outcome) -> Iterator[str]:
    """Compare which files there are, and what is in those that are JSON."""
    left, right = files(one.folder), files(two.folder)
    yield from (f"{name}: missing" for name in left if name not in right)
    yield from (f"{name}: additional" for name in right if name not in left)
    for name in [name for name in left if name in right and name.endswith(".json")]:
        contents = [without_folder(json.loads((o.folder / name).read_text()), o.folder) for o in (one, two)]
        yield from values(*contents, name)


def _compare_events(one: Outcome, two: Outcome) -> Iterator[str]:
    for number, (left, right) in enumerate(zip(one.events, two.events, strict=False)):
        if found := list(values(left, right, f"event {number}, {left[0]}")):
            yield from found
            return
    if len(one.events) != len(two.events):
        yield f"{len(one.events)} and {len(two.events)} events"


def _compare_aftermath(one: Outcome, two: Outcome) -> Iterator[str]:
    yield from values(without_folder(one.aftermath, one.folder), without_folder(two.aftermath, two.folder), "after")


def _compare_errors(one: Outcome, two: Outcome) -> Iterator[str]:
    known = [_said(line, one) for line in one.errors]
    yield from (_said(line, two) for line in two.errors if _said(line, two) not in known)


_COMPARISONS: dict[str, Callable[[Outcome, Outcome], Iterator[str]]] = {
    "exit": _compare_exit,
    "epochs": _compare_epochs,
    "columns": _compare_columns,
    "rates": _compare_rates,
    "numbers": _compare_numbers,
    "checkpoints": _compare_checkpoints,
    "arguments": _compare_arguments,
    "files": _compare_files,
    "events": _compare_events,
    "aftermath": _compare_aftermath,
    "errors": _compare_errors,
}
ASPECTS = tuple(_COMPARISONS)


def compare(one: Outcome, two: Outcome, aspects: Collection[str] = ASPECTS) -> list[str]:
    """Compare a training with one that must be the same.

    Args:
        one: The training as it has to be.
        two: The other.
        aspects: What to compare, of `ASPECTS`.

    Returns:
        A line for each difference, which begins with the aspect; none where there is none.
    """
    lines: list[str] = []
    for aspect in aspects:
        found = list(_COMPARISONS[aspect](one, two))
        lines += [f"{aspect}: {line}" for line in found[:MOST]]
        if len(found) > MOST:
            lines.append(f"{aspect}: {len(found) - MOST} more")
    return lines


def _pairs(one: Outcome, two: Outcome) -> Iterator[tuple[str, Path, Path]]:
    others = runs(two)
    return ((name, path, others[name]) for name, path in runs(one).items() if name in others)


def _said(text: str, outcome: Outcome) -> str:
    return text.replace(str(outcome.folder), "<folder>")


def _short(value: Any) -> str:
    text = f"{type(value).__name__} {value!r}" if not isinstance(value, (str, int, float)) else repr(value)
    return text if len(text) <= 300 else f"{text[:300]}…"
