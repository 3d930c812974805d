"""Let `yolo-callbacks train --auto-resume` continue the run that its arguments name, or start it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches

from _yolo_callbacks_boot import VARIABLE
from yolo_callbacks.cli.parser import CommandError
from yolo_callbacks.cli.yolo_command import TASKS, given_value, other_arguments

__all__ = ["OPTION", "continued_command", "takes_option"]

OPTION = "--auto-resume"
_PLACE = ("project", "name", "save_dir")


def takes_option(program: str, arguments: Sequence[str]) -> bool:
    """Return whether the option is given.

    Raises:
        CommandError: If it is misspelt, or comes with `resume`, which it decides.
    """
    for argument in arguments:
        dashed = argument.startswith("--") and argument != OPTION
        if dashed and get_close_matches(argument.replace("_", "-"), [OPTION], cutoff=0.8):
            raise CommandError(f"{program}: argument {argument!r}: did you mean {OPTION}?")
    given = OPTION in arguments
    if given and any(argument == "resume" or argument.startswith("resume=") for argument in arguments):
        raise CommandError(f"{program}: {OPTION} decides whether to resume: leave out resume")
    if given and not any(given_value(name, arguments) for name in _PLACE):
        raise CommandError(f"{program}: {OPTION} needs name=, project= or save_dir=, which name the run")
    return given


def continued_command(arguments: Sequence[str]) -> list[str] | None:
    """Return the arguments of `yolo` that continue or start the run; None if it is over.

    Args:
        arguments: The arguments of the command, without the option and `callbacks=`.
    """
    sys.argv = ["yolo", "train", *arguments]  # Ultralytics reads it when it is imported

    from yolo_callbacks import Mirror
    from yolo_callbacks.config.loading import load
    from yolo_callbacks.suite.continuing import find_continuation

    callbacks = load(os.environ[VARIABLE]).callbacks
    mirror = next((callback for callback in callbacks if isinstance(callback, Mirror)), None)
    given = {name: given_value(name, arguments) for name in (*_PLACE, "data")}
    found = find_continuation(_task(arguments), {name: value for name, value in given.items() if value}, mirror)
    if found.over:
        return None
    if not found.epochs:
        return ["train", *other_arguments(arguments, "exist_ok"), "exist_ok=True"]
    return ["train", "resume", f"model={found.last}", *other_arguments(arguments, "model", "exist_ok", *_PLACE)]


def _task(arguments: Sequence[str]) -> str:
    """Return the task, on which the folder of a run depends: that of the command, or that of the model."""
    named = given_value("task", arguments) or next((word for word in arguments if word in TASKS), None)
    model = given_value("model", arguments)
    if named or not model:
        return named or "detect"
    from ultralytics import YOLO

    return str(YOLO(model).task)
