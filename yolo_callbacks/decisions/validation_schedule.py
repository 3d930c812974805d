"""Decide in which epochs a training is validated."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EpochPeriod", "ValidationShare", "is_validated"]


def is_validated(epoch: int, epochs: int, *, every: int, last: bool) -> bool:
    """Return whether an epoch is validated.

    Args:
        epoch: The epoch, counted from 1.
        epochs: The planned number of epochs.
        every: Epochs from one validation to the next.
        last: Whether the last epoch is validated in any case.
    """
    return epoch % every == 0 or (last and epoch >= epochs)


@dataclass
class ValidationShare:
    """Keep the share of the time that validations take below a limit.

    The first epoch is validated, so that the time of a validation is known.

    Attributes:
        limit: The largest share, between 0 and 1.
        training: The seconds that the epochs have taken without their validations.
        validating: The seconds that the validations have taken.
        last_training: The seconds of the last epoch without its validation.
        last_validation: The seconds of the last validation.
    """

    limit: float
    training: float = 0.0
    validating: float = 0.0
    last_training: float = 0.0
    last_validation: float = 0.0

    def add(self, training: float, validation: float | None) -> None:
        """Add the times of an epoch, in seconds; None for one that was not validated."""
        self.training += training
        self.last_training = training
        if validation is not None:
            self.validating += validation
            self.last_validation = validation

    @property
    def allows_next(self) -> bool:
        """Whether a validation of the next epoch keeps the share, if both take as long as the last ones."""
        validating = self.validating + self.last_validation
        total = self.training + self.last_training + validating
        return validating <= self.limit * total


@dataclass
class EpochPeriod:
    """Do something once in each period of epochs: in its last epoch, or in the next one that is validated.

    Attributes:
        period: The length of a period, in epochs.
        done: The last epoch in which it was done, or before which it need not be done; None before the first epoch.
    """

    period: int
    done: int | None = None

    def is_due(self, epoch: int, epochs: int) -> bool:
        """Return whether it is to be done in an epoch; always in the last planned one."""
        if self.done is None:  # the first epoch of the run, or of a resumed one
            self.done = epoch - 1
        return epoch // self.period > self.done // self.period or epoch >= epochs
