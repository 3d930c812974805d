"""Test which rank the others wait for, and which rank is slow."""

from __future__ import annotations

import itertools

import pytest

from yolo_callbacks.decisions.rank_progress import (
    BatchTimes,
    Part,
    Place,
    RankReport,
    default_timeout,
    slow_ranks,
    waited_for,
)


def training(batch: float, idle: float = 60.0, epoch: int = 3, **others: float | bool) -> RankReport:
    """Return the report of a rank after so many batches; a half is in the step of the next one."""
    return RankReport(Place(epoch, Part.TRAINING, round(2 * batch)), idle, **others)


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ({0: training(7.5), 1: training(7)}, [1]),  # rank 1 waits for its loader, rank 0 for rank 1
        ({0: training(7.5), 1: training(7, idle=59.9)}, []),
        ({0: training(7.5, idle=1.0), 1: training(7)}, [1]),
        ({0: training(7.5), 1: training(7.5)}, [0, 1]),  # an exchange that does not come back
        ({0: training(7.5), 1: training(7.5, idle=3.0)}, []),
        ({0: training(0, epoch=4), 1: RankReport(Place(3, Part.VALIDATED), 60.0)}, [1]),
        ({0: RankReport(Place(3, Part.VALIDATION, 4), 2.0), 1: RankReport(Place(3, Part.CLOSED), 600.0)}, []),
        ({0: training(7), 1: training(7.5), 2: training(7.5), 3: training(7)}, [0, 3]),
        ({0: training(7.5), 1: training(7, idle=0.0, silent=60.0)}, [1]),  # its process has ended
        ({0: training(7.5), 1: training(7.5, idle=0.0, silent=60.0)}, [1]),  # rank 0 waits for it in the same step
        ({0: training(7.5), 1: training(7.5, idle=5.0, silent=5.0)}, []),
        ({0: training(7.5), 1: training(7, left=True)}, [0]),
        ({0: training(7.5, left=True), 1: training(7, left=True)}, []),
        ({0: RankReport(Place(), 60.0)}, [0]),
        ({}, []),
    ],
)
def test_the_rank_that_the_others_wait_for(reports, expected):
    assert waited_for(reports, 60.0) == expected


def times(*own: float, whole: float = 0.2, batches: int = 100) -> dict[int, BatchTimes]:
    return {rank: BatchTimes(each, whole, batches) for rank, each in enumerate(own)}


@pytest.mark.parametrize(
    ("of_ranks", "expected"),
    [
        (times(0.01, 0.1), {1: 0.01}),
        (times(0.01, 0.1, 0.1), {}),  # most are as slow
        (times(0.01, 0.02, 0.1, 0.03), {2: 0.02}),
        (times(0.06, 0.1), {}),  # not twice as much
        (times(0.001, 0.02, whole=0.3), {}),  # less than a tenth of a batch
        (times(0.01, 0.1, batches=5), {}),  # half a second in the epoch
        (times(0.5), {}),
        ({}, {}),
    ],
)
def test_the_ranks_that_are_slow(of_ranks, expected):
    assert slow_ranks(of_ranks, 2.0) == expected


@pytest.mark.parametrize(
    ("of_group", "several", "expected"),
    [(10800, True, 600), (600, True, 300), (60, True, 30), (None, True, 300), (None, False, 600)],
)
def test_the_timeout_is_shorter_than_that_of_torch(of_group, several, expected):
    assert default_timeout(of_group, several=several) == expected


def test_places_are_ordered_as_a_training_reaches_them():
    order = [
        Place(),
        Place(1, Part.TRAINING, 0),
        Place(1, Part.TRAINING, 1),
        Place(1, Part.TRAINING, 2),
        Place(1, Part.TRAINED),
        Place(1, Part.VALIDATION, 3),
        Place(1, Part.VALIDATED),
        Place(1, Part.CLOSED),
        Place(2, Part.TRAINING, 0),
        Place(2, Part.FINAL, 1),
        Place(2, Part.OVER),
    ]
    assert all(before < after for before, after in itertools.pairwise(order))
    assert [place.words() for place in order] == [
        "before the first epoch",
        "between batches, before batch 1 of epoch 1",
        "in batch 1 of epoch 1",
        "between batches, before batch 2 of epoch 1",
        "between training and validation of epoch 1",
        "in the validation of epoch 1, after 3 of its batches",
        "after the validation of epoch 1, where checkpoints are written",
        "at the end of epoch 1",
        "between batches, before batch 1 of epoch 2",
        "in the final evaluation, after 1 of its batches",
        "after the training",
    ]
