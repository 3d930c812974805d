"""Continue as Ultralytics' `yolo` command, with callbacks."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
from collections.abc import Sequence
from pathlib import Path

from yolo_callbacks.cli.parser import CommandError, Parser
from yolo_callbacks.utils.command_line import continue_as

__all__ = [
    "MODES",
    "TASKS",
    "add_other_arguments",
    "add_training_arguments",
    "choose_callbacks",
    "given_value",
    "other_arguments",
    "run_yolo",
    "yolo_arguments",
]

TASKS = ("detect", "segment", "semantic", "depth", "classify", "pose", "obb")
MODES = ("train", "val", "predict", "export", "track", "benchmark")


def add_training_arguments(parser: Parser, others: str) -> None:
    """Add `callbacks=` and the arguments of `yolo` to a parser that is for the help and the completion.

    Args:
        parser: The parser.
        others: The description of the arguments of `yolo`.
    """
    parser.add_argument(
        "callbacks",
        nargs="?",
        metavar="callbacks=…",
        completed=("<yaml>", "default"),
        help="a YAML file, names, or default (default: YOLO_CALLBACKS, or default)",
    )
    add_other_arguments(parser, others)


def add_other_arguments(parser: Parser, others: str) -> None:
    """Add the arguments of `yolo` to a parser that is for the help and the completion.

    Args:
        parser: The parser.
        others: The description of the arguments.
    """
    parser.add_argument("others", nargs="*", default=[], metavar="name=value", completed=("<yolo>",), help=others)


def given_value(name: str, arguments: Sequence[str]) -> str | None:
    """Return the value of the last argument `name=value`, or None if it is not given."""
    values = [argument.partition("=")[2] for argument in arguments if argument.startswith(f"{name}=")]
    return values[-1] if values else None


def other_arguments(arguments: Sequence[str], *names: str) -> list[str]:
    """Return the arguments with other names."""
    return [argument for argument in arguments if not argument.startswith(tuple(f"{name}=" for name in names))]


def yolo_arguments() -> tuple[str, ...]:
    """Return the names of the arguments of `yolo`, without the import of Ultralytics, which takes seconds."""
    found = importlib.util.find_spec("ultralytics")
    try:
        text = (Path(str(found and found.origin)).parent / "cfg" / "default.yaml").read_text(encoding="utf-8")
    except OSError:  # a later version stores them elsewhere
        return ()
    return tuple(re.findall(r"^(\w+):", text, re.MULTILINE))


def choose_callbacks(arguments: Sequence[str]) -> None:
    """Set YOLO_CALLBACKS to the value of `callbacks=`, for child processes of Ultralytics too."""
    import _yolo_callbacks_boot as boot

    os.environ[boot.VARIABLE] = given_value("callbacks", arguments) or os.environ.get(boot.VARIABLE) or "default"
    boot.install()


def run_yolo(command: Sequence[str]) -> None:
    """Continue as the `yolo` command."""
    continue_as(["yolo", *command])
    from ultralytics.cfg import entrypoint

    try:
        entrypoint()
    except (AssertionError, SyntaxError, TypeError, ValueError) as error:
        # This module only validates the arguments, so an error from there is a mistake of the user.
        if _innermost_module(error) != "ultralytics.cfg":
            raise
        raise CommandError(str(error).strip().splitlines()[0]) from error


def _innermost_module(error: BaseException) -> str | None:
    frames = inspect.getinnerframes(error.__traceback__) if error.__traceback__ else []
    return frames[-1].frame.f_globals.get("__name__") if frames else None
