"""Decide when to free memory, and how often to try it again."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Cadence", "cache_is_idle", "host_is_short"]

_MIB = 2**20
_MIN_FREED = 16 * _MIB  # bytes
_MIN_RATE = 256 * _MIB  # bytes a second
_LONGER = 8  # times the last interval
_LONGEST = 64  # times the interval that the user set
_SHORT = 0.1


def cache_is_idle(*, allocated: int, reserved: int, capacity: int, threshold: float) -> bool:
    """Return whether the cache of an accelerator is large and mostly unused.

    Args:
        allocated: Bytes in tensors.
        reserved: Bytes reserved on the device, cache included.
        capacity: Bytes of the device; 0 if unknown: then the result is False.
        threshold: The share of the device, 0 to 1, that must be reserved.
    """
    return capacity > 0 and reserved > threshold * capacity and reserved > 2 * allocated


def host_is_short(available: int, total: int) -> bool:
    """Return whether less than a tenth of the host's memory is available."""
    return available < _SHORT * total


@dataclass
class Cadence:
    """Decide in which epochs to repeat a step, by how useful it was the last time.

    A step is useful if it frees at least 16 MiB, at 256 MiB a second or faster, and if training has not used more than
    half of the memory of the last step again. After a step that is not useful, the interval becomes eight times as
    long, at most 64 times the shortest one. After a useful step it is the shortest again.

    Args:
        every: The shortest interval, in epochs.

    Attributes:
        next_epoch: The first epoch in which the step is due again.
    """

    every: int
    next_epoch: int = 0
    _interval: int = field(init=False, default=0)
    _freed: int = field(init=False, default=0)
    _after: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._interval = self.every
        self.next_epoch = self.next_epoch or self.every

    def stepped(self, epoch: int, *, before: int, after: int, seconds: float) -> None:
        """Record a step, and plan the next one.

        Args:
            epoch: The epoch after which the step was made.
            before: Bytes in use before it.
            after: Bytes in use after it.
            seconds: How long the step took.
        """
        freed = before - after
        used_again = self._freed > 0 and before - self._after > self._freed / 2
        useful = freed >= _MIN_FREED and freed >= _MIN_RATE * seconds and not used_again
        self._interval = self.every if useful else min(_LONGER * self._interval, _LONGEST * self.every)
        self._freed, self._after = freed, after
        self.next_epoch = epoch + self._interval
