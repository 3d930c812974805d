"""Write, remove and strip the checkpoints that `SaveBest` keeps."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.checkpoint_copies import copy_checkpoint, remove_checkpoint, strip, write_sidecar
from yolo_callbacks.trainer.training_run import TrainingRun

__all__ = ["CheckpointFiles"]


class CheckpointFiles:
    """Hold the folder and the names of the checkpoints of one run, and write them.

    Args:
        by_epoch: Whether each epoch has a file of its own, as with `top_k` > 1; else one file is replaced.

    Attributes:
        folder: The folder of the checkpoints.
        stem: The name of the files without epoch and ending, `""` before the run has begun.
    """

    def __init__(self, *, by_epoch: bool) -> None:
        self._by_epoch = by_epoch
        self.folder = Path()
        self.stem = ""
        self._stripped: set[Path] = set()

    def path(self, epoch: int) -> Path:
        """Return the file of an epoch."""
        return self.folder / f"{self.stem}{f'-epoch{epoch:03d}' if self._by_epoch else ''}.pt"

    def save(self, run: TrainingRun, record: EpochRecord, sidecar: dict[str, Any]) -> bool:
        """Save the checkpoint of an epoch and the JSON beside it; return whether the checkpoint was saved."""
        target = self.path(record.epoch)
        saved = copy_checkpoint(lambda: run.checkpoints.find_or_write(record, target), target, run.checkpoints.copy)
        if saved:
            self._stripped.discard(target)
            run.run_in_background(write_sidecar, target, sidecar)
        return saved

    def remove(self, run: TrainingRun, epochs: Iterable[int]) -> None:
        """Remove the files of epochs that are no longer kept; a single file was replaced by the new one."""
        for epoch in epochs if self._by_epoch else ():
            path = self.path(epoch)
            with run.checkpoints.free_in_background(path):
                remove_checkpoint(path)

    def discard(self, epoch: int) -> None:
        """Remove at once what is left of an epoch: the checkpoint, the JSON, or one of them after a kill."""
        if self._by_epoch:
            remove_checkpoint(self.path(epoch))

    def strip(self, run: TrainingRun, epochs: Iterable[int]) -> None:
        """Strip the checkpoints of epochs of optimizer and training state, each once."""
        for epoch in epochs:
            path = self.path(epoch)
            if path not in self._stripped:
                self._stripped.add(path)
                strip(path, run.checkpoints.stripped(epoch))
