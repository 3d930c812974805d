"""Decide when to stop: by patience, by a threshold, or at a value that is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from yolo_callbacks.decisions.comparison import Mode, best_so_far, improves, no_improvement

__all__ = ["StopDecision", "StopRule", "StoppingReason"]


class StoppingReason(str, Enum):
    """Say why a callback has stopped a training."""

    NOT_STOPPED = "not_stopped"
    PATIENCE_EXHAUSTED = "patience_exhausted"
    STOPPING_THRESHOLD = "stopping_threshold"
    DIVERGENCE_THRESHOLD = "divergence_threshold"
    NON_FINITE = "non_finite"
    OVERFITTING = "overfitting"


@dataclass(frozen=True)
class StopDecision:
    """Say whether to stop, and why."""

    reason: StoppingReason = StoppingReason.NOT_STOPPED
    message: str = ""

    @property
    def stop(self) -> bool:
        """Whether the training ends with this epoch."""
        return self.reason is not StoppingReason.NOT_STOPPED


@dataclass
class StopRule:
    """Stop after `patience` checks in a row without improvement, or beyond a threshold.

    The order of the tests and the counting are Lightning's (`EarlyStopping._evaluate_stopping_criteria`): values
    6 5 5 5 5 5 in `min` mode with patience 3 stop at the fifth.

    Args:
        mode: `"min"` if lower is better, `"max"` if higher is better.
        patience: Checks in a row without improvement after which to stop; None never stops for this reason.
        min_delta: By how much a value must be better to count. Defaults to `0.0`.
        stopping_threshold: Stop as soon as the value is better than this; None to not use it.
        divergence_threshold: Stop as soon as the value is worse than this; None to not use it.
        check_finite: Stop at the first value that is NaN or infinite. Defaults to `True`.
        exempt_zero: Count no check as without improvement while the best value is 0, and replace a best value of 0 by
            any other, as Ultralytics' own stopper does (`fitness > self.best_fitness or self.best_fitness == 0`).
            Defaults to `False`.

    Attributes:
        best_score: The best value so far, None before the first one.
        best_epoch: The epoch of `best_score`, 0 before the first one.
        wait_count: Checks in a row without improvement.
    """

    mode: Mode
    patience: int | None
    min_delta: float = 0.0
    stopping_threshold: float | None = None
    divergence_threshold: float | None = None
    check_finite: bool = True
    exempt_zero: bool = False
    best_score: float | None = None
    best_epoch: int = 0
    wait_count: int = 0

    def check(self, epoch: int, value: float) -> StopDecision:
        """Compare the value of an epoch with the best and the thresholds, and decide."""
        if self.check_finite and not math.isfinite(value):
            return self._non_finite(value)
        exempt = self._exempt(value)
        if improves(value, self.best_score, mode=self.mode, min_delta=self.min_delta) or (
            exempt and math.isfinite(value)
        ):
            self.best_score, self.best_epoch, self.wait_count = value, epoch, 0
        else:
            self.wait_count = 0 if exempt else self.wait_count + 1
        return self._met_threshold(value) or self._diverged(value) or self._out_of_patience() or StopDecision()

    def check_undetected(self, value: float | None, *, counts: bool, is_loss: bool) -> StopDecision:
        """Decide on an epoch in which nothing is detected: its value is never the best and never meets the threshold.

        Args:
            value: The value of the epoch, None if it has none.
            counts: Whether the epoch is a check without improvement; if not, the count does not change.
            is_loss: Whether the value is a loss, which can diverge before anything is detected.
        """
        diverged = None
        if value is not None:
            if self.check_finite and not math.isfinite(value):
                return self._non_finite(value)
            diverged = self._diverged(value) if counts or is_loss else None
        if not counts:
            return diverged or StopDecision()
        self.wait_count = 0 if value is not None and self._exempt(value) else self.wait_count + 1
        return diverged or self._out_of_patience() or StopDecision()

    def restart_patience(self) -> None:
        """Set the count of checks without improvement to 0; the best value stays."""
        self.wait_count = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the best value and the count."""
        return {"best_score": self.best_score, "best_epoch": self.best_epoch, "wait": self.wait_count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the best value and the count from a validated state."""
        self.best_score, self.best_epoch, self.wait_count = state["best_score"], state["best_epoch"], state["wait"]

    def _exempt(self, value: float) -> bool:
        # Ultralytics' stopper takes infinity as better than any best: here it must not count against patience either.
        return self.exempt_zero and (not self.best_score or (value > self.best_score and math.isinf(value)))

    def _non_finite(self, value: float) -> StopDecision:
        return StopDecision(StoppingReason.NON_FINITE, f"the value {value} is not finite")

    def _met_threshold(self, value: float) -> StopDecision | None:
        goal = self.stopping_threshold
        if goal is None or not improves(value, goal, mode=self.mode):
            return None
        return StopDecision(StoppingReason.STOPPING_THRESHOLD, f"the value {value:g} is better than {goal:g}")

    def _diverged(self, value: float) -> StopDecision | None:
        limit = self.divergence_threshold
        # Not by `improves`: with check_finite=False an infinite loss has diverged too.
        if limit is None or not (value < limit if self.mode == "max" else value > limit):
            return None
        return StopDecision(StoppingReason.DIVERGENCE_THRESHOLD, f"the value {value:g} is worse than {limit:g}")

    def _out_of_patience(self) -> StopDecision | None:
        if self.patience is None or self.wait_count < self.patience:
            return None
        best = best_so_far(self.best_score, self.best_epoch, self.mode, self.min_delta)
        reason = f"{no_improvement(self.wait_count, self.min_delta)} ({best})"
        return StopDecision(StoppingReason.PATIENCE_EXHAUSTED, reason)
