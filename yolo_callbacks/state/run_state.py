"""Store the state of the callbacks of a run on disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.state.journal import Journal
from yolo_callbacks.state.state_file import STATE_FILE, read_state
from yolo_callbacks.utils.fields import SCHEMA
from yolo_callbacks.utils.files import LOGGER, write_json
from yolo_callbacks.utils.stored_paths import stored_path
from yolo_callbacks.utils.version import versions

__all__ = ["RunState"]


class RunState:
    """Store the state of the callbacks of a run, in callbacks.json and in the journal.

    A write that fails logs a warning, once for a run; training continues.

    Args:
        folder: The run's folder.
        later: Calls a function with its arguments, now or later. A late callbacks.json is no problem: the journal has
            the epoch that it lacks.
        keep_resumable: Whether last.pt keeps its optimizer at the end. Defaults to `False`.

    Attributes:
        path: The callbacks.json.
        journal: The journal.
        files: The files that the callbacks have written and keep. A later run in the same folder removes them.
        extension: How the run was extended, as `mark_extended` wrote it, or None.
        training: The hardware, the data set and the optimizer, for the report.
        seconds: How long the run has trained.
    """

    def __init__(self, folder: Path, later: Callable[..., None], *, keep_resumable: bool = False) -> None:
        self.path = folder / STATE_FILE
        self._later, self._keep_resumable = later, keep_resumable
        self.journal = Journal(folder)
        self._epoch, self._ended = 0, False
        self._states: dict[str, Any] = {}
        self._scalars: dict[str, float] = {}
        self._warned = False
        self.files: list[Path] = []
        self.extension: dict[str, Any] | None = None
        self.training: dict[str, Any] = {}
        self.seconds = 0.0
        self._leftovers: list[Path] = []

    def find_leftovers(self) -> None:
        """Read from callbacks.json which files an earlier run in this folder has left."""
        state = read_state(self.path) or {}
        self._leftovers = [self.path.parent / name for name in state.get("files", ()) if _may_be_removed(name)]

    def remove_leftovers(self) -> None:
        """Remove the files that an earlier run has left, except those that this run has replaced."""
        leftovers, self._leftovers = self._leftovers, []
        for path in leftovers:
            try:
                if path not in self.files and not path.is_symlink() and path.is_file():
                    path.unlink()
            except (OSError, ValueError) as error:  # ValueError: a name that no file system allows
                LOGGER.warning(f"{path} of an earlier run cannot be removed: {error}")

    def begin(self, epoch: int, states: Mapping[str, Any], scalars: Mapping[str, float], *, ended: bool) -> None:
        """Start the files of a run, whatever an earlier run has left in the folder.

        Args:
            epoch: The epoch after which the run continues; 0 for a new run.
            states: The state of each callback, by its key.
            scalars: The scalars of the epoch.
            ended: Whether the run had ended with the epoch.
        """
        try:
            self.journal.begin(epoch)
        except OSError as error:
            self._warn(self.journal.path, error)
        self.close_epoch(epoch, states, scalars, ended=ended)

    def open_epoch(self, record: EpochRecord, states: Mapping[str, Any], *, ended: bool) -> None:
        """Write the record of an epoch and the states before its decisions to the journal.

        Call it before the checkpoint of the epoch is written.
        """
        try:
            self.journal.append(record, states, self._scalars, ended=ended)
        except OSError as error:
            self._warn(self.journal.path, error)

    def close_epoch(self, epoch: int, states: Mapping[str, Any], scalars: Mapping[str, float], *, ended: bool) -> None:
        """Write the states after an epoch, and the scalars logged in it."""
        self._epoch, self._states, self._ended = epoch, dict(states), ended
        self._scalars = dict(scalars)
        self._write(None)

    def conclude(self, summary: Mapping[str, Any], states: Mapping[str, Any] | None) -> None:
        """Write the summary at the end of a run; without `states`, keep those of the last closed epoch."""
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
            "training": self.training,
            "callbacks": self._states,
            "published": self._scalars,
            "seconds": self.seconds,
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
            LOGGER.warning(f"{path} cannot be written, so this run cannot be resumed exactly: {error}")


def _may_be_removed(name: str) -> bool:
    """Return whether a listed file is one that callbacks write. A damaged file may list any name."""
    folder, _, file = name.rpartition("/")
    if folder != "weights" or "\\" in file:
        return False
    return bool(re.fullmatch(r".+\.(pt|json)", file)) and not re.fullmatch(r"(last|best|epoch-?\d+)\.(pt|json)", file)
