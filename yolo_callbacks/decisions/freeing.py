"""When freeing memory is worth its time."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Cadence", "cache_is_idle", "host_is_short"]

_MIB = 2**20
_MIN_FREED = 16 * _MIB  # bytes
_MIN_RATE = 256 * _MIB  # bytes a second
_LONGER = 8  # times the last interval
_LONGEST = 64  # times the interval that was asked for
_SHORT = 0.1


def cache_is_idle(*, allocated: int, reserved: int, capacity: int, threshold: float) -> bool:
    """Whether an accelerator's cache is worth emptying.

    Args:
        allocated: Bytes in tensors.
        reserved: Bytes taken from the device, cache included.
        capacity: Bytes of the device; 0 if unknown, which is never worth it.
        threshold: The share of the device from which on it is.
    """
    return capacity > 0 and reserved > threshold * capacity and reserved > 2 * allocated


def host_is_short(available: int, total: int) -> bool:
    """Whether less than a tenth of the host's memory is left."""
    return available < _SHORT * total


@dataclass
class Cadence:
    """How often to repeat a step that may not be worth its time.

    Each time that it was not, the pause becomes eight times as long, up to 64 times the shortest one; once it was, it
    is the shortest again. It was worth it if it freed at least 16 MiB, at 256 MiB a second or faster, and if less than
    half of that was taken again by the next time.

    Args:
        every: The shortest pause, in epochs.

    Attributes:
        next_epoch: The epoch from which on the step is due.
    """

    every: int
    next_epoch: int = 0
    _pause: int = field(init=False, default=0)
    _freed: int = field(init=False, default=0)
    _after: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._pause = self.every
        self.next_epoch = self.next_epoch or self.every

    def stepped(self, epoch: int, *, before: int, after: int, seconds: float) -> None:
        """Tell of a step that was made.

        Args:
            epoch: The epoch after which it was made.
            before: Bytes in use before it.
            after: Bytes in use after it.
            seconds: What it took.
        """
        freed = before - after
        came_back = self._freed > 0 and before - self._after > self._freed / 2
        worth_it = freed >= _MIN_FREED and freed >= _MIN_RATE * seconds and not came_back
        self._pause = self.every if worth_it else min(_LONGER * self._pause, _LONGEST * self.every)
        self._freed, self._after = freed, after
        self.next_epoch = epoch + self._pause
