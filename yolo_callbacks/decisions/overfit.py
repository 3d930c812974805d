"""When validation and training have parted for good."""

from __future__ import annotations

import math
from dataclasses import dataclass

from yolo_callbacks.decisions.comparison import counted
from yolo_callbacks.decisions.stopping import StopDecision, StoppingReason

__all__ = ["OverfitRule"]


@dataclass
class OverfitRule:
    """Stop after `patience` checks in a row in which a value is more than `ratio` times another.

    Args:
        ratio: How many times.
        patience: Checks in a row.

    Attributes:
        wait: Checks in a row so far.
    """

    ratio: float
    patience: int
    wait: int = 0

    def check(self, value: float, against: float) -> StopDecision:
        """Take the two values of an epoch and decide; one that is not finite ends no row and starts none."""
        if not (math.isfinite(value) and math.isfinite(against)):
            return StopDecision()
        self.wait = self.wait + 1 if value > self.ratio * against else 0
        if self.wait < self.patience:
            return StopDecision()
        message = f"{value:g} is more than {self.ratio:g} times {against:g}, for {counted(self.wait, 'check')}"
        return StopDecision(StoppingReason.OVERFITTING, message)
