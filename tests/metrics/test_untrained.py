"""Decide which monitors have no meaning in an epoch that detects nothing."""

from __future__ import annotations

import pytest

from yolo_callbacks.decisions.untrained import EpochKind, UntrainedRule
from yolo_callbacks.metrics.epoch_record import EpochRecord, MetricNames
from yolo_callbacks.metrics.monitor import Monitor

CHECK, NO_IMPROVEMENT, NO_CHECK = EpochKind.CHECK, EpochKind.NO_IMPROVEMENT, EpochKind.NO_CHECK
BOX, MASK, POSE = ("metrics/mAP50(B)", "metrics/mAP50-95(B)"), ("metrics/mAP50-95(M)",), ("metrics/mAP50-95(P)",)


NOTHING, BOXES = dict.fromkeys((*BOX, *MASK), 0.0), dict.fromkeys(MASK, 0.0) | dict.fromkeys(BOX, 0.1)


def test_a_monitor_that_does_not_measure_detection_is_never_skipped():
    rule = UntrainedRule()
    assert rule.judge(NOTHING, validated=True, affected=False) is CHECK
    assert not rule.learned
    # what others see is what was learned, whichever monitor asks
    rule.judge(BOXES, validated=True, affected=False)
    assert rule.judge(NOTHING, validated=True, affected=True) is NO_IMPROVEMENT


LOSSES = ("box_loss", "cls_loss")
KEYS = ("metrics/recall(B)", *BOX, *MASK, "metrics/f1", "lr/pg0")
METRIC_NAMES = MetricNames("segment", KEYS, LOSSES, {0: "cat", 1: "dog"})


def epoch(**others: float) -> EpochRecord:
    values = dict.fromkeys((*KEYS, "val/box_loss", "val/cls_loss", "train/box_loss", "train/cls_loss"), 0.0)
    per_class = {name.removeprefix("metrics/"): {0: 0.0} for name in KEYS if name.startswith("metrics/m")}
    return EpochRecord(epoch=1, epochs=3, metrics={**values, "fitness": 0.0, **others}, per_class=per_class)


@pytest.mark.parametrize(
    ("monitor", "mode", "measures"),
    [
        ("mAP50", "max", True),
        ("recall", "max", True),
        ("mAP50-95(M)", "max", True),
        ("metrics/mAP50(B)", "max", True),
        ("mAP50/cat", "max", True),
        ("min(mAP50-95)", "max", True),
        ("val/box_loss", "min", True),
        ("val/loss", "min", True),
        ({"mAP50": 0.1, "mAP50-95": 0.9}, "max", True),
        ({"mAP50": 1.0, "train/box_loss": -0.1}, "max", True),
        ({"mAP50": 0.0, "train/box_loss": 1.0}, "min", False),
        ("fitness", "max", True),
        ("metrics/f1", "max", False),
        ("train/box_loss", "min", False),
        ("train/loss", "min", False),
        ("lr/pg0", "min", False),
        (lambda metrics: metrics["metrics/mAP50(B)"], "max", False),
    ],
)
def test_which_monitors_measure_detection(monitor, mode, measures):
    bound = Monitor(monitor, mode)
    assert bound.bind(METRIC_NAMES)
    assert bound.measures_detection(epoch()) is measures


def test_a_fitness_of_the_users_own_measures_something_else():
    bound = Monitor("fitness")
    assert bound.bind(METRIC_NAMES)
    assert not bound.measures_detection(epoch(fitness=-1.5))
