"""Copy what a resumed run needs to a checkpoint of Ray Tune, and from there to the folder of a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from yolo_callbacks.state.journal import JOURNAL_FILE
from yolo_callbacks.state.run_files import link_or_copy, needed_files
from yolo_callbacks.state.state_file import STATE_FILE
from yolo_callbacks.utils.fields import Field, read_fields, text, whole
from yolo_callbacks.utils.files import LOGGER, parse_json, read_json, read_lines, replace_atomic, write_json

__all__ = ["Origin", "copy_from_trial", "copy_to_trial", "forget_logged_runs", "install_files", "read_origin"]

_ORIGIN_FILE = "trial.json"
_NO_RUN: dict[str, Any] = {"run_id": None, "run": None, "folders": []}  # of WandbLogger and MLflowLogger
_FIELDS = {"trial": Field(text), "epoch": Field(whole(1)), "folder": Field(text)}


@dataclass(frozen=True)
class Origin:
    """Where a checkpoint of Ray Tune comes from.

    Attributes:
        trial: The id of the trial that wrote it.
        epoch: The last epoch in it, counted from 1.
        folder: The folder of the run.
    """

    trial: str
    epoch: int
    folder: str


def copy_to_trial(folder: Path, target: Path, origin: Origin) -> None:
    """Write what a resume of a run needs to an empty folder: checkpoints, state, and rows of results.

    Pictures, TensorBoard's and W&B's files are left out. The run must write nothing meanwhile.
    """
    for path in needed_files(folder):
        copy = target / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(path, copy)
    write_json(target / _ORIGIN_FILE, asdict(origin))


def read_origin(folder: Path) -> Origin | None:
    """Return where a checkpoint comes from; None where `copy_to_trial` has not written it."""
    path = folder / _ORIGIN_FILE
    if not path.is_file():
        return None
    try:
        return Origin(**read_fields(parse_json(path.read_text(encoding="utf-8")), _FIELDS))
    except ValueError as error:  # StateError is one
        LOGGER.warning(f"A checkpoint of Ray Tune cannot be read ({path.name}: {error}): the trial starts afresh")
        return None


def copy_from_trial(source: Path, folder: Path) -> None:
    """Make the folder of a run hold what a checkpoint of Ray Tune holds; see `install_files`."""
    install_files(source, folder, without=_ORIGIN_FILE)


def install_files(source: Path, folder: Path, *, without: str = "") -> None:
    """Make the folder of a run hold what a copy of the run holds; last.pt comes last, so that a kill does no harm.

    Files of later epochs that callbacks have written, as callbacks.json lists them, are removed. All others stay.
    """
    state = read_json(folder / STATE_FILE) or {}
    listed = state.get("files")
    for name in listed if isinstance(listed, list) else []:
        path = folder / str(name)
        if path.resolve().is_relative_to(folder.resolve()) and not (source / str(name)).exists():
            path.unlink(missing_ok=True)
    for path in sorted(needed_files(source), key=lambda path: path.name == "last.pt"):
        if path.name != without:
            target = folder / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(path, target)


def forget_logged_runs(folder: Path) -> None:
    """Remove the ids of W&B and MLflow from the state of a run that goes on in another trial: that one has its own."""
    state = read_json(folder / STATE_FILE)
    if state is not None:
        write_json(folder / STATE_FILE, {**state, "callbacks": _without_run(state.get("callbacks"))})
    journal = folder / JOURNAL_FILE
    if not journal.is_file():
        return
    content = "".join(map(_line_without_run, read_lines(journal)))
    replace_atomic(journal, lambda temporary: temporary.write_text(content, encoding="utf-8"))


def _line_without_run(line: str) -> str:
    try:
        entry = parse_json(line)
    except ValueError:
        return line  # who reads the journal says what is wrong
    if not isinstance(entry, dict):
        return line
    # Not `to_json`: the journal has NaN and infinity.
    return json.dumps({**entry, "states": _without_run(entry.get("states"))}) + "\n"


def _without_run(states: Any) -> Any:
    if not isinstance(states, Mapping):
        return states
    return {
        key: {**state, **{name: value for name, value in _NO_RUN.items() if name in state}}
        if isinstance(state, Mapping) and "run_id" in state
        else state
        for key, state in states.items()
    }


def _copy(source: Path, target: Path) -> None:
    replace_atomic(target, lambda temporary: shutil.copyfile(source, temporary))
