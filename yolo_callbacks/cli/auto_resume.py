"""Let `yolo-callbacks train --auto-resume` continue the run that its arguments name, or start it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from _yolo_callbacks_boot import VARIABLE
from yolo_callbacks.cli.parser import CommandError
from yolo_callbacks.cli.yolo_command import TASKS, given_value, other_arguments
from yolo_callbacks.trainer.launched_training import exchange_in_launch
from yolo_callbacks.utils.command_line import continue_as
from yolo_callbacks.utils.launcher import Launch

__all__ = ["LEFT_EARLY", "OPTION", "Continued", "continued_command", "takes_option", "was_left_early"]

OPTION = "--auto-resume"
LEFT_EARLY = 75
"""The exit code of a training that was left to be continued: EX_TEMPFAIL of sysexits.h, "try again later".

With 0, Kubernetes would take the job for complete, and never start it again.
"""
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


@dataclass(frozen=True)
class Continued:
    """What continues or starts a run.

    Attributes:
        folder: The folder of the run.
        command: The arguments of `yolo`; None if the run is over.
    """

    folder: Path
    command: list[str] | None


@dataclass(frozen=True)
class _Found:
    """What the command goes on from.

    Attributes:
        folder: The folder of the run.
        over: Whether the run is over.
        checkpoint: The checkpoint to resume; None if the run starts.
    """

    folder: Path
    over: bool
    checkpoint: Path | None


def continued_command(arguments: Sequence[str], launch: Launch | None = None) -> Continued:
    """Find the run, and the arguments of `yolo` that continue or start it.

    Args:
        arguments: The arguments of the command, without the option and `callbacks=`.
        launch: The place of this process among those of a launcher. Defaults to `None`, for one process.

    Raises:
        CommandError: On the other ranks, if rank 0 cannot find out how the run goes on.
    """
    continue_as(["yolo", "train", *arguments])
    found = _find(arguments) if launch is None else _find_together(arguments, launch)
    command = None
    if found.checkpoint is not None and not found.over:
        others = other_arguments(arguments, "model", "exist_ok", *_PLACE)
        command = ["train", "resume", f"model={found.checkpoint}", *others]
    elif not found.over:
        command = ["train", *other_arguments(arguments, "exist_ok"), "exist_ok=True"]
    return Continued(found.folder, command)


def _find(arguments: Sequence[str]) -> _Found:
    """Find the newest complete copy of the run, and write it to the folder of the run."""
    from yolo_callbacks import Mirror
    from yolo_callbacks.config.loading import load
    from yolo_callbacks.suite.continuing import find_continuation

    callbacks = load(os.environ[VARIABLE]).callbacks
    mirror = next((callback for callback in callbacks if isinstance(callback, Mirror)), None)
    given = {name: given_value(name, arguments) for name in (*_PLACE, "data")}
    place = {name: value for name, value in given.items() if value}
    found = find_continuation(_task(arguments, place), place, mirror)
    return _Found(found.folder, found.over, found.last if found.epochs else None)


def _find_together(arguments: Sequence[str], launch: Launch) -> _Found:
    """Let rank 0 find it, so that no two processes write to one folder, and give each node its checkpoint."""
    ranks = exchange_in_launch(launch)
    content: dict[str, Any] = {"failed": True}
    try:
        if launch.rank == 0:
            found = _find(arguments)
            checkpoint = None if found.checkpoint is None else str(found.checkpoint)
            content = {"failed": False, "folder": str(found.folder), "over": found.over, "checkpoint": checkpoint}
    finally:
        content = ranks.of_main(content)
        if content["failed"]:
            ranks.close()
    if content["failed"]:
        raise CommandError("yolo-callbacks train: rank 0 could not find out how the run goes on, see its message")
    shared = None
    if content["checkpoint"] is not None and not content["over"]:
        shared = ranks.share_file(Path(content["checkpoint"]))
    ranks.close()
    return _Found(Path(content["folder"]), content["over"], shared)


def was_left_early(folder: Path) -> bool:
    """Return whether the training that has just ended in a folder was left to be continued."""
    from yolo_callbacks.state.state_file import STATE_FILE, read_state

    state = read_state(folder / STATE_FILE) or {}
    return (state.get("summary") or {}).get("status") == "left early"


def _task(arguments: Sequence[str], place: Mapping[str, str]) -> str:
    """Return the task, on which the folder of a run may depend: that of the command, or that of the model.

    The model is loaded only where the folder depends on it: on another machine that would be a download.
    """
    from yolo_callbacks.trainer.continuation import fixed_folder

    named = given_value("task", arguments) or next((word for word in arguments if word in TASKS), None)
    model = given_value("model", arguments)
    if named or not model or fixed_folder("detect", place) == fixed_folder("segment", place):
        return named or "detect"
    from ultralytics import YOLO

    return str(YOLO(model).task)
