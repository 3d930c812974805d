"""Whether a value has been growing for long enough to be a leak."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

__all__ = ["Growth", "GrowthRule"]

# What tells a leak from noise and from a start that levels off, of a line through the window's values.
_MIN_CORRELATION = 0.9
_MIN_LATE_SLOPE = 0.5


@dataclass(frozen=True)
class Growth:
    """How a value has grown, in its own unit."""

    slope: float
    first: float
    last: float


@dataclass
class GrowthRule:
    """Tell steady growth from noise, and from a beginning that levels off.

    The values of the last `window` epochs grow steadily if a straight line describes them well and its second half
    rises at least half as fast as the whole. It counts once the rise is worth a word: through the window, or since the
    first window, so that a slow leak is found too.

    Args:
        window: Epochs through which the value must have grown.
        min_rise: What is worth a word, in the unit of the values.
    """

    window: int
    min_rise: float
    _values: deque[float] = field(init=False)
    _level: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._values = deque(maxlen=self.window + 1)

    def check(self, value: float) -> Growth | None:
        """Take the value of an epoch; how it has grown, None where it has not or where it is too early to tell."""
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


# statistics is imported where it is needed: it would be 5 ms of every import of this package, for one rule


def _correlation(values: list[float]) -> float:
    from statistics import correlation

    return float(correlation(range(len(values)), values))


def _slope(values: list[float]) -> float:
    from statistics import linear_regression

    return float(linear_regression(range(len(values)), values).slope)
