"""A range test of the learning rate: when it ends, and what it suggests for losses that are known."""

from __future__ import annotations

import math
from random import Random

import pytest

from yolo_callbacks.decisions.range_test import RangeTest, rate_at

STEPS = 100


def made(loss_of, *, noise: float = 0.0, steps: int = STEPS) -> RangeTest:
    """Return a test of rates from 1e-6 to 1 with the losses of a function of log10 of the rate."""
    test, random = RangeTest(), Random(0)
    for step in range(steps):
        rate = rate_at(step, first=1e-6, last=1.0, steps=steps)
        if not test.add(rate, loss_of(math.log10(rate)) + random.gauss(0.0, noise)):
            break
    return test


def valley(log_rate: float) -> float:
    """Fall by 2, fastest at 1e-3; rise from 1e-1 on."""
    return 6.0 - 2.0 / (1.0 + math.exp(-4.0 * (log_rate + 3.0))) + math.exp(8.0 * (log_rate + 1.0))


def test_rates_rise_by_one_factor():
    rates = [rate_at(step, first=1e-4, last=1.0, steps=5) for step in range(5)]
    assert rates == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1.0])


@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("steps", [60, 100, 400])
def test_it_suggests_where_the_loss_falls_fastest(noise, steps):
    test = made(valley, noise=noise, steps=steps)
    assert abs(math.log10(test.suggestion) + 3.0) < 0.35
    assert -2.3 < math.log10(test.lowest) < -0.8
    assert test.end.startswith("the loss diverged at 0.")
    assert len(test.rates) == len(test.losses) == len(test.averages) < steps


@pytest.mark.parametrize(
    "loss_of",
    [
        lambda log_rate: 3.0,
        lambda log_rate: 3.0 + 0.2 * log_rate,  # rises
        lambda log_rate: 3.0 - 0.005 * (log_rate + 6.0),  # falls by 1 % in all
    ],
)
def test_it_suggests_nothing_where_the_loss_does_not_fall(loss_of):
    test = made(loss_of)
    assert (test.suggestion, test.end, len(test.rates)) == (None, "", STEPS)


@pytest.mark.parametrize("seed", range(20))
def test_it_suggests_nothing_where_the_loss_falls_by_chance_only(seed):
    random, test = Random(seed), RangeTest()
    for step in range(STEPS):
        test.add(rate_at(step, first=1e-6, last=1.0, steps=STEPS), random.gauss(12.0, 3.0))
    assert test.suggestion is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_it(value):
    test = made(lambda log_rate: valley(log_rate) if log_rate < -2 else value)
    assert test.end == f"the loss is {value} at 0.011"
    assert max(test.rates) < 0.011
    assert abs(math.log10(test.suggestion) + 3.0) < 0.35


def test_a_loss_that_collapses_ends_it_and_is_no_fall():
    """A detection model whose predictions are far off has a loss of 0: no anchor is matched."""
    test = made(lambda log_rate: 12.0 if log_rate < -1.0 else 1e-6)
    assert test.end == "the loss collapsed to 1e-06 at 0.11, where the model predicts nothing"
    assert (max(test.losses), min(test.losses), test.suggestion) == (12.0, 12.0, None)


def test_a_loss_that_is_low_from_the_start_has_not_collapsed():
    test = made(lambda log_rate: 1e-6)
    assert (len(test.rates), test.end) == (STEPS, "")


def test_the_average_does_not_lag_behind_the_rate():
    test = made(lambda log_rate: 5.0 if log_rate < -3.0 else 4.0)
    middle = min(range(STEPS), key=lambda step: abs(test.averages[step] - 4.5))
    assert abs(math.log10(test.rates[middle]) + 3.0) < 0.1


def test_too_few_steps_suggest_nothing():
    test = RangeTest()
    assert (test.lowest, test.suggestion, test.averages) == (None, None, [])
    for step in range(6):
        assert test.add(10.0**-step, 6.0 - step)
    assert test.suggestion is None
