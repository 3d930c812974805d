"""Run `yolo-callbacks extend`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from yolo_callbacks.cli.parser import CommandError, Parser
from yolo_callbacks.cli.yolo_command import choose_callbacks, given_value, other_arguments, run_yolo

__all__ = ["extend"]


def extend(arguments: Sequence[str]) -> None:
    """Train a finished run for more epochs."""
    parser = Parser(
        "extend",
        "Train a finished run for more epochs, with its optimizer, the state of its callbacks and its W&B run. It must "
        "have been trained\nwith `keep_resumable: true`, or with SaveBest and `keep_optimizer: true`.",
        "yolo-callbacks extend runs/detect/train epochs=150",
        "yolo-callbacks extend runs/detect/train epochs=150 lr=stretch callbacks=callbacks.yaml patience=30",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="the run's folder")
    parser.add_argument("epochs", metavar="epochs=…", help="the new total number of epochs")
    parser.add_argument(
        "lr",
        nargs="?",
        metavar="lr=…",
        help="the learning rate: hold (default) keeps the last value, stretch follows the schedule of the longer run",
    )
    parser.add_argument("callbacks", nargs="?", metavar="callbacks=…", help="a YAML file, names, or default (default)")
    parser.add_argument(
        "others", nargs="*", metavar="name=value", help="any argument that `yolo train` accepts on resume"
    )
    if not arguments or {"-h", "--help"}.intersection(arguments):
        parser.parse_args(list(arguments) or ["--help"])
    run, rest = Path(arguments[0]), list(arguments[1:])
    epochs = given_value("epochs", rest)
    if epochs is None or not epochs.isdecimal():
        raise CommandError(f"{parser.prog}: epochs=… is required, as a number (see {parser.prog} --help)")
    choose_callbacks(rest)
    command = [
        "train",
        "resume",
        f"model={run / 'weights' / 'last.pt'}",
        *other_arguments(rest, "epochs", "lr", "callbacks"),
    ]
    sys.argv = ["yolo", *command]  # Ultralytics reads it when it is imported

    from yolo_callbacks.suite.extending import prepare_extension

    prepare_extension(run, epochs=int(epochs), lr=given_value("lr", rest) or "hold")
    run_yolo(command)
