"""Compute how fast a training is, and how long it still takes, from the moments at which its parts begin and end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

__all__ = ["EpochTime", "EpochTimer", "SlowRank", "TimeLeft", "slowest_rank"]

_EPOCHS = 10  # the last epochs, whose mean the coming ones are expected to take
_SLOWER = 1.2  # a rank this many times slower than the others is named


@dataclass(frozen=True)
class EpochTime:
    """Hold how long the parts of an epoch took, in seconds.

    Attributes:
        whole: The epoch, from the end of the one before.
        training: From the start of the epoch to the end of its last batch.
        waiting: How much of `training` was spent waiting for the data loader.
        validation: The validation; 0 where the epoch was not validated.
        batches: How many batches were trained.
        images: How many images these batches held.
    """

    whole: float
    training: float
    waiting: float
    validation: float
    batches: int
    images: int = 0

    @property
    def images_per_second(self) -> float:
        """Images in a second of `training`."""
        return self.images / self.training if self.training > 0 else 0.0

    @property
    def data_share(self) -> float:
        """The share of `training` that waits for data, from 0 to 1."""
        return min(self.waiting / self.training, 1.0) if self.training > 0 else 0.0

    @property
    def validation_share(self) -> float:
        """The share of the epoch that its validation takes, from 0 to 1."""
        return min(self.validation / self.whole, 1.0) if self.whole > 0 else 0.0

    def __add__(self, other: EpochTime) -> EpochTime:
        """Return the time of both epochs together."""
        return EpochTime(
            self.whole + other.whole,
            self.training + other.training,
            self.waiting + other.waiting,
            self.validation + other.validation,
            self.batches + other.batches,
            self.images + other.images,
        )


class EpochTimer:
    """Measure the parts of each epoch from moments in seconds, on any clock that only moves forward.

    The training loop takes a batch from the loader between the end of a batch and the start of the next one, and before
    the first batch of an epoch: that is the time it waits for data.
    """

    def __init__(self) -> None:
        self._epoch_start: float | None = None  # also the end of the epoch before
        self._forget_parts()

    def _forget_parts(self) -> None:
        self._training_start: float | None = None
        self._ready: float | None = None  # since when the loop waits for a batch
        self._validation_start: float | None = None
        self._training = self._waiting = self._validation = 0.0
        self._batches = 0

    def start_training(self, now: float) -> None:
        """Start the batches of an epoch; again where an epoch is trained again, which counts its last attempt only."""
        self._forget_parts()
        self._training_start = self._ready = now
        self._epoch_start = now if self._epoch_start is None else self._epoch_start

    def start_batch(self, now: float) -> None:
        """Note that the loader has given a batch."""
        if self._ready is not None:
            self._waiting += now - self._ready
            self._ready = None

    def end_batch(self, now: float) -> None:
        """Note that the loop is ready for the next batch."""
        if self._training_start is not None:
            self._ready = now
            self._batches += 1

    def start_waiting(self, now: float) -> None:
        """Note that the loop waits for a batch only from now on: until here others have worked."""
        if self._ready is not None:
            self._ready = now

    def end_training(self, now: float) -> None:
        """End the batches of the epoch."""
        if self._training_start is not None:
            self._training = now - self._training_start
            self._ready = None

    def start_validation(self, now: float) -> None:
        """Start the validation of the epoch; one outside an epoch is not counted."""
        if self._training:
            self._validation_start = now

    def end_validation(self, now: float) -> None:
        """End the validation of the epoch."""
        if self._validation_start is not None:
            self._validation += now - self._validation_start
            self._validation_start = None

    @property
    def waiting(self) -> float:
        """How long the epoch has waited for data so far."""
        return self._waiting

    @property
    def batches(self) -> int:
        """How many batches of the epoch are trained."""
        return self._batches

    def end_epoch(self, now: float, images: int) -> EpochTime | None:
        """Return the time of the epoch; None where it was not measured from its start."""
        start, training = self._epoch_start, self._training
        found = EpochTime(now - (start or 0.0), training, self._waiting, self._validation, self._batches, images)
        self._forget_parts()
        self._epoch_start = now
        return found if start is not None and training > 0 else None


@dataclass
class TimeLeft:
    """Estimate how long a training still takes, from its last epochs.

    The first epoch of a process is left out once there is another one: it starts the workers and fills the caches.

    Attributes:
        others: How long the last epochs took without their validation.
        validations: How long the last epochs were validated; None for an epoch that was not.
    """

    others: list[float] = field(default_factory=list)
    validations: list[float | None] = field(default_factory=list)
    _counted: int = 0

    def add(self, epoch: EpochTime, *, validated: bool) -> None:
        """Add an epoch."""
        if self._counted == 1:
            self.others, self.validations = [], []
        self._counted += 1
        self.others = [*self.others, epoch.whole - epoch.validation][-_EPOCHS:]
        self.validations = [*self.validations, epoch.validation if validated else None][-_EPOCHS:]

    @property
    def share_validated(self) -> float:
        """The share of the last epochs that were validated."""
        return sum(each is not None for each in self.validations) / len(self.validations) if self.validations else 0.0

    def seconds(self, epochs: float, *, limit: float = math.inf, final: bool = True) -> float:
        """Return the expected seconds to the end; 0 before the first epoch.

        Args:
            epochs: How many epochs are left.
            limit: The seconds that are left for training, as `time=` gives them. Defaults to infinity.
            final: Whether the best checkpoint is validated at the end. Defaults to `True`.
        """
        if not self.others:
            return 0.0
        validation = fmean([each for each in self.validations if each is not None] or [0.0])
        training = epochs * (fmean(self.others) + validation * self.share_validated)
        return max(min(training, limit), 0.0) + (validation if final else 0.0)


@dataclass(frozen=True)
class SlowRank:
    """Name the slowest process of a training.

    Attributes:
        rank: Its number.
        seconds: How long its own work of an epoch took.
        others: The median of the others.
    """

    rank: int
    seconds: float
    others: float

    @property
    def stands_out(self) -> bool:
        """Whether the others wait for it so long that it is worth a look."""
        return self.others >= 0 and self.seconds > _SLOWER * self.others

    def __str__(self) -> str:
        return (
            f"rank {self.rank} is the slowest: {self.seconds:.3g} s an epoch of its own, the others {self.others:.3g} s"
        )


def slowest_rank(seconds: Sequence[float | None]) -> SlowRank | None:
    """Return the slowest rank; None where the ranks are not known, or there is only one.

    Args:
        seconds: How long the own work of each rank took in an epoch, without waiting for the others.
    """
    if len(seconds) < 2 or any(each is None for each in seconds):
        return None
    known = [each for each in seconds if each is not None]
    rank = max(range(len(known)), key=known.__getitem__)
    return SlowRank(rank, known[rank], median(known[:rank] + known[rank + 1 :]))
