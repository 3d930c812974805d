"""Run `yolo-callbacks report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolo_callbacks.cli.parser import CommandError, Parser

__all__ = ["parser", "report"]


def parser() -> Parser:
    """Return the parser."""
    made = Parser(
        "report",
        "Write one HTML file about a run, or about several side by side. Runs without callbacks are possible too.",
        "yolo-callbacks report runs/detect/train",
        "yolo-callbacks report runs/detect/train runs/detect/train-2 -o both.html",
    )
    made.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        completed=("<folder>",),
        help="the run's folder; several folders to compare runs",
    )
    made.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        completed=("<file>",),
        help="default: report.html in RUN; for several runs comparison.html in the folder that holds them",
    )
    return made


def report(arguments: Sequence[str]) -> None:
    """Write a report of one run, or of several side by side."""
    from yolo_callbacks.report import report as write

    parsed = parser().parse_args(arguments)
    try:
        print(write(*parsed.runs, output=parsed.output))
    except OSError as error:
        raise CommandError(f"yolo-callbacks report: {error}") from error
