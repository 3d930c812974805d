"""The two files in a run's folder that a resumed run goes on from: callbacks.json and the journal."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.state.journal import JOURNAL_FILE, Journal, Recovery, recoveries
from yolo_callbacks.utils.fields import (
    SCHEMA,
    Field,
    StateError,
    anything,
    flag,
    listing,
    mapping,
    number,
    optional,
    read_fields,
    schema,
    text,
    whole,
)
from yolo_callbacks.utils.files import LOGGER, read_json, set_aside, write_json
from yolo_callbacks.utils.stored_paths import stored_path
from yolo_callbacks.utils.version import versions

__all__ = [
    "STATE_FILE",
    "Errors",
    "RunState",
    "find_recoveries",
    "holds_state",
    "keep_copies_aside",
    "last_finished_epoch",
    "mark_extended",
    "read_state",
]

STATE_FILE = "callbacks.json"
_MOST_TOLD = 5

Errors = dict[Path, list[str]]
"""What is wrong in parts of files."""


def _null_is_nan(value: Any) -> float:
    """Read a number that `write_json` has written: it has no NaN."""
    return math.nan if value is None else float(number(finite=False)(value))


_EXTENSION = {
    "after": Field(whole(1)),
    "planned": Field(whole()),
    "hold": Field(flag),
    "held": Field(optional(number(0.0, 1000.0)), None),
}
_FIELDS = {
    "schema": Field(schema, 1),
    "epoch": Field(whole()),
    "ended": Field(flag, False),
    "callbacks": Field(mapping(lambda state: state, key=lambda key: key)),  # each is read by its callback
}
# What is wrong in these costs nothing but them.
_FIELDS_BESIDE = {
    "versions": Field(mapping(text), {}),
    "published": Field(mapping(_null_is_nan), {}),
    "files": Field(listing(text), []),
    "summary": Field(optional(mapping(anything)), None),
    "keep_resumable": Field(flag, False),
    "extension": Field(optional(lambda content: read_fields(content, _EXTENSION)), None),
}


class RunState:
    """What a run's callbacks have reached, on disk. A write that fails only warns, once.

    Attributes:
        files: What the callbacks have written and keep, for a later run in the same folder to remove.
        extension: How the run was extended, as `mark_extended` wrote it; None where it was not.

    Args:
        folder: The run's folder.
        later: Calls a function with its arguments, when it likes: the journal makes up for a callbacks.json that is an
            epoch behind.
        keep_resumable: Whether last.pt keeps its optimizer at the end. Defaults to `False`.
    """

    def __init__(self, folder: Path, later: Callable[..., None], *, keep_resumable: bool = False) -> None:
        self.path = folder / STATE_FILE
        self._later, self._keep_resumable = later, keep_resumable
        self.journal = Journal(folder)
        self._epoch, self._ended = 0, False
        self._states: dict[str, Any] = {}
        self._published: dict[str, float] = {}
        self._warned = False
        self.files: list[Path] = []
        self.extension: dict[str, Any] | None = None
        self._leftovers: list[Path] = []

    def find_leftovers(self) -> None:
        """Note the files that an earlier run in this folder has written, as its callbacks.json lists them."""
        state = read_state(self.path) or {}
        self._leftovers = [self.path.parent / name for name in state.get("files", ()) if _may_be_removed(name)]

    def remove_leftovers(self) -> None:
        """Remove what an earlier run has written, but for the files that this run has replaced."""
        leftovers, self._leftovers = self._leftovers, []
        for path in leftovers:
            try:
                if path not in self.files and not path.is_symlink() and path.is_file():
                    path.unlink()
            except (OSError, ValueError) as error:  # ValueError: a name that no file system has
                LOGGER.warning(f"{path} of an earlier run could not be removed: {error}")

    def begin(self, epoch: int, states: Mapping[str, Any], published: Mapping[str, float], *, ended: bool) -> None:
        """A run starts after an epoch, 0 for a new one, whatever another run has left in the folder."""
        try:
            self.journal.begin(epoch)
        except OSError as error:
            self._warn(self.journal.path, error)
        self.close_epoch(epoch, states, published, ended=ended)

    def open_epoch(self, record: EpochRecord, states: Mapping[str, Any], *, ended: bool) -> None:
        """Journal what is about to be decided on, and what is known before it. To come before the checkpoint."""
        try:
            self.journal.append(record, states, self._published, ended=ended)
        except OSError as error:
            self._warn(self.journal.path, error)

    def close_epoch(
        self, epoch: int, states: Mapping[str, Any], published: Mapping[str, float], *, ended: bool
    ) -> None:
        """Write the states after an epoch, and what was published in it."""
        self._epoch, self._states, self._ended = epoch, dict(states), ended
        self._published = dict(published)
        self._write(None)

    def conclude(self, summary: Mapping[str, Any], states: Mapping[str, Any] | None) -> None:
        """Write the summary at the end; without `states` those of the last epoch that was closed stay."""
        self._states = self._states if states is None else dict(states)
        self._write(summary)

    def _write(self, summary: Mapping[str, Any] | None) -> None:
        content = {
            "schema": SCHEMA,
            "epoch": self._epoch,
            "ended": self._ended,
            "keep_resumable": self._keep_resumable,
            "extension": self.extension,
            "versions": versions(),
            "callbacks": self._states,
            "published": self._published,
            "files": [stored_path(path, self.path.parent) for path in (*self.files, *self._leftovers)],
            "summary": summary,
        }
        self._later(self._write_now, content)

    def _write_now(self, content: dict[str, Any]) -> None:
        try:
            write_json(self.path, content)
        except OSError as error:
            self._warn(self.path, error)

    def _warn(self, path: Path, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            LOGGER.warning(f"{path} could not be written, this run cannot be resumed exactly: {error}")


def mark_extended(folder: Path, *, after: int, planned: int, hold: bool) -> None:
    """Write into the state of a run that it goes on.

    Args:
        folder: The run's folder.
        after: The epoch after which it goes on, counted from 1.
        planned: How many epochs it was to have.
        hold: Whether the schedule of the learning rate stays where it was.

    Raises:
        OSError: If the state cannot be written.
    """
    path = folder / STATE_FILE
    state = read_state(path) or {"epoch": after, "callbacks": {}}
    before = state.get("extension") or {}
    # A rate that is held already is held on: only the first schedule says where it was.
    held = before.get("held") if hold and before.get("hold") else None
    extension = {"after": after, "planned": planned, "hold": hold, "held": held}
    write_json(path, {**state, "schema": SCHEMA, "ended": False, "summary": None, "extension": extension})


def _may_be_removed(name: str) -> bool:
    """Return whether a listed file is one that a callback writes: a file of any content may list any name."""
    folder, _, file = name.rpartition("/")
    if folder != "weights" or "\\" in file:
        return False
    return bool(re.fullmatch(r".+\.(pt|json)", file)) and not re.fullmatch(r"(last|best|epoch-?\d+)\.(pt|json)", file)


def last_finished_epoch(folder: Path) -> tuple[int, bool]:
    """Return the last epoch of a run that is finished, and whether its last.pt was to be kept resumable.

    The epoch is 0 where the run is not finished, or its callbacks.json does not say it.
    """
    state = read_state(folder / STATE_FILE) or {}
    finished = (state.get("summary") or {}).get("status") == "finished"
    return (int(state["epoch"]) if finished else 0), bool(state.get("keep_resumable"))


def holds_state(folder: Path) -> bool:
    """Return whether a folder holds the state of callbacks, readable or not."""
    return any((folder / name).is_file() for name in (STATE_FILE, JOURNAL_FILE))


def find_recoveries(folder: Path, epoch: int, errors: Errors) -> list[Recovery]:
    """List from where a run can go on after an epoch, counted from 1, by what a folder holds; the best first.

    Args:
        folder: The folder.
        epoch: The epoch.
        errors: Gets what is wrong in a file of which other parts are read, for `keep_copies_aside`.
    """
    path, journal = folder / STATE_FILE, Journal(folder)
    there = os.path.lexists(path)
    state = read_state(path, errors)
    wrong_lines: list[str] = []
    try:
        entries = journal.entries(wrong_lines)
    except OSError as error:
        LOGGER.warning(f"{journal.path} cannot be read: {error}")
        entries = []
    if wrong_lines:
        errors.setdefault(journal.path, []).extend(wrong_lines)
    found = recoveries(state, entries, epoch, damaged=bool(wrong_lines) or (there and state is None))
    if not found and state is not None:
        LOGGER.warning(
            f"{path} is of epoch {state['epoch']}, the checkpoint of epoch {epoch}, and the journal does not hold it"
        )
    extension = state["extension"] if state is not None else None
    return [replace(recovery, extension=extension) for recovery in found]


def read_state(path: Path, errors: Errors | None = None) -> dict[str, Any] | None:
    """The content of a callbacks.json; None, with a warning where there is one, if it cannot be read.

    Args:
        path: The file.
        errors: Gets what is wrong in parts, while the rest is returned. Without it a warning says so.
    """
    content = read_json(path)
    if content is None:
        return None
    wrong: dict[str, StateError] = {}
    try:
        state = read_fields(content, _FIELDS) | read_fields(content, _FIELDS_BESIDE, errors=wrong)
    except StateError as error:
        LOGGER.warning(f"{path} cannot be read ({error}){set_aside(path)}: going on without it")
        return None
    if wrong:
        found = {path: [str(error) for error in wrong.values()]}
        if errors is None:
            keep_copies_aside(found)
        else:
            errors.update(found)
    return state


def keep_copies_aside(errors: Errors) -> None:
    """Keep a copy of each file that is wrong in part as `*.corrupt`, and say what is wrong in one warning a file."""
    for path, wrong in errors.items():
        more = f"; and {len(wrong) - _MOST_TOLD} more" if len(wrong) > _MOST_TOLD else ""
        told = f"{'; '.join(wrong[:_MOST_TOLD])}{more}"
        LOGGER.warning(f"{path} is wrong in part ({told}){set_aside(path, copy=True)}: going on with the rest")
