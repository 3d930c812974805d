"""Decide when to reduce the learning rate on a plateau, and compute the rate after reductions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yolo_callbacks.decisions.comparison import Mode, best_so_far, improves, no_improvement

__all__ = ["PlateauDecision", "PlateauRule", "RateReduction"]

# torch does not change a rate where the reduction would be smaller than this (its argument `eps`).
_EPSILON = 1e-8


@dataclass(frozen=True)
class PlateauDecision:
    """Say whether to reduce the rate, and why."""

    reduce: bool
    reason: str = ""


@dataclass
class PlateauRule:
    """Reduce after more than `patience` checks without improvement; count none in the `cooldown` checks after it.

    The counting is that of `torch.optim.lr_scheduler.ReduceLROnPlateau` with `threshold_mode="abs"`.

    Args:
        mode: `"min"` if lower is better, `"max"` if higher is better.
        patience: Checks without improvement that are allowed.
        min_delta: By how much a value must be better to count. Defaults to `1e-4`.
        cooldown: Checks after a reduction that do not count as without improvement. Defaults to `0`.

    Attributes:
        best_score: The best value so far, None before the first one.
        best_epoch: The epoch of `best_score`, 0 before the first one.
        wait_count: Checks in a row without improvement, outside a cooldown.
        cooldown_left: Checks left of the cooldown.
    """

    mode: Mode
    patience: int
    min_delta: float = 1e-4
    cooldown: int = 0
    best_score: float | None = None
    best_epoch: int = 0
    wait_count: int = 0
    cooldown_left: int = 0

    def check(self, epoch: int, value: float) -> PlateauDecision:
        """Compare the value of an epoch with the best and decide."""
        if improves(value, self.best_score, mode=self.mode, min_delta=self.min_delta):
            self.best_score, self.best_epoch, self.wait_count = value, epoch, 0
        else:
            self.wait_count += 1
        if self.cooldown_left:
            self.cooldown_left -= 1
            self.wait_count = 0
        if self.wait_count <= self.patience:
            return PlateauDecision(reduce=False)
        best = best_so_far(self.best_score, self.best_epoch, self.mode, self.min_delta)
        reason = f"{no_improvement(self.wait_count, self.min_delta)} ({best})"
        self.cooldown_left, self.wait_count = self.cooldown, 0
        return PlateauDecision(reduce=True, reason=reason)

    def restart_patience(self) -> None:
        """Set the count of checks without improvement to 0; the best value stays."""
        self.wait_count = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the best value and the counts."""
        best = {"best_score": self.best_score, "best_epoch": self.best_epoch}
        return {**best, "wait": self.wait_count, "resting": self.cooldown_left}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the best value and the counts from a validated state; the cooldown may be shorter now."""
        self.best_score, self.best_epoch, self.wait_count = state["best_score"], state["best_epoch"], state["wait"]
        self.cooldown_left = min(state["resting"], self.cooldown)


@dataclass(frozen=True)
class RateReduction:
    """Reduce a rate several times by one factor, with a lower limit.

    Args:
        factor: The factor of each reduction.
        times: The number of reductions.
        min_lr: No reduction makes a rate lower than this. A rate that is lower from the start does not change.
    """

    factor: float
    times: int
    min_lr: float = 0.0

    def apply(self, rate: float) -> float:
        """Return the reduced rate: one multiplication for each reduction, so that it is rounded as in torch."""
        for _ in range(self.times):
            lower = max(rate * self.factor, self.min_lr)
            if rate - lower <= _EPSILON:
                break
            rate = lower
        return rate
