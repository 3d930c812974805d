"""Epochs in which nothing is detected."""

from __future__ import annotations

import math
from typing import Any

import pytest

from yolo_callbacks import StoppingReason
from yolo_callbacks.decisions.stopping import StopRule
from yolo_callbacks.decisions.untrained import EpochKind, UntrainedRule, detects_nothing

CHECK, NO_IMPROVEMENT, NO_CHECK = EpochKind.CHECK, EpochKind.NO_IMPROVEMENT, EpochKind.NO_CHECK
BOX, MASK, POSE = ("metrics/mAP50(B)", "metrics/mAP50-95(B)"), ("metrics/mAP50-95(M)",), ("metrics/mAP50-95(P)",)


@pytest.mark.parametrize(
    ("metrics", "nothing"),
    [
        (dict.fromkeys(BOX, 0.0), True),
        (dict.fromkeys(BOX, 0), True),
        ({BOX[0]: 0.001, BOX[1]: 0.0}, False),
        (dict.fromkeys((*BOX, *MASK), 0.0), True),
        (dict.fromkeys(BOX, 0.0) | {MASK[0]: 0.1}, False),
        (dict.fromkeys(MASK, 0.0) | {BOX[0]: 0.1}, False),
        (dict.fromkeys((*BOX, *POSE), 0.0), True),
        (dict.fromkeys(BOX, 0.0) | {POSE[0]: 0.2}, False),
        ({BOX[0]: math.nan, BOX[1]: 0.0}, False),
        # precision and recall do not count, nor does a task without mAP
        (dict.fromkeys(BOX, 0.0) | {"metrics/recall(B)": 0.5}, True),
        ({"metrics/accuracy_top1": 0.0, "val/loss": 0.0}, False),
        ({}, False),
    ],
)
def test_what_detects_nothing(metrics, nothing):
    assert detects_nothing(metrics) is nothing


def judged(epochs: list[dict[str, float] | None], **rule: Any) -> list[EpochKind]:
    """Each epoch by its metrics; None is an epoch without validation."""
    made = UntrainedRule(**rule)
    return [made.judge(metrics or {}, validated=metrics is not None, affected=True) for metrics in epochs]


NOTHING, BOXES = dict.fromkeys((*BOX, *MASK), 0.0), dict.fromkeys(MASK, 0.0) | dict.fromkeys(BOX, 0.1)
MASKS = dict.fromkeys(BOX, 0.0) | dict.fromkeys(MASK, 0.1)


@pytest.mark.parametrize(
    ("epochs", "kinds"),
    [
        ([NOTHING, NOTHING, BOXES, NOTHING, BOXES], [NO_CHECK, NO_CHECK, CHECK, NO_IMPROVEMENT, CHECK]),
        ([NOTHING, MASKS, NOTHING], [NO_CHECK, CHECK, NO_IMPROVEMENT]),
        ([BOXES, NOTHING, MASKS], [CHECK, NO_IMPROVEMENT, CHECK]),
        # NaN is not 0, but nothing was detected either
        ([dict.fromkeys(BOX, math.nan), NOTHING, BOXES], [CHECK, NO_CHECK, CHECK]),
        # an epoch without validation says nothing of what was learned
        ([None, NOTHING, None, BOXES, None, NOTHING], [CHECK, NO_CHECK, CHECK, CHECK, CHECK, NO_IMPROVEMENT]),
    ],
)
def test_a_sequence_of_epochs(epochs, kinds):
    assert judged(epochs) == kinds
    assert judged(epochs, skip=False) == [CHECK] * len(epochs)


@pytest.mark.parametrize(
    ("value", "rule", "counts", "is_loss", "reason"),
    [
        (math.nan, {}, False, False, StoppingReason.NON_FINITE),
        (math.nan, {"check_finite": False}, False, False, StoppingReason.NOT_STOPPED),
        (9.0, {"divergence_threshold": 5.0}, False, True, StoppingReason.DIVERGENCE_THRESHOLD),
        (9.0, {"divergence_threshold": 5.0}, False, False, StoppingReason.NOT_STOPPED),
        (9.0, {"divergence_threshold": 5.0}, True, False, StoppingReason.DIVERGENCE_THRESHOLD),
        (0.0, {"stopping_threshold": 0.5}, False, True, StoppingReason.NOT_STOPPED),
        (0.0, {"stopping_threshold": 0.5}, True, True, StoppingReason.NOT_STOPPED),
        (0.0, {"patience": 1}, False, True, StoppingReason.NOT_STOPPED),
        (0.0, {"patience": 1}, True, True, StoppingReason.PATIENCE_EXHAUSTED),
        (None, {"patience": 1}, True, True, StoppingReason.PATIENCE_EXHAUSTED),
        (None, {}, False, True, StoppingReason.NOT_STOPPED),
    ],
)
def test_what_stops_in_an_epoch_that_detects_nothing(value, rule, counts, is_loss, reason):
    made = StopRule(**{"mode": "min", "patience": None, **rule})
    assert made.check_undetected(value, counts=counts, is_loss=is_loss).reason is reason
    assert made.best_score is None
