"""Take a snapshot of the folder of a run that trains: what a resume would find after a kill at this moment."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from yolo_callbacks.state.run_files import link_or_copy, needed_files, rows_up_to
from yolo_callbacks.utils.files import has_room, temporary_beside

__all__ = ["Snapshot"]


@dataclass(frozen=True)
class Snapshot:
    """Copies of the files of a run, in a temporary folder inside the folder of the run.

    Attributes:
        folder: The temporary folder. What a killed process leaves of it, the next start of the run removes.
        epoch: The last epoch in it, counted from 1.
        finished: Whether the run had finished.
    """

    folder: Path
    epoch: int
    finished: bool

    @classmethod
    def take(cls, run_folder: Path, epoch: int, *, finished: bool) -> Snapshot:
        """Take a snapshot. Checkpoints get a second name, so it takes neither time nor space.

        Raises:
            OSError: If the disk or the folder does not allow it, or has little room: the space of a checkpoint that is
                replaced meanwhile is not free before the snapshot is removed.
        """
        last = run_folder / "weights" / "last.pt"
        if not has_room(run_folder, last.stat().st_size):
            raise OSError(f"the disk of {run_folder} has little room")
        folder = temporary_beside(run_folder / "mirror")
        (folder / "weights").mkdir(parents=True, mode=0o700)
        try:
            for path in needed_files(run_folder):
                copy = folder / path.relative_to(run_folder)
                if path.name == "results.csv":
                    copy.write_bytes(rows_up_to(path, epoch))
                else:
                    link_or_copy(path, copy)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return cls(folder, epoch, finished)

    def remove(self) -> None:
        """Remove the temporary folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
