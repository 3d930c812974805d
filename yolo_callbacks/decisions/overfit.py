"""Decide when the validation has diverged from the training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yolo_callbacks.decisions.comparison import counted
from yolo_callbacks.decisions.stopping import StopDecision, StoppingReason

__all__ = ["OverfitRule"]


@dataclass
class OverfitRule:
    """Stop after `patience` checks in a row in which a value is more than `ratio` times another.

    Args:
        ratio: The ratio that is allowed.
        patience: Checks in a row beyond the ratio after which to stop.

    Attributes:
        wait_count: Checks in a row beyond the ratio so far.
    """

    ratio: float
    patience: int
    wait_count: int = 0

    def check(self, value: float, against: float) -> StopDecision:
        """Compare the two values of an epoch and decide; values that are not finite do not change the count."""
        if not (math.isfinite(value) and math.isfinite(against)):
            return StopDecision()
        self.wait_count = self.wait_count + 1 if value > self.ratio * against else 0
        if self.wait_count < self.patience:
            return StopDecision()
        message = f"{value:g} is more than {self.ratio:g} times {against:g}, for {counted(self.wait_count, 'check')}"
        return StopDecision(StoppingReason.OVERFITTING, message)

    def restart_patience(self) -> None:
        """Set the count to 0."""
        self.wait_count = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the count."""
        return {"wait": self.wait_count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the count from a validated state."""
        self.wait_count = state["wait"]
