"""When to reduce the learning rate on a plateau, and what is left of a rate after reductions."""

from __future__ import annotations

from dataclasses import dataclass

from yolo_callbacks.decisions.comparison import Mode, counted, improves

__all__ = ["PlateauDecision", "PlateauRule", "RateReduction"]

# torch leaves a rate as it is where the reduction would be smaller than this.
_EPSILON = 1e-8


@dataclass(frozen=True)
class PlateauDecision:
    """Whether to reduce the rate, and why."""

    reduce: bool
    reason: str = ""


@dataclass
class PlateauRule:
    """Reduce after more than `patience` checks without improvement; count none in the `cooldown` checks after it.

    The counting is that of `torch.optim.lr_scheduler.ReduceLROnPlateau` with `threshold_mode="abs"`.

    Args:
        mode: `"min"` if lower is better, `"max"` if higher is better.
        patience: Checks without improvement that are let pass.
        min_delta: By how much a value must be better to count. Defaults to `1e-4`.
        cooldown: Checks after a reduction that do not count as without improvement. Defaults to `0`.

    Attributes:
        best_score: The best value so far, None before there is one.
        best_epoch: The epoch of `best_score`, 0 before there is one.
        wait: Checks in a row without improvement, outside a cooldown.
        resting: Checks left of the cooldown.
    """

    mode: Mode
    patience: int
    min_delta: float = 1e-4
    cooldown: int = 0
    best_score: float | None = None
    best_epoch: int = 0
    wait: int = 0
    resting: int = 0

    def check(self, epoch: int, value: float) -> PlateauDecision:
        """Take the value of an epoch and decide."""
        if improves(value, self.best_score, mode=self.mode, min_delta=self.min_delta):
            self.best_score, self.best_epoch, self.wait = value, epoch, 0
        else:
            self.wait += 1
        if self.resting:
            self.resting -= 1
            self.wait = 0
        if self.wait <= self.patience:
            return PlateauDecision(reduce=False)
        best = f"best {self.best_score:g} at epoch {self.best_epoch}" if self.best_epoch else "no finite value yet"
        reason = f"no improvement in {counted(self.wait, 'check')} ({best})"
        self.resting, self.wait = self.cooldown, 0
        return PlateauDecision(reduce=True, reason=reason)


@dataclass(frozen=True)
class RateReduction:
    """A number of reductions by one factor, down to a floor.

    Args:
        factor: What each reduction multiplies a rate with.
        times: How many reductions there were.
        min_lr: No reduction goes below this. A rate that is below it from the start stays as it is.
    """

    factor: float
    times: int
    min_lr: float = 0.0

    def apply(self, rate: float) -> float:
        """Return what is left of a rate; one reduction after the other, as torch does it, to round as torch does."""
        for _ in range(self.times):
            lower = max(rate * self.factor, self.min_lr)
            if rate - lower <= _EPSILON:
                break
            rate = lower
        return rate
