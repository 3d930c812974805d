"""Decide whether an epoch in which nothing is detected is a check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

__all__ = ["NOTHING_DETECTED", "EpochKind", "UntrainedRule", "detects_nothing"]

NOTHING_DETECTED = "nothing was detected"
"""The reason why an epoch is no check, in messages."""


class EpochKind(Enum):
    """Say what an epoch is for a callback that decides by a monitor."""

    CHECK = "check"
    NO_IMPROVEMENT = "check without improvement"
    NO_CHECK = "no check"


def detects_nothing(metrics: Mapping[str, float]) -> bool:
    """Return whether every mAP of a validation is 0: of boxes, masks and poses together.

    A task without mAP, such as classification, always detects something.

    Args:
        metrics: The metrics of one validated epoch, by Ultralytics' keys.
    """
    values = _mean_precisions(metrics)
    return bool(values) and all(value == 0 for value in values)


def _mean_precisions(metrics: Mapping[str, float]) -> list[float]:
    return [value for name, value in metrics.items() if name.startswith("metrics/mAP")]


@dataclass
class UntrainedRule:
    """Skip the epochs before a model detects anything, and never take an epoch that detects nothing as the best.

    In a training from scratch, mAP is 0 for many epochs, while losses are 0 or nearly 0 because no anchor is matched.
    Ultralytics' own stopper does not count these epochs either (`or self.best_fitness == 0`). After the first epoch
    that detects something, an epoch that detects nothing is a check without improvement, whatever its value: the model
    has diverged.

    Args:
        skip: Whether the rule is on. Defaults to `True`.

    Attributes:
        learned: Whether an epoch has detected something.
    """

    skip: bool = True
    learned: bool = False

    def judge(self, metrics: Mapping[str, float], *, validated: bool, affected: bool) -> EpochKind:
        """Decide what the next epoch is, by its metrics.

        Args:
            metrics: The metrics of the epoch.
            validated: Whether validation ran in the epoch.
            affected: Whether the monitor measures detections: not training losses, functions or users' own metrics.
        """
        nothing = validated and detects_nothing(metrics)
        # NaN is no detection: it must not end the stage in which epochs are skipped.
        self.learned = self.learned or (validated and any(value > 0 for value in _mean_precisions(metrics)))
        if not (self.skip and affected and nothing):
            return EpochKind.CHECK
        return EpochKind.NO_IMPROVEMENT if self.learned else EpochKind.NO_CHECK

    def state_dict(self) -> dict[str, Any]:
        """Return whether an epoch has detected something."""
        return {"learned": self.learned}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore whether an epoch has detected something from a validated state."""
        self.learned = state["learned"]
