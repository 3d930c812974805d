"""Run `yolo-callbacks control`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yolo_callbacks.cli.missing import nothing_in
from yolo_callbacks.cli.parser import CommandError, Parser

__all__ = ["control", "parser"]


def parser() -> Parser:
    """Return the parser."""
    made = Parser(
        "control",
        "Change a running training that has RemoteControl among its callbacks, at the end of its present epoch.",
        "yolo-callbacks control runs/detect/train stop",
        "yolo-callbacks control runs/detect/train patience=30 lr-scale=0.5",
        "yolo-callbacks control runs/detect/train save",
    )
    made.add_argument("run", type=Path, metavar="RUN", completed=("<folder>",), help="the run's folder")
    made.add_argument(
        "changes",
        nargs="+",
        metavar="CHANGE",
        completed=("stop", "save", "patience=", "lr-scale="),
        help="stop: end the training; save: keep a copy of the checkpoint; patience=N: the patience of every stopper, "
        "0 for never; lr-scale=X: the factor of the learning rate, 1 for the plain schedule",
    )
    return made


def control(arguments: Sequence[str]) -> None:
    """Write control.yaml into the folder of a run."""
    from yolo_callbacks.callbacks.remote_control import CONTROL_FILE
    from yolo_callbacks.decisions.run_changes import RunChanges
    from yolo_callbacks.utils.files import replace_atomic

    given = parser().parse_args(arguments)
    changes = RunChanges.of(dict(_value(change) for change in given.changes))
    content = _state(given.run)
    path = given.run / CONTROL_FILE
    changes = _unread(path, content["callbacks"]["RemoteControl"]).merged(changes)
    lines = [f"{name}: {str(value).lower()}\n" for name, value in changes.items()]
    # The time makes the same change a new one.
    text = f"# yolo-callbacks control, {time.strftime('%Y-%m-%d %H:%M:%S')}, {time.time_ns()}\n{''.join(lines)}"
    try:
        replace_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error
    wanted = ", ".join(name if value is True else f"{name}={value:g}" for name, value in changes.items())
    print(f"{wanted}: RemoteControl applies it at the end of the present epoch, {int(content['epoch']) + 1} or later")


def _value(change: str) -> tuple[str, Any]:
    """Return the name and the value of a change on the command line."""
    name, equals, value = change.partition("=")
    if not equals:
        return name, True
    try:
        return name, int(value)
    except ValueError:
        pass
    try:
        return name, float(value)
    except ValueError:
        return name, {"true": True, "false": False}.get(value, value)


def _state(run: Path) -> dict[str, Any]:
    """Return the content of callbacks.json of a run that goes on and has the callback.

    Raises:
        CommandError: If there is no such run.
    """
    from yolo_callbacks.state.state_file import STATE_FILE
    from yolo_callbacks.utils.lenient import any_json, as_count, as_mapping, as_text

    try:
        content = as_mapping(any_json(run / STATE_FILE))
    except FileNotFoundError as error:
        raise CommandError(nothing_in(run, STATE_FILE, "no callbacks run there")) from error
    except (OSError, ValueError) as error:
        raise CommandError(f"{run / STATE_FILE} cannot be read: {error}") from error
    callbacks = {name: as_mapping(state) for name, state in as_mapping(content.get("callbacks")).items()}
    if "RemoteControl" not in callbacks:
        raise CommandError(f"{run} has no RemoteControl among its callbacks, which reads the changes: attach it")
    status = as_text(as_mapping(content.get("summary")).get("status"))
    if status:
        raise CommandError(f"{run} is not being trained: {status}")
    return {"callbacks": callbacks, "epoch": as_count(content.get("epoch"))}


def _unread(path: Path, state: dict[str, Any]) -> Any:
    """Return the changes of a file that the training has not read yet."""
    from yolo_callbacks.callbacks.remote_control import digest_of, read_changes
    from yolo_callbacks.decisions.run_changes import RunChanges

    if digest_of(path) in ("", state.get("applied")):
        return RunChanges()
    try:
        return read_changes(path)
    except ValueError:  # a file with a mistake changes nothing
        return RunChanges()
