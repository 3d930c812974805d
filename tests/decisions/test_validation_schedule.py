"""Which epochs are validated: by number, and by share of the time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolo_callbacks.decisions.validation_schedule import EpochPeriod, ValidationShare, is_validated

seconds = st.floats(0.01, 100.0)


@pytest.mark.parametrize(
    ("every", "last", "validated"),
    [
        (1, True, [1, 2, 3, 4, 5, 6, 7]),
        (3, True, [3, 6, 7]),
        (3, False, [3, 6]),
        (7, False, [7]),
        (9, True, [7]),
        (9, False, []),
    ],
)
def test_by_number(every, last, validated):
    assert [epoch for epoch in range(1, 8) if is_validated(epoch, 7, every=every, last=last)] == validated


def test_an_epoch_beyond_the_planned_ones_is_the_last_too():
    assert is_validated(8, 7, every=5, last=True)


def test_the_first_epoch_decides_when_the_next_one_follows():
    share = ValidationShare(0.2)
    share.add(10.0, 5.0)  # 5 of 15 seconds
    allowed = []
    for _ in range(8):
        allowed.append(share.allows_next)
        share.add(10.0, 5.0 if share.allows_next else None)
    # in every second epoch, 5 of 25 seconds, after 10 of 50
    assert allowed == [False, False, True, False, True, False, True, False]


@given(limit=st.floats(0.01, 0.99), epochs=st.lists(st.tuples(seconds, seconds), min_size=1, max_size=60))
def test_the_share_is_kept_where_every_epoch_takes_the_same_time(limit, epochs):
    training, validation = epochs[0]
    share = ValidationShare(limit)
    share.add(training, validation)
    for _ in epochs:
        validates = share.allows_next
        share.add(training, validation if validates else None)
        if validates:
            assert share.validating <= limit * (share.training + share.validating) * (1 + 1e-9)


@given(limit=st.floats(0.01, 0.99), epochs=st.lists(st.tuples(seconds, seconds), min_size=1, max_size=60))
def test_it_is_never_left_out_for_good(limit, epochs):
    share = ValidationShare(limit)
    for training, validation in epochs:
        share.add(training, validation if share.allows_next or not share.validating else None)
    for _ in range(10_000_000):
        if share.allows_next:
            return
        share.add(1000.0 * share.last_validation / limit, None)
    pytest.fail("no validation any more")


@pytest.mark.parametrize(
    ("period", "validated", "done"),
    [
        (1, [1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, 8]),
        (3, [1, 2, 3, 4, 5, 6, 7, 8], [3, 6, 8]),
        (2, [3, 6, 8], [3, 6, 8]),
        (5, [3, 6, 8], [6, 8]),
        (9, [3, 6, 8], [8]),
    ],
)
def test_once_in_each_period_in_an_epoch_that_is_validated(period, validated, done):
    cadence, found = EpochPeriod(period), []
    for epoch in range(1, 9):
        if cadence.is_due(epoch, 8) and epoch in validated:
            cadence.done = epoch
            found.append(epoch)
    assert found == done


def test_a_resumed_run_begins_with_the_present_period():
    cadence = EpochPeriod(5)
    assert [cadence.is_due(epoch, 20) for epoch in (7, 8, 9, 10)] == [False, False, False, True]
