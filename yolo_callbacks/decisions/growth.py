"""Decide whether a value has grown steadily for long enough to be a leak."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

__all__ = ["Growth", "GrowthRule"]

# A straight line through the values of the window must describe them at least this well: less is noise.
_MIN_CORRELATION = 0.9
# The second half of the window must rise at least this much as fast as the whole: less is a start that levels off.
_MIN_LATE_SLOPE = 0.5


@dataclass(frozen=True)
class Growth:
    """Describe how a value has grown, in its own unit.

    Attributes:
        slope: The growth an epoch.
        first: The value before the window.
        last: The value of the last epoch.
    """

    slope: float
    first: float
    last: float


@dataclass
class GrowthRule:
    """Find steady growth; ignore noise, and a start that levels off.

    The values of the last `window` epochs grow steadily if a straight line describes them well, and if their second
    half rises at least half as fast as the whole. The rise must be at least `min_rise`, either through the window or
    since the first full window: the second finds a slow leak.

    Args:
        window: Epochs through which the value must have grown.
        min_rise: The smallest rise that counts, in the unit of the values.
    """

    window: int
    min_rise: float
    _values: deque[float] = field(init=False)
    _level: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._values = deque(maxlen=self.window + 1)

    def check(self, value: float) -> Growth | None:
        """Add the value of an epoch; return the growth, or None if there is none or too few values yet."""
        self._values.append(value)
        if len(self._values) <= self.window:
            return None
        values = list(self._values)
        first, last = values[0], values[-1]
        self._level = last if self._level is None else self._level
        slope = _slope(values)
        if slope <= 0 or max(slope * self.window, last - self._level) < self.min_rise:
            return None
        if _correlation(values) < _MIN_CORRELATION:
            return None
        if _slope(values[self.window // 2 :]) < _MIN_LATE_SLOPE * slope:
            return None
        return Growth(slope, first, last)


# `statistics` is imported where it is used: at the top it would add 5 ms to every import of this package.


def _correlation(values: list[float]) -> float:
    from statistics import correlation

    return float(correlation(range(len(values)), values))


def _slope(values: list[float]) -> float:
    from statistics import linear_regression

    return float(linear_regression(range(len(values)), values).slope)
