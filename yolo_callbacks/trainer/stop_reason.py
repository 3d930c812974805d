"""Find out who has stopped a training."""

from __future__ import annotations

import time
from typing import Any

from yolo_callbacks.trainer.epoch_progress import current_epoch

__all__ = ["OUTSIDE", "find_stop_reason"]

OUTSIDE = "code outside the callbacks, which set trainer.stop"


def find_stop_reason(trainer: Any) -> str:
    """Return who has set `trainer.stop`, other than a callback; `""` where the training ends with its last epoch."""
    epoch = current_epoch(trainer)
    if epoch >= int(trainer.epochs):
        return ""
    if _is_out_of_patience(getattr(trainer, "stopper", None), epoch, trainer.fitness):
        return f"Ultralytics' own stopper, patience={trainer.stopper.patience}"
    limit = trainer.args.time
    if limit and time.time() - trainer.train_time_start > 3600 * limit:
        return f"time={limit:g}"
    return OUTSIDE


def _is_out_of_patience(stopper: Any, epoch: int, fitness: object) -> bool:
    """Return whether Ultralytics' stopper has stopped with an epoch. Do not call it again, which changes its state."""
    best_epoch, patience = getattr(stopper, "best_epoch", None), getattr(stopper, "patience", None)
    if fitness is None or not isinstance(best_epoch, int) or not isinstance(patience, (int, float)):
        return False
    return epoch - best_epoch >= patience
