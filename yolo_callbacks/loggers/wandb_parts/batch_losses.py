"""Log the losses of single batches to W&B, over the number of the batch."""

from __future__ import annotations

from typing import Any

from yolo_callbacks.loggers.wandb_parts.session import WandbSession
from yolo_callbacks.trainer.run_description import labelled_losses, training_losses
from yolo_callbacks.trainer.training_run import TrainingRun

__all__ = ["BatchLosses"]


class BatchLosses:
    """Collect the losses of some batches of an epoch, and log them after it.

    Args:
        period: Batches from one that is collected to the next; 0 for none.
    """

    def __init__(self, period: int) -> None:
        self._period = period
        self._batches = 0
        self._collected: list[tuple[int, Any]] = []
        self._defined = False

    def start_epoch(self) -> None:
        """Count from 0 again; forget the batches of a pass through the epoch that did not end."""
        self._batches = 0
        self._collected.clear()

    def collect(self, trainer: Any) -> None:
        """Keep the losses of the batch as they are: reading them would make the accelerator wait."""
        if self._period and self._batches % self._period == 0:
            self._collected.append((self._batches, training_losses(trainer)))
        self._batches += 1

    def log(self, session: WandbSession, run: TrainingRun) -> None:
        """Log what was collected in the epoch, over the number of the batch in the run."""
        if not self._collected:
            return
        if not self._defined:
            self._defined = True
            session.define("batch/*", "batch/step")
        before = (run.epoch - 1) * self._batches
        for position, losses in self._collected:
            session.log({"batch/step": before + position + 1, **labelled_losses(run, losses)})
        self._collected.clear()
