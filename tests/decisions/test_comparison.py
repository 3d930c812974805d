"""Compare two values of a monitor: when one is an improvement."""

from __future__ import annotations

import math

import pytest

from yolo_callbacks.decisions.comparison import best_so_far, improves

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("value", "best", "mode", "min_delta", "expected"),
    [
        # the first value
        (0.0, None, "max", 0.0, True),
        (0.0, None, "min", 0.0, True),
        (-5.0, None, "max", 10.0, True),
        (NAN, None, "max", 0.0, False),
        (NAN, None, "min", 0.0, False),
        (INF, None, "max", 0.0, False),
        (-INF, None, "max", 0.0, False),
        (-INF, None, "min", 0.0, False),
        # better, worse, a tie
        (0.6, 0.5, "max", 0.0, True),
        (0.4, 0.5, "max", 0.0, False),
        (0.5, 0.5, "max", 0.0, False),
        (0.4, 0.5, "min", 0.0, True),
        (0.6, 0.5, "min", 0.0, False),
        (0.5, 0.5, "min", 0.0, False),
        (0.0, -0.0, "max", 0.0, False),
        (-0.0, 0.0, "min", 0.0, False),
        (math.nextafter(0.5, 1.0), 0.5, "max", 0.0, True),
        (math.nextafter(0.5, 0.0), 0.5, "min", 0.0, True),
        # by more than min_delta, not by just as much
        (0.75, 0.5, "max", 0.25, False),
        (0.8, 0.5, "max", 0.25, True),
        (0.7, 0.5, "max", 0.25, False),
        (0.25, 0.5, "min", 0.25, False),
        (0.2, 0.5, "min", 0.25, True),
        (0.3, 0.5, "min", 0.25, False),
        # `best + min_delta` is rounded as torch rounds it; the difference of the two would be above 0.2
        (0.1 + 0.2, 0.1, "max", 0.2, False),
        # never, whatever the best
        (NAN, 0.5, "max", 0.0, False),
        (NAN, 0.5, "min", 0.0, False),
        (INF, 0.5, "max", 0.0, False),
        (-INF, 0.5, "min", 0.0, False),
    ],
)
def test_improves(value, best, mode, min_delta, expected):
    assert improves(value, best, mode=mode, min_delta=min_delta) is expected


@pytest.mark.parametrize(
    ("best", "epoch", "mode", "min_delta", "words"),
    [
        (0.5, 3, "max", 0.0, "best 0.5 at epoch 3"),
        (None, 0, "max", 0.0, "no finite value yet"),
        (0.0, 1, "max", 0.0, "it was never above 0"),
        (0.0, 1, "max", 0.1, "best 0 at epoch 1"),  # 0.05 may have come later
        (0.0, 1, "min", 0.0, "best 0 at epoch 1"),
    ],
)
def test_the_best_value_in_words(best, epoch, mode, min_delta, words):
    assert best_so_far(best, epoch, mode, min_delta) == words
