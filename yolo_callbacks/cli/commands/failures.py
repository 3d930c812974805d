"""Run `yolo-callbacks failures`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yolo_callbacks.cli.missing import nothing_in
from yolo_callbacks.cli.parser import CommandError, Parser

__all__ = ["failures", "parser"]

_FILE = "failures.jsonl"


def parser() -> Parser:
    """Return the parser."""
    made = Parser(
        "failures",
        "List the validation images on which the model fails, and the labels that may be wrong, as FailingImages has "
        "found them.",
        "yolo-callbacks failures runs/detect/train",
        "yolo-callbacks failures runs/detect/train --epoch 20 --top 5",
        "yolo-callbacks failures runs/detect/train --label-studio tasks.json",
    )
    made.add_argument("run", type=Path, metavar="RUN", completed=("<folder>",), help="the run's folder")
    made.add_argument("--epoch", type=int, help="the epoch (default: the final evaluation, or else the last epoch)")
    made.add_argument("--top", type=int, default=10, help="how many of each list to print (default: 10)")
    made.add_argument(
        "--label-studio",
        type=Path,
        metavar="FILE",
        completed=("<file>",),
        help="write the suspected labels as tasks with predictions, which Label Studio imports",
    )
    return made


def failures(arguments: Sequence[str]) -> None:
    """Print the images that fail, and write the suspected labels for a label tool."""
    from yolo_callbacks.report.failures import label_studio_tasks, read_failures, render

    given = parser().parse_args(arguments)
    if given.top < 1:
        raise CommandError(f"--top must be at least 1, received {given.top}")
    path = given.run / _FILE if given.run.is_dir() else given.run
    try:
        lines = read_failures(path)
    except OSError as error:
        advice = "FailingImages was not in its suite" if given.run.is_dir() else ""
        raise CommandError(nothing_in(given.run, _FILE, advice)) from error
    line = _chosen(lines, given.epoch, path)
    if given.label_studio is not None:
        _write(given.label_studio, label_studio_tasks(line))
    print("\n".join(render(line, given.top)))


def _chosen(lines: Sequence[Mapping[str, Any]], epoch: int | None, path: Path) -> Mapping[str, Any]:
    found = [line for line in lines if epoch is None or line.get("epoch") == epoch]
    if found:
        return found[-1]
    if not lines:
        raise CommandError(f"{path} has no line that can be read")
    known = ", ".join(str(line["epoch"]) for line in lines if "epoch" in line)
    raise CommandError(f"{path} has no epoch {epoch} (there are {known})")


def _write(path: Path, tasks: list[dict[str, Any]]) -> None:
    from yolo_callbacks.utils.files import replace_atomic

    text = json.dumps(tasks, indent=1)
    try:
        replace_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error
