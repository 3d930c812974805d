"""Decide which epochs belong to the best k."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from yolo_callbacks.decisions.comparison import Mode, improves

__all__ = ["Ranking", "RankingDecision"]


@dataclass(frozen=True)
class RankingDecision:
    """Say whether to keep an epoch, why, and which epoch it replaces."""

    keep: bool
    reason: str
    evicted: int | None = None


@dataclass
class Ranking:
    """Rank the `top_k` best epochs by one value.

    Any finite value enters while there is room. After that a value enters if it is better than the worst one kept by
    more than `min_delta`. With `top_k=1` that is the rule of every monitor: strictly better than the best by more than
    `min_delta`. A tie keeps the earlier epoch; NaN and infinity never enter.

    Args:
        mode: `"min"` if lower is better, `"max"` if higher is better.
        top_k: How many epochs to keep. Defaults to `1`.
        min_delta: By how much a value must be better than the worst one kept. Defaults to `0.0`.

    Attributes:
        kept: The value of each epoch kept, best first.
    """

    mode: Mode
    top_k: int = 1
    min_delta: float = 0.0
    kept: dict[int, float] = field(default_factory=dict)

    def consider(self, epoch: int, value: float) -> RankingDecision:
        """Decide on the value of an epoch without adding it, since saving its checkpoint may fail. See `add`."""
        if len(self.kept) < self.top_k:
            if not improves(value, None, mode=self.mode):
                return RankingDecision(keep=False, reason=f"{value} is not finite")
            return RankingDecision(keep=True, reason=f"{value:g} is among the first {self.top_k}")
        worst_epoch, worst = list(self.kept.items())[-1]
        if improves(value, worst, mode=self.mode, min_delta=self.min_delta):
            return RankingDecision(True, f"{value:g} is better than {worst:g} of epoch {worst_epoch}", worst_epoch)
        return RankingDecision(keep=False, reason=f"{value:g} is not better than {worst:g} of epoch {worst_epoch}")

    def add(self, epoch: int, value: float, *, evicted: int | None = None) -> None:
        """Add an epoch, and remove the one that it replaces."""
        if evicted is not None:
            del self.kept[evicted]
        self.kept[epoch] = value
        self.sort()

    def sort(self) -> None:
        """Order the epochs kept by their value, best first; of equal values the earlier epoch is better."""
        sign = -1.0 if self.mode == "max" else 1.0
        self.kept = dict(sorted(self.kept.items(), key=lambda item: (sign * item[1], item[0])))

    def state_dict(self) -> dict[str, Any]:
        """Return the epochs kept and their values, best first."""
        return {"kept": [[epoch, value] for epoch, value in self.kept.items()]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the epochs kept from a validated state, in its order."""
        self.kept = dict(state["kept"])
