"""Decide which growth of memory is a leak."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolo_callbacks.decisions.growth import GrowthRule


@pytest.mark.parametrize(
    ("values", "grows"),
    [
        ([1.0, 1.1, 1.2, 1.3, 1.4], True),
        ([1.0, 1.09, 1.21, 1.29, 1.41], True),  # a leak under noise
        ([1.0, 1.0, 1.0, 1.0, 1.0], False),
        ([1.4, 1.3, 1.2, 1.1, 1.0], False),
        ([1.0, 1.4, 1.5, 1.52, 1.52], False),  # a start that levels off
        ([1.0, 1.3, 1.0, 1.3, 1.1], False),
        ([1.0, 1.001, 1.002, 1.003, 1.004], False),  # too little to be worth a word
        ([1.0, 1.1, 1.2, 1.3], False),  # too early
        ([5.0, 1.0, 1.1, 1.2, 1.3, 1.4], True),  # only the window counts
        ([0.0, 0.0, 0.0, 0.0, 0.0], False),
    ],
)
def test_growth(values, grows):
    rule = GrowthRule(4, 0.02)
    growth = [rule.check(value) for value in values][-1]
    assert (growth is not None) is grows
    if growth:
        assert growth.slope == pytest.approx(0.1, rel=0.05)
        assert (growth.first, growth.last) == (values[-5], values[-1])


@given(
    st.floats(0.1, 100), st.floats(0.02, 5), st.integers(2, 20), st.lists(st.floats(-1, 1), min_size=21, max_size=21)
)
def test_a_leak_is_found_under_noise_and_none_in_noise_alone(start, share, window, noise):
    leak, level = GrowthRule(window, 0.9 * start * share), GrowthRule(window, 0.01 * start)
    slope = start * share / window
    found = [leak.check(start + slope * (i + 0.02 * noise[i])) for i in range(window + 1)]
    assert found[-1]
    assert found[-1].slope == pytest.approx(slope, rel=0.1)
    assert all(growth is None for growth in found[:-1])
    assert not any(level.check(start * (1 + 0.001 * noise[i])) for i in range(window + 1))


def test_a_slow_leak_is_found_once_it_adds_up():
    rule = GrowthRule(10, 1 / 16)
    growths = [rule.check(8 + 5 / 1024 * epoch) for epoch in range(1, 41)]
    first = next(epoch for epoch, growth in enumerate(growths, 1) if growth)
    assert first == 11 + 13  # 13 epochs of 5 MiB after the first window are 64 MiB
