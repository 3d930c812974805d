"""Decide when to reduce the learning rate, and to what."""

from __future__ import annotations

import pytest

from yolo_callbacks.decisions.plateau import PlateauRule, RateReduction


@pytest.mark.parametrize(
    ("values", "patience", "cooldown", "min_delta", "reductions"),
    [
        ([5, 4, 3, 2, 1], 0, 0, 0.0, []),
        ([5, 5, 5, 5, 5], 0, 0, 0.0, [2, 3, 4, 5]),
        ([5, 5, 5, 5, 5], 1, 0, 0.0, [3, 5]),
        ([5, 5, 5, 5, 5, 5, 5], 1, 2, 0.0, [3, 7]),
        ([5, 4.9, 4.8, 4.7], 1, 0, 0.5, [3]),
        ([5, float("nan"), 5, float("inf"), 4], 1, 0, 0.0, [3]),
        ([float("nan"), float("nan")], 0, 0, 0.0, [1, 2]),
    ],
)
def test_when_the_rate_is_reduced(values, patience, cooldown, min_delta, reductions):
    rule = PlateauRule("min", patience, min_delta, cooldown)
    assert [epoch for epoch, value in enumerate(values, start=1) if rule.check(epoch, value).reduce] == reductions


@pytest.mark.parametrize(
    ("reduction", "rate", "left"),
    [
        (RateReduction(0.5, 0), 0.01, 0.01),
        (RateReduction(0.5, 3), 0.08, 0.01),
        (RateReduction(0.1, 2, min_lr=0.005), 0.01, 0.005),
        (RateReduction(0.1, 2, min_lr=0.05), 0.01, 0.01),
        (RateReduction(0.5, 9), 1e-8, 1e-8),
    ],
)
def test_what_is_left_of_a_rate(reduction, rate, left):
    assert reduction.apply(rate) == pytest.approx(left, rel=1e-12)
