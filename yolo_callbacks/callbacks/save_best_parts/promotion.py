"""Replace Ultralytics' best.pt by the best checkpoint of a `SaveBest`."""

from __future__ import annotations

from pathlib import Path

from yolo_callbacks.trainer.checkpoint_copies import copy_checkpoint
from yolo_callbacks.trainer.training_run import TrainingRun

__all__ = ["Promotion"]


class Promotion:
    """Copy the best checkpoint of a callback to the run's best.pt, whenever best.pt is another one."""

    def __init__(self) -> None:
        self._copied: tuple[object, ...] = ()

    def carry_out(self, run: TrainingRun, choice: Path, epoch: int, *, monitor: str, score: float | None) -> None:
        """Make best.pt a copy of a checkpoint, unless it is one.

        Its time and size show whether Ultralytics has written best.pt since the last copy.

        Args:
            run: The training.
            choice: The checkpoint.
            epoch: Its epoch.
            monitor: The name of the monitor.
            score: The value of the monitor, None for a stand-in.
        """
        if self._copied == (epoch, run.best_stamp):
            return
        if copy_checkpoint(lambda: choice, run.best, run.checkpoints.copy):
            self._copied = (epoch, run.best_stamp)
            run.choice = {"monitor": monitor, "score": score}
