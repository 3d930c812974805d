"""Decide by a range test which learning rate to suggest: rates that rise, and the loss at each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["RangeTest", "rate_at"]

_INERTIA = 0.9  # of the average that decides when the test is over: the loss of one step depends on its images
_DIVERGED = 4.0  # that average is this many times its lowest value
_COLLAPSED = 0.01  # the loss is this share of the first ones: a model that predicts nothing any more has a loss of 0
_SETTLED = 10  # steps after which the average can be judged
_LEAST_FALL = 0.02  # the share by which the loss must fall for a suggestion
_CERTAIN = 4.0  # and the number of standard errors: the lowest of many averages is low by chance


def rate_at(step: int, *, first: float, last: float, steps: int) -> float:
    """Return the rate of a step, counted from 0: rates rise by one factor."""
    return float(first * (last / first) ** (step / (steps - 1)))


@dataclass
class RangeTest:
    """Collect the losses of a range test, and decide when it is over and what it suggests.

    Attributes:
        rates: The rate of each step.
        losses: The mean loss of each step.
        end: Why the test ended before its last step; empty otherwise.
    """

    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    end: str = ""
    _average: float = 0.0
    _lowest: float = math.inf

    def add(self, rate: float, loss: float) -> bool:
        """Add a step, and return whether the test goes on. A loss that means nothing is not added."""
        first = sum(self.losses[:_SETTLED]) / _SETTLED if len(self.losses) >= _SETTLED else 0.0
        if not math.isfinite(loss):
            self.end = f"the loss is {loss} at {rate:.2g}"
        elif loss < _COLLAPSED * first:
            self.end = f"the loss collapsed to {loss:.2g} at {rate:.2g}, where the model predicts nothing"
        else:
            self.rates.append(rate)
            self.losses.append(loss)
            self._average = _INERTIA * self._average + (1.0 - _INERTIA) * loss
            average = self._average / (1.0 - _INERTIA ** len(self.losses))
            if len(self.losses) > _SETTLED:
                self._lowest = min(self._lowest, average)
                if average > _DIVERGED * self._lowest:
                    self.end = f"the loss diverged at {rate:.2g}"
        return not self.end

    @property
    def averages(self) -> list[float]:
        """The mean loss of each step and its neighbours on both sides, which does not lag behind the rate."""
        return [_mean(self._around(position, self.losses)) for position in range(len(self.losses))]

    @property
    def lowest(self) -> float | None:
        """The rate with the lowest average; None before the first step."""
        averages = self.averages
        return self.rates[averages.index(min(averages))] if averages else None

    @property
    def suggestion(self) -> float | None:
        """The rate at which the average falls fastest; None if it does not fall, or no more than chance explains."""
        averages = self.averages
        if len(averages) <= 2 * self._width:
            return None
        end = averages.index(min(averages))
        squares = [(loss - mean) ** 2 for loss, mean in zip(self.losses, averages, strict=True)]
        noise = math.sqrt(_mean(squares[: end + 1]))
        start = max(len(self.losses) // 5, 1)
        before = _mean(self.losses[:start])
        error = noise * math.sqrt(1.0 / start + 1.0 / (2 * self._width + 1))
        if end < start or before - averages[end] <= max(_LEAST_FALL * before, _CERTAIN * error):
            return None
        slopes = [self._slope(position, averages) for position in range(end + 1)]
        return self.rates[slopes.index(min(slopes))]

    @property
    def _width(self) -> int:
        """How many neighbours on each side are in an average."""
        return max(len(self.losses) // 20, 3)

    def _around(self, position: int, values: Sequence[float]) -> Sequence[float]:
        return values[max(position - self._width, 0) : position + self._width + 1]

    def _slope(self, position: int, averages: Sequence[float]) -> float:
        """Return the change of the average by the logarithm of the rate."""
        near, rates = self._around(position, averages), self._around(position, self.rates)
        return (near[-1] - near[0]) / math.log(rates[-1] / rates[0])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
