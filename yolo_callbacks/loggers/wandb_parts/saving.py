"""Save the rows of a W&B run that are not in its own file, where `wandb sync` finds them."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.loggers.logger_parts.news import News
from yolo_callbacks.loggers.wandb_parts.file import logged_rows, row_key, write_completed
from yolo_callbacks.loggers.wandb_parts.kept_rows import Definition, KeptRows
from yolo_callbacks.loggers.wandb_parts.outcome import Outcome
from yolo_callbacks.loggers.wandb_parts.sending import rows_in
from yolo_callbacks.loggers.wandb_parts.session_run import SessionRun
from yolo_callbacks.utils.files import LOGGER

__all__ = ["save_rows"]

# Bytes that `wandb sync` of wandb 0.31.0 needs beside a run's file, for its own state.
_ROOM_TO_SYNC = 2**20
# `finish()` may return a few milliseconds before wandb 0.31.0 has written the file.
_PAUSES = (0.01, 0.05, 0.2, 0.0)


def save_rows(
    run: SessionRun, rows: KeptRows, outcome: Outcome, news: News, *, spare: Path, in_use: bool, exit_code: int
) -> None:
    """Let `wandb sync` upload all rows: wandb may have been stopped or killed, or had no room.

    Args:
        run: The run, which has ended, or does not answer.
        rows: The rows that the session keeps.
        outcome: Where rows and images that cannot be saved are noted.
        news: Where warnings go.
        spare: The folder where a file is made if the run's own cannot be used.
        in_use: Whether wandb may still write to the run's file.
        exit_code: Of the run.
    """
    if rows.past:  # the run was not opened, or too late to log them again
        _restore_past(run, rows, spare)
    folder = Path(run.folders[-1]) if run.wandb_run is not None else None
    file = _RunFile(run_id=run.id or "unknown", options=run.options, folder=folder, spare=spare, in_use=in_use)
    try:
        new = file.complete(rows.unlogged(), rows.definitions, exit_code)
    except Exception as error:  # no room anywhere, or a file that another version of wandb wrote
        outcome.drop("rows", len(file.missing), because="they could not be saved")
        news.warn_of(error, f"{len(file.missing)} rows could not be saved")
        return
    if file.without_images:
        outcome.add_missing("images")
    if new is not None:
        run.replace_folder(folder, new)


def _restore_past(run: SessionRun, rows: KeptRows, spare: Path) -> None:
    """Keep those rows of the past that no folder of the run has; the server is not asked here."""
    if run.wandb_run is None:
        run.find_folders(spare)
    try:
        rows.logged = rows_in(run.folders)
    except Exception as error:  # a file of another version of wandb
        LOGGER.debug(f"W&B: the rows that were logged before are not known: {error!r}")
    rows.take_past()


class _RunFile:
    """Complete the `.wandb` file of a run at the end of the training.

    Args:
        run_id: The id of the run.
        options: The arguments of `wandb.init`.
        folder: The folder of the run; None where it was never opened.
        spare: Where a folder is made if the run's own cannot be used.
        in_use: Whether wandb may still write to the run's file.

    Attributes:
        missing: The rows that the run's own file lacks.
        without_images: Whether the images of the run are not beside the new file.
    """

    def __init__(
        self, *, run_id: str, options: Mapping[str, Any], folder: Path | None, spare: Path, in_use: bool
    ) -> None:
        self.folder, self.in_use = folder, in_use
        self.missing: list[Mapping[str, Any]] = []
        self.without_images = False
        self._run = {"run_id": run_id, **{name: str(options.get(name) or "") for name in ("project", "entity")}}
        self._run["display_name"] = str(options.get("name") or "")
        self._run["run_group"] = str(options.get("group") or "")
        self._path = next(iter(folder.glob("run-*.wandb")), None) if folder else None
        stamp = time.strftime("%Y%m%d_%H%M%S")
        self._spare = _unused(spare / f"offline-run-{stamp}-{run_id}") / f"run-{run_id}.wandb"

    def complete(self, rows: Iterable[Mapping[str, Any]], metrics: Iterable[Definition], exit_code: int) -> Path | None:
        """Write the rows that are missing to a file that `wandb sync` can read.

        Args:
            rows: The rows that the file needs.
            metrics: The definitions of metrics.
            exit_code: Of the run.

        Returns:
            The folder of that file; None where the run's own file has all rows, and room beside it.

        Raises:
            OSError: If rows are missing and no file can be written.
        """
        self.missing = self._find_missing(list(rows))
        full = self.folder is not None and shutil.disk_usage(self.folder).free < _ROOM_TO_SYNC
        if not self.missing and not full:
            return None
        in_place = self._path is not None and not full and not self.in_use
        if in_place and self._path is not None and self._write(self._path, metrics, exit_code, last=False):
            return self.folder
        if not self._write(self._spare, metrics, exit_code, last=bool(self.missing)):
            return None
        if self.folder is not None:  # the images stay where they are
            try:
                (self._spare.parent / "files").symlink_to(self.folder / "files")
            except OSError:
                self.without_images = True
        return self._spare.parent

    def _write(self, path: Path, metrics: Iterable[Definition], exit_code: int, *, last: bool) -> bool:
        """Write a file, and return whether that was possible; raise where there is no other place to try."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_completed(path, self._path, self.missing, run=self._run, metrics=metrics, exit_code=exit_code)
        except Exception:
            if last:
                raise
            return False
        return True

    def _find_missing(self, rows: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the rows that the run's file lacks; wait for a file that wandb is about to write."""
        missing = rows
        for pause in _PAUSES:
            try:
                written = logged_rows(self.folder) if self.folder else set()
            except Exception as error:
                LOGGER.debug(f"W&B: the run's file cannot be read: {error!r}")
                written = set()
            missing = [row for row in rows if row_key(row) not in written]
            if not missing or self.folder is None:
                break
            time.sleep(pause)
        return missing


def _unused(folder: Path) -> Path:
    """Return a folder that does not exist: one that ended in the same second may have the name, with rows in it."""
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(1))
    return next(path for path in itertools.chain([folder], numbered) if not path.exists())
