"""Decide whether an epoch ends in time, from the times of the epochs before it."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["EpochTimes", "deadline_margin", "must_leave", "next_epoch_fits", "time_for_work"]

_EPOCHS = 5  # the epochs that the next one is compared with: later ones may be faster, as those without mosaic
_SHARE_OF_GRACE = 1 / 3
_MOST_OF_GRACE = 10.0
_SHARE_OF_TIME = 0.05
_MOST_OF_TIME = 60.0


@dataclass
class EpochTimes:
    """Estimate how long the next epoch takes. All times are in seconds.

    Attributes:
        training: How long the last epochs took without their validation.
        validation: How long the last validations took.
        whole: How long the last epochs took.
    """

    training: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)

    def add(self, whole: float, validation: float | None) -> None:
        """Add an epoch.

        Args:
            whole: How long it took.
            validation: How much of that its validation took; None where it was not validated.
        """
        self.whole = [*self.whole, whole][-_EPOCHS:]
        self.training = [*self.training, whole - (validation or 0.0)][-_EPOCHS:]
        if validation is not None:
            self.validation = [*self.validation, validation][-_EPOCHS:]

    @property
    def longest(self) -> float | None:
        """How long the next epoch may take: the slowest of the last ones, and the slowest validation; None if unknown.

        Not every epoch is validated, so the two are estimated apart.
        """
        return max(self.training) + max(self.validation, default=0.0) if self.training else None

    @property
    def shortest(self) -> float | None:
        """How long the next epoch takes at least: as the fastest of the last ones; None if unknown."""
        return min(self.whole, default=None)


def time_for_work(grace: float) -> float:
    """Return how much of the time between a signal and the kill may be used for the epoch; the end needs the rest."""
    return grace - min(_MOST_OF_GRACE, grace * _SHARE_OF_GRACE)


def must_leave(now: float, limit: float, expected_end: float | None) -> bool:
    """Return whether a training leaves its epoch before the end: it cannot end in time, or the time is over.

    Args:
        now: The present time.
        limit: When the epoch must have ended.
        expected_end: When the epoch ends at the earliest; None where that is unknown.
    """
    return now >= limit or (expected_end is not None and expected_end > limit)


def next_epoch_fits(now: float, limit: float, longest: float) -> bool:
    """Return whether an epoch that starts now ends before a limit.

    Args:
        now: The present time.
        limit: When the epoch must have ended.
        longest: How long it may take.
    """
    return now + longest <= limit


def deadline_margin(seconds: float, evaluation: float) -> float:
    """Return how long before a deadline the last epoch ends.

    Args:
        seconds: The time from the start of the training to the deadline: of a short one, a share is enough.
        evaluation: How long the final evaluation takes; 0 where there is none.
    """
    return min(_MOST_OF_TIME, _SHARE_OF_TIME * max(seconds, 0.0)) + evaluation
