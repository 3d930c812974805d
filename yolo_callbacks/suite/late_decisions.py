"""Decide on the last epoch of a killed run, before the first epoch of the resumed run."""

from __future__ import annotations

from yolo_callbacks.suite.relocation import copy_checkpoints
from yolo_callbacks.suite.restoring import Restored
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.files import LOGGER

__all__ = ["catch_up"]


def catch_up(run: TrainingRun, restored: Restored | None) -> None:
    """Let the callbacks decide that have not decided on the last epoch, and find out whether the run is over.

    Args:
        run: The resumed training. Its `shared.ended` is set to whether the run is over.
        restored: What the run was restored from; None where nothing is known of it.
    """
    over = run.completed_epochs >= run.planned_epochs
    if restored is not None:
        over |= restored.recovery.ended
        over |= _decide(run, restored)
    if over:
        LOGGER.info(f"Callbacks: this run was already over after epoch {run.completed_epochs}: it ends at once")
        copy_checkpoints(run)
    run.shared.ended = over


def _decide(run: TrainingRun, restored: Restored) -> bool:
    """Let the callbacks decide on the last epoch; return whether one of them stops the run."""
    stops = False
    for recovery, members in restored.undecided():
        with run.supervision.replay_epoch(recovery.undecided or {}):
            for member in members:
                member.call("on_fit_epoch_end", run.trainer)
            stops |= run.stopping
            if recovery is restored.recovery:
                restored.scalars = run.record().scalars
    return stops
