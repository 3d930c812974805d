"""Judge the ranks of a training by their progress: which one the others wait for, and which one is slow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from statistics import median
from typing import NamedTuple

__all__ = ["BatchTimes", "Part", "Place", "RankReport", "default_timeout", "is_silent", "slow_ranks", "waited_for"]

_LONGEST = 600.0  # seconds: a rank may save, draw plots or compile for minutes
_UNKNOWN = 300.0  # half of the shortest default of torch, that of NCCL
_SHARE = 0.1  # of the time of a batch, below which a difference costs little
_LEAST = 1.0  # seconds of an epoch, below which it is chance


class Part(IntEnum):
    """The part of an epoch that a rank is in, in the order in which it reaches them."""

    START = 0
    TRAINING = 1
    TRAINED = 2
    VALIDATION = 3
    VALIDATED = 4
    CLOSED = 5
    FINAL = 6
    OVER = 7


class Place(NamedTuple):
    """How far a rank has come. A place that compares as less is behind.

    Attributes:
        epoch: The epoch, counted from 1.
        part: The part of it.
        batch: In `TRAINING` twice the number of complete batches, and 1 more in the step of a batch; in a validation
            the number of complete batches.
    """

    epoch: int = 0
    part: Part = Part.START
    batch: int = 0

    def words(self) -> str:
        """Return where the rank is."""
        epoch, number = f"of epoch {self.epoch}", self.batch // 2 + 1
        if self.part == Part.START:
            return f"before the first batch {epoch}" if self.epoch else "before the first epoch"
        if self.part == Part.TRAINING:
            return f"in batch {number} {epoch}" if self.batch % 2 else f"between batches, before batch {number} {epoch}"
        return {
            Part.TRAINED: f"between training and validation {epoch}",
            Part.VALIDATION: f"in the validation {epoch}, after {self.batch} of its batches",
            Part.VALIDATED: f"after the validation {epoch}, where checkpoints are written",
            Part.CLOSED: f"at the end {epoch}",
            Part.FINAL: f"in the final evaluation, after {self.batch} of its batches",
        }.get(self.part, "after the training")


@dataclass(frozen=True)
class RankReport:
    """What is known of a rank at one moment.

    Attributes:
        place: Where it is.
        idle: The seconds since it came there.
        silent: The seconds since its watching thread was heard.
        left: Whether it has left the training.
    """

    place: Place
    idle: float
    silent: float = 0.0
    left: bool = False


class BatchTimes(NamedTuple):
    """The times of one batch of a rank, as means of an epoch in seconds.

    Attributes:
        own: Between the steps: waiting for its loader, and in callbacks. No rank waits for another one there.
        whole: From one batch to the next one.
        batches: The number of batches.
    """

    own: float
    whole: float
    batches: int


def default_timeout(of_group: float | None, *, several: bool) -> float:
    """Return the seconds after which a rank is stuck, well before torch ends the wait of the others.

    Args:
        of_group: The seconds after which torch does that; None where that is unknown.
        several: Whether there are others.
    """
    if not several:
        return _LONGEST
    return _UNKNOWN if of_group is None else min(_LONGEST, of_group / 2)


def is_silent(report: RankReport, timeout: float) -> bool:
    """Return whether a rank does not answer any more: its process has ended or is stopped.

    Args:
        report: What is known of it.
        timeout: The seconds without progress from which on a rank is stuck.
    """
    return report.silent >= timeout / 2


def waited_for(reports: Mapping[int, RankReport], timeout: float) -> list[int]:
    """Return the ranks that the others wait for: those furthest behind, if they make no progress any more.

    All ranks take the same steps together, so those ahead wait in an exchange that the one behind has not reached. In
    one place, those that answer wait for those that do not.

    Args:
        reports: What is known of each rank.
        timeout: The seconds without progress from which on a rank is stuck.
    """
    present = {rank: report for rank, report in reports.items() if not report.left}
    if not present:
        return []
    behind = min(report.place for report in present.values())
    found = [rank for rank, report in present.items() if report.place == behind]
    if not all(present[rank].idle + present[rank].silent >= timeout for rank in found):
        return []
    return [rank for rank in found if is_silent(present[rank], timeout)] or found


def slow_ranks(times: Mapping[int, BatchTimes], factor: float) -> dict[int, float]:
    """Return the ranks that take more time for themselves than the others, with the median of those.

    Args:
        times: The times of each rank in one epoch.
        factor: How many times the median of the other ranks is too much. A difference of less than a tenth of the time
            of a batch, or of less than a second in the epoch, is not.

    Returns:
        The median of the other ranks, by the rank that is slow.
    """
    found = {}
    for rank, own in times.items():
        others = [each.own for other, each in times.items() if other != rank]
        usual = median(others) if others else own.own
        lost = own.own - usual
        if own.own > factor * usual and lost > _SHARE * own.whole and lost * own.batches > _LEAST:
            found[rank] = usual
    return found
