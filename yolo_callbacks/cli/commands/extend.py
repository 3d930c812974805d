"""Run `yolo-callbacks extend`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from _yolo_callbacks_boot import VARIABLE
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
from yolo_callbacks.utils.command_line import continue_as

__all__ = ["extend", "parser"]

_TASKS = ("detect", "segment", "classify", "pose", "obb")
_OF_REPORT = ("JsonlLogger", "ValidationSnapshot")  # what `report=True` adds
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
    if not (given_value("callbacks", rest) or os.environ.get(VARIABLE)):
        _refuse_default(program, run)
    choose_callbacks(rest)
    command = [
        "train",
        "resume",
        f"model={run / 'weights' / 'last.pt'}",
        *other_arguments(rest, "epochs", "lr", "callbacks"),
    ]
    continue_as(["yolo", *command])

    from yolo_callbacks.suite.extending import prepare_extension

    prepare_extension(run, epochs=int(epochs), lr=given_value("lr", rest) or "hold")
    run_yolo(command)


def _refuse_default(program: str, run: Path) -> None:
    """Refuse the default suite for a run that had other callbacks: they would be dropped, and others would begin.

    Raises:
        CommandError: If the run had a callback that the default suite does not have.
    """
    from yolo_callbacks.state.state_file import STATE_FILE, read_state
    from yolo_callbacks.suite.attaching import default_suite
    from yolo_callbacks.suite.callback_list import state_keys

    stored = (read_state(run / STATE_FILE) or {}).get("callbacks") or {}
    default = {key for task in _TASKS for key in state_keys(default_suite(), task)}
    others = [key for key in stored if key not in default and key not in _OF_REPORT]
    if others:
        raise CommandError(
            f"{program}: the run has {', '.join(others)}: give its callbacks with callbacks=FILE, or callbacks=default "
            "for the default ones"
        )
