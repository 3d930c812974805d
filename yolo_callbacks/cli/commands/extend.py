"""Run `yolo-callbacks extend`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from yolo_callbacks.cli.near_misses import refuse_near_misses
from yolo_callbacks.cli.parser import CommandError, Parser
from yolo_callbacks.cli.yolo_command import (
    add_training_arguments,
    choose_callbacks,
    given_value,
    other_arguments,
    run_yolo,
    yolo_arguments,
)

__all__ = ["extend", "parser"]

_OWN = {"epochs": "150", "lr": "hold", "callbacks": "callbacks.yaml"}


def parser() -> Parser:
    """Return the parser, for the help and the completion: Ultralytics parses the arguments."""
    made = Parser(
        "extend",
        "Train a finished run for more epochs, with its optimizer, the state of its callbacks and its W&B run. It must "
        "have been trained\nwith `keep_resumable: true`, or with SaveBest and `keep_optimizer: true`.",
        "yolo-callbacks extend runs/detect/train epochs=150",
        "yolo-callbacks extend runs/detect/train epochs=150 lr=stretch callbacks=callbacks.yaml patience=30",
    )
    made.add_argument("run", metavar="RUN", type=Path, completed=("<folder>",), help="the run's folder")
    made.add_argument("epochs", metavar="epochs=…", help="the new total number of epochs")
    made.add_argument(
        "lr",
        nargs="?",
        metavar="lr=…",
        completed=("hold", "stretch"),
        help="the learning rate: hold (default) keeps the last value, stretch follows the schedule of the longer run",
    )
    add_training_arguments(made, "any argument that `yolo train` accepts on resume")
    return made


def extend(arguments: Sequence[str]) -> None:
    """Train a finished run for more epochs."""
    if not arguments or {"-h", "--help"}.intersection(arguments):
        parser().print_help()
        return
    program = "yolo-callbacks extend"
    run, rest = Path(arguments[0]), list(arguments[1:])
    refuse_near_misses(program, arguments if "=" in arguments[0] else rest, _OWN, yolo_arguments())
    if not run.exists():
        raise CommandError(f"{program}: there is no folder {arguments[0]!r}: the first argument is the folder of a run")
    epochs = given_value("epochs", rest)
    if epochs is None or not epochs.isdecimal():
        raise CommandError(f"{program}: epochs=… is required, as a number (see {program} --help)")
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
