"""Predict from the times of earlier epochs whether the next epoch ends before a limit."""

from __future__ import annotations

import pytest

from yolo_callbacks.decisions.remaining_time import EpochTimes, deadline_margin, must_leave, time_for_work


def test_nothing_is_known_before_the_first_epoch():
    times = EpochTimes()
    assert (times.longest, times.shortest) == (None, None)


def test_the_slowest_and_the_fastest_of_the_last_epochs():
    times = EpochTimes()
    for seconds in (50, 10, 12, 11, 10, 13):
        times.add(seconds, validation=2)
    assert times.longest == 13  # 11 of training and 2 of validation; the first epoch is forgotten
    assert times.shortest == 10


def test_a_validation_is_expected_though_the_last_epochs_had_none():
    times = EpochTimes()
    times.add(30, validation=20)
    for _ in range(9):
        times.add(10, validation=None)
    assert times.longest == 30
    assert times.shortest == 10


@pytest.mark.parametrize(("grace", "work"), [(0, 0), (3, 2), (30, 20), (120, 110)])
def test_a_part_of_the_grace_is_kept_for_the_end(grace, work):
    assert time_for_work(grace) == work


@pytest.mark.parametrize(
    ("now", "limit", "expected_end", "leaves"),
    [
        (10, 20, None, False),
        (10, 20, 20, False),
        (10, 20, 21, True),
        (20, 20, None, True),
        (20, 20, 19, True),
    ],
)
def test_an_epoch_is_left_where_it_cannot_end_in_time(now, limit, expected_end, leaves):
    assert must_leave(now, limit, expected_end) is leaves


@pytest.mark.parametrize(
    ("seconds", "evaluation", "margin"), [(100, 0, 5), (36000, 0, 60), (36000, 30, 90), (-5, 3, 3)]
)
def test_the_margin_of_a_deadline(seconds, evaluation, margin):
    assert deadline_margin(seconds, evaluation) == margin
