"""What the callbacks share that count checks without improvement."""

from __future__ import annotations

from typing import Any, ClassVar

from yolo_callbacks.callbacks.monitor_callback import MonitorCallback, last_checked_epoch
from yolo_callbacks.decisions import PlateauRule, StopRule
from yolo_callbacks.utils.deprecation import renamed
from yolo_callbacks.utils.fields import Field, StateError, number, optional, read_fields, whole

__all__ = ["PatienceCallback"]


class PatienceCallback(MonitorCallback):
    """Base class of callbacks that count checks without improvement: make `_rule`, which counts, in `reset`.

    Attributes:
        best_score: The best value so far, None before there is one.
        best_epoch: The epoch of `best_score`, 0 before there is one.
        wait_count: Checks in a row without improvement.
    """

    _counts_kept: ClassVar[tuple[str, ...]] = ("best_score", "best_epoch", "wait")

    _rule: StopRule | PlateauRule

    @property
    def best_score(self) -> float | None:
        """The best value so far, None before there is one."""
        return self._rule.best_score

    @property
    def best_epoch(self) -> int:
        """The epoch of `best_score`, 0 before there is one."""
        return self._rule.best_epoch

    @property
    def wait_count(self) -> int:
        """Checks in a row without improvement."""
        return self._rule.wait

    wait = renamed("wait", "wait_count")

    def restart_patience(self) -> None:
        """Count from nothing again; the best value stays."""
        self._rule.wait = 0

    def state_dict(self) -> dict[str, Any]:
        """The best value and the counts."""
        return {**super().state_dict(), **{name: getattr(self._rule, name) for name in self._counts_kept}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the best value and the counts."""
        last = last_checked_epoch(state)
        best = read_fields(state, {"best_score": Field(optional(number())), "best_epoch": Field(whole(maximum=last))})
        if (best["best_score"] is None) != (best["best_epoch"] == 0):
            raise StateError(f"best_score is {best['best_score']}, best_epoch {best['best_epoch']}")
        # A check without improvement comes after the best: a larger count would decide at once.
        counts = read_fields(state, {"wait": Field(whole(maximum=last - best["best_epoch"]))} | self._more_fields())
        super().load_state_dict(state)
        for name, value in (best | counts).items():
            setattr(self._rule, name, value)

    def _more_fields(self) -> dict[str, Field]:
        """Return how to read the counts that a class keeps beside."""
        return {}
