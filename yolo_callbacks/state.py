"""The two files in a run's folder that a resumed run goes on from: callbacks.json and the journal."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.files import LOGGER, read_json, write_json
from yolo_callbacks.installation import versions
from yolo_callbacks.journal import Journal, Recovery, recover
from yolo_callbacks.record import EpochRecord

__all__ = ["STATE_FILE", "RunState", "last_finished_epoch", "mark_extended", "read_state"]

STATE_FILE = "callbacks.json"
_SCHEMA = 1


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
        listed = state.get("files", [])
        names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
        self._leftovers = [self.path.parent / name for name in names if _may_be_removed(name)]

    def remove_leftovers(self) -> None:
        """Remove what an earlier run has written, but for the files that this run has replaced."""
        leftovers, self._leftovers = self._leftovers, []
        for path in leftovers:
            if path in self.files or path.is_symlink() or not path.is_file():
                continue
            try:
                path.unlink()
            except OSError as error:
                LOGGER.warning(f"{path} of an earlier run could not be removed: {error}")

    def find(self, epoch: int) -> Recovery | None:
        """Where a run that goes on after an epoch, counted from 1, starts; None where that is not known."""
        state, entries = read_state(self.path), []
        try:
            entries = self.journal.entries()
        except OSError as error:
            LOGGER.warning(f"{self.journal.path} cannot be read: {error}")
        self.extension = _extension(state)
        found = recover(state, entries, epoch)
        if found is None and state is not None:
            LOGGER.warning(
                f"{STATE_FILE} is of epoch {state.get('epoch')}, the checkpoint of epoch {epoch}, and the journal does "
                "not hold it"
            )
        return found

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
            "schema": _SCHEMA,
            "epoch": self._epoch,
            "ended": self._ended,
            "keep_resumable": self._keep_resumable,
            "extension": self.extension,
            "versions": versions(),
            "callbacks": self._states,
            "published": self._published,
            "files": [_relative(path, self.path.parent) for path in (*self.files, *self._leftovers)],
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
    state = read_state(path) or {"schema": _SCHEMA, "epoch": after, "callbacks": {}}
    before = _extension(state) or {}
    # A rate that is held already is held on: only the first schedule says where it was.
    held = before.get("held") if hold and before.get("hold") else None
    extension = {"after": after, "planned": planned, "hold": hold, "held": held}
    write_json(path, {**state, "ended": False, "summary": None, "extension": extension})


def _extension(state: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the entry of `mark_extended` in a state; None where there is none of that form."""
    found = (state or {}).get("extension")
    if not isinstance(found, dict):
        return None
    held = found.get("held")
    valid = all(type(found.get(key)) is kind for key, kind in (("after", int), ("planned", int), ("hold", bool)))
    return found if valid and (held is None or type(held) is float) else None


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()


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
    summary, epoch = state.get("summary"), state.get("epoch")
    finished = isinstance(summary, dict) and summary.get("status") == "finished"
    return (epoch if finished and isinstance(epoch, int) else 0), state.get("keep_resumable") is True


def read_state(path: Path) -> dict[str, Any] | None:
    """The content of a callbacks.json; None, with a warning where there is one, if it cannot be read."""
    state = read_json(path)
    if state is None:
        return None
    if state.get("schema") != _SCHEMA or not isinstance(state.get("callbacks"), dict):
        LOGGER.warning(f"{path} is of another form, it cannot be read")
        return None
    return state
