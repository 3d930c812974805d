"""Decide whether a guarded metric has dropped too far."""

from __future__ import annotations

import pytest

from yolo_callbacks.decisions.guard import Guarded, broken_guard


@pytest.mark.parametrize(
    ("value", "before", "mode", "broken"),
    [
        (0.50, 0.50, "max", False),
        (0.46, 0.50, "max", False),
        (0.44, 0.50, "max", True),
        (0.90, 0.50, "max", False),
        (1.04, 1.00, "min", False),
        (1.06, 1.00, "min", True),
        (None, 0.50, "max", True),
        (float("nan"), 0.50, "max", True),
        (0.10, None, "max", False),
        (0.10, float("nan"), "max", False),
        (None, None, "max", False),
    ],
)
def test_guard_decisions(value, before, mode, broken):
    reason = broken_guard({"m": Guarded(0.05, mode)}, {"m": value}, {"m": before})
    assert (reason is not None) == broken
