"""Compare two values of a monitor; every rule uses this comparison."""

from __future__ import annotations

import math
from typing import Literal

__all__ = ["Mode", "counted", "improves"]

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


def counted(number: int, noun: str) -> str:
    """Return a number with its noun for a message: `"1 check"`, `"2 checks"`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
