"""Decide when the validation loss has diverged from the training loss."""

from __future__ import annotations

import pytest

from yolo_callbacks.decisions.overfit import OverfitRule


@pytest.mark.parametrize(
    ("pairs", "ratio", "patience", "stopped"),
    [
        ([(1, 1), (2, 1), (2, 1), (2, 1)], 1.5, 2, 3),
        ([(1, 1), (2, 1), (1, 1), (2, 1), (2, 1)], 1.5, 2, 5),
        ([(1.5, 1), (1.5, 1)], 1.5, 1, 0),
        ([(2, 1), (float("nan"), 1), (2, 1)], 1.5, 2, 3),
        ([(2, 1), (2, float("inf")), (2, 1)], 1.5, 2, 3),
        ([(1, 0), (0, 0)], 2.0, 1, 1),
    ],
)
def test_when_validation_has_parted_from_training(pairs, ratio, patience, stopped):
    rule = OverfitRule(ratio, patience)
    stops = [epoch for epoch, pair in enumerate(pairs, start=1) if rule.check(*pair).stop]
    assert (stops or [0])[0] == stopped
