"""Find out who has stopped a training, and when it stops at the latest."""

from __future__ import annotations

import math
import time
from typing import Any

from yolo_callbacks.trainer.epoch_progress import current_epoch

__all__ = ["OUTSIDE", "epochs_before_stop", "find_stop_reason", "time_limit"]

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


def epochs_before_stop(trainer: Any) -> int | None:
    """Return after how many epochs without improvement Ultralytics' own stopper ends the run; None where it is off."""
    stopper = getattr(trainer, "stopper", None)
    best_epoch, patience = getattr(stopper, "best_epoch", None), getattr(stopper, "patience", None)
    if not isinstance(best_epoch, int) or not isinstance(patience, (int, float)) or not math.isfinite(patience):
        return None
    return max(int(patience) - (current_epoch(trainer) - best_epoch), 0)


def time_limit(trainer: Any) -> float:
    """Return the seconds of training that `time=` still allows; infinite without that argument."""
    limit, started = trainer.args.time, getattr(trainer, "train_time_start", None)
    if not limit or started is None:
        return math.inf
    return max(3600.0 * float(limit) - (time.time() - float(started)), 0.0)


def _is_out_of_patience(stopper: Any, epoch: int, fitness: object) -> bool:
    """Return whether Ultralytics' stopper has stopped with an epoch. Do not call it again, which changes its state."""
    best_epoch, patience = getattr(stopper, "best_epoch", None), getattr(stopper, "patience", None)
    if fitness is None or not isinstance(best_epoch, int) or not isinstance(patience, (int, float)):
        return False
    return epoch - best_epoch >= patience
