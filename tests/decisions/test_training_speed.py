"""Test the speed of a training, computed from the times of its events."""

from __future__ import annotations

import pytest

from yolo_callbacks.decisions.training_speed import EpochTime, EpochTimer, SlowRank, TimeLeft, slowest_rank


def timed(timer: EpochTimer, start: float, waits: list[float], work: float, validation: float = 0.0) -> float:
    """Run the timer through one epoch, and return the time at its end."""
    now = start
    timer.start_training(now)
    for wait in waits:
        now += wait
        timer.start_batch(now)
        now += work
        timer.end_batch(now)
    timer.end_training(now)
    if validation:
        timer.start_validation(now)
        now += validation
        timer.end_validation(now)
    return now


def test_waiting_is_between_the_batches_and_before_the_first():
    timer = EpochTimer()
    end = timed(timer, 100.0, [3.0, 1.0, 0.0], 2.0, validation=5.0)
    epoch = timer.end_epoch(end + 1.0, images=30)
    assert epoch == EpochTime(whole=16.0, training=10.0, waiting=4.0, validation=5.0, batches=3, images=30)
    assert (epoch.data_share, epoch.images_per_second, epoch.validation_share) == (0.4, 3.0, 5 / 16)


def test_an_epoch_begins_where_the_one_before_has_ended():
    timer = EpochTimer()
    timer.end_epoch(timed(timer, 0.0, [0.0], 1.0), images=1)
    end = timed(timer, 3.0, [1.0], 1.0)  # two seconds between the epochs, such as those of a checkpoint
    epoch = timer.end_epoch(end, images=1)
    assert (epoch.whole, epoch.training, epoch.waiting) == (4.0, 2.0, 1.0)


def test_an_epoch_that_is_trained_again_counts_its_last_attempt():
    timer = EpochTimer()
    timed(timer, 0.0, [5.0, 5.0], 1.0)
    timer.start_training(20.0)
    timer.start_batch(21.0)  # memory runs out in this batch: it has no end
    epoch = timer.end_epoch(timed(timer, 30.0, [1.0], 1.0), images=1)
    assert (epoch.whole, epoch.training, epoch.waiting, epoch.batches) == (32.0, 2.0, 1.0, 1)


def test_what_was_not_seen_from_its_start_is_not_measured():
    timer = EpochTimer()
    timer.end_batch(1.0)  # attached in the middle of an epoch
    timer.start_batch(2.0)
    timer.end_training(3.0)
    timer.start_validation(3.0)
    timer.end_validation(4.0)
    assert timer.end_epoch(4.0, images=1) is None
    assert timer.end_epoch(timed(timer, 5.0, [1.0], 1.0), images=1).whole == 3.0


def test_a_validation_outside_of_an_epoch_is_not_counted():
    timer = EpochTimer()
    timer.end_epoch(timed(timer, 0.0, [0.0], 1.0), images=1)
    timer.start_validation(1.0)  # the final evaluation
    timer.end_validation(9.0)
    assert timer.end_epoch(timed(timer, 10.0, [0.0], 1.0), images=1).validation == 0.0


def test_no_time_has_no_shares():
    nothing = EpochTime(0.0, 0.0, 0.0, 0.0, 0)
    assert (nothing.data_share, nothing.images_per_second, nothing.validation_share) == (0.0, 0.0, 0.0)


def epoch(whole: float, validation: float = 0.0) -> EpochTime:
    return EpochTime(whole, whole - validation, 0.0, validation, 1)


def test_the_time_left_is_that_of_the_last_epochs():
    left = TimeLeft()
    assert left.seconds(5) == 0.0
    left.add(epoch(60.0, 10.0), validated=True)
    assert left.seconds(2) == 2 * 60 + 10  # all that is known; with the final evaluation
    left.add(epoch(12.0, 2.0), validated=True)
    assert left.seconds(3) == 3 * 12 + 2  # the first one is left out
    left.add(epoch(14.0, 2.0), validated=True)
    assert left.seconds(3, final=False) == 3 * 13
    for _ in range(10):
        left.add(epoch(20.0), validated=False)
    assert left.seconds(3) == 60


def test_not_every_epoch_is_validated():
    left = TimeLeft()
    left.add(epoch(10.0), validated=False)
    for index in range(4):
        validated = index % 2 == 0
        left.add(epoch(14.0, 4.0) if validated else epoch(10.0), validated=validated)
    assert left.share_validated == 0.5
    assert left.seconds(10) == 10 * (10 + 2) + 4


def test_a_limit_of_time_ends_the_run_first():
    left = TimeLeft()
    left.add(epoch(12.0, 2.0), validated=True)
    assert left.seconds(100, limit=30.0) == 32.0
    assert left.seconds(1, limit=30.0) == 14.0


@pytest.mark.parametrize(
    ("seconds", "found"),
    [
        ([], None),
        ([3.0], None),
        ([3.0, None], None),
        ([3.0, 5.0], SlowRank(1, 5.0, 3.0)),
        ([9.0, 2.0, 4.0, 3.0], SlowRank(0, 9.0, 3.0)),
    ],
)
def test_the_slowest_rank(seconds, found):
    assert slowest_rank(seconds) == found


def test_a_rank_stands_out_where_the_others_wait():
    assert not SlowRank(1, 1.2, 1.0).stands_out
    assert SlowRank(1, 1.3, 1.0).stands_out
    assert str(SlowRank(1, 5.0, 3.25)) == "rank 1 is the slowest: 5 s an epoch of its own, the others 3.25 s"
