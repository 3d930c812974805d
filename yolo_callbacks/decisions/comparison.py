"""Compare two values of a monitor; every rule uses this comparison."""

from __future__ import annotations

import math
from typing import Literal

__all__ = ["Mode", "best_so_far", "counted", "improves", "never_above_zero", "no_improvement"]

Mode = Literal["min", "max"]


def improves(value: float, best: float | None, *, mode: Mode, min_delta: float = 0.0) -> bool:
    """Return whether `value` is better than `best` by more than `min_delta`.

    A tie is no improvement, so the earlier epoch is kept. NaN and infinity never improve. The comparison is written
    as in `torch.optim.lr_scheduler.ReduceLROnPlateau` with `threshold_mode="abs"`: it adds to `best`. A subtraction of
    the two values is rounded in another way, and both must give the same result.

    Args:
        value: The value of this epoch.
        best: The best value so far; None before the first value: then any finite value improves.
        mode: `"min"` if lower is better, `"max"` if higher is better.
        min_delta: By how much the value must be better, in the unit of the monitor. Defaults to `0.0`.
    """
    if not math.isfinite(value):
        return False
    if best is None:
        return True
    return value > best + min_delta if mode == "max" else value < best - min_delta


def never_above_zero(best: float | None, mode: Mode, min_delta: float) -> bool:
    """Return whether a best value means that no value was above 0. With `min_delta`, lower values may have been."""
    return best == 0 and mode == "max" and not min_delta


def best_so_far(best: float | None, epoch: int, mode: Mode, min_delta: float) -> str:
    """Return the best value and its epoch, 0 before the first one, for the reason of a decision."""
    if never_above_zero(best, mode, min_delta):
        return "it was never above 0"
    return f"best {best:g} at epoch {epoch}" if epoch else "no finite value yet"


def no_improvement(checks: int, min_delta: float) -> str:
    """Return that so many checks in a row brought no improvement, for the reason of a decision."""
    least = f" of more than {min_delta:g}" if min_delta else ""
    return f"no improvement{least} in {counted(checks, 'check')}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun for a message: `"1 check"`, `"2 checks"`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
