"""`yolo-callbacks report RUN [RUN ...]`: one HTML file of a run, or of several side by side."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

__all__ = ["HELP", "add_arguments", "run"]

HELP = "write a run's folder, or the comparison of several, as one HTML file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a training; several to compare")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="the file to write (default: report.html in the run's folder, comparison.html in the first of several)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the report and say where it is; 2 where it cannot be."""
    from yolo_callbacks.report import report

    try:
        path = report(*arguments.runs, output=arguments.output)
    except (OSError, ValueError) as error:
        print(f"yolo-callbacks report: {error}", file=sys.stderr)
        return 2
    print(path)
    return 0
