"""Decide when to stop a training: patience, thresholds, values that are not finite."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from yolo_callbacks.decisions.stopping import StoppingReason, StopRule

NAN, INF = math.nan, math.inf


def stopped_by(rule, values):
    """The first check that stops, counted from 1, and its decision; None where none does."""
    for epoch, value in enumerate(values, 1):
        decision = rule.check(epoch, value)
        assert decision.stop is (decision.reason is not StoppingReason.NOT_STOPPED)
        if decision.stop:
            return epoch, decision
        assert decision.message == ""
    return None, None


EXHAUSTED, GOAL = StoppingReason.PATIENCE_EXHAUSTED, StoppingReason.STOPPING_THRESHOLD
DIVERGED, NON_FINITE = StoppingReason.DIVERGENCE_THRESHOLD, StoppingReason.NON_FINITE


@pytest.mark.parametrize(
    ("mode", "options", "values", "check", "reason"),
    [
        # Lightning's own scenarios; what it counts from 0 is counted from 1 here
        ("min", {"patience": 3}, [6, 5, 5, 5, 5, 5], 5, EXHAUSTED),
        ("min", {"patience": 1}, [6, 5, 4, 4, 3, 3], 4, EXHAUSTED),
        ("min", {"patience": 3}, [6, 5, 6, 5, 5, 5], 5, EXHAUSTED),
        ("min", {"patience": 3}, [8, 4, 2, 3, 4, 5, 8, 10], 6, EXHAUSTED),
        ("min", {"patience": 3, "stopping_threshold": 2.9}, [9, 8, 7, 6, 5, 6, 4, 3, 2, 1], 9, GOAL),
        ("min", {"patience": 3, "divergence_threshold": 15.9}, [9, 4, 2, 16, 32, 64], 4, DIVERGED),
        ("min", {"patience": 3}, [4, 3, INF, 2, 1], 3, NON_FINITE),
        ("min", {"patience": 3}, [4, 3, NAN, 2, 1], 3, NON_FINITE),
        # patience
        ("max", {"patience": 2}, [1, 2, 2, 2], 4, EXHAUSTED),
        ("max", {"patience": 2}, [3, 2, 4, 3, 5, 4, 3], 7, EXHAUSTED),
        ("max", {"patience": 2}, [3, 2, 4, 3, 5, 4], None, None),
        ("max", {"patience": None}, [1.0] * 500, None, None),
        ("min", {"patience": None}, list(range(500)), None, None),
        # min_delta: steps too small do not count and do not move the best, but add up
        ("max", {"patience": 2, "min_delta": 1.0}, [1, 1.5, 2, 2.5], 3, EXHAUSTED),
        ("max", {"patience": 3, "min_delta": 1.0}, [1, 1.5, 2, 2.5, 3, 3.5], None, None),
        ("max", {"patience": 3, "min_delta": 1.0}, [1, 1.5, 2, 2.5, 3, 3.5, 3.5], 7, EXHAUSTED),
        ("min", {"patience": 2, "min_delta": 0.5}, [4, 3.5, 3, 2.5, 2.0], None, None),
        ("min", {"patience": 2, "min_delta": 0.5}, [4, 3.5, 3, 2.5, 2.5], 5, EXHAUSTED),
        # thresholds: strictly past them, in both modes
        ("max", {"patience": None, "stopping_threshold": 0.9}, [0.5, 0.9, 0.8], None, None),
        ("max", {"patience": None, "stopping_threshold": 0.9}, [0.5, 0.9, 0.95], 3, GOAL),
        ("min", {"patience": None, "stopping_threshold": 0.1}, [0.5, 0.1, 0.2], None, None),
        ("min", {"patience": None, "stopping_threshold": 0.1}, [0.5, 0.1, 0.05], 3, GOAL),
        ("max", {"patience": None, "divergence_threshold": 0.2}, [0.5, 0.2, 0.3], None, None),
        ("max", {"patience": None, "divergence_threshold": 0.2}, [0.5, 0.2, 0.1], 3, DIVERGED),
        ("min", {"patience": None, "divergence_threshold": 9.0}, [5, 9, 8], None, None),
        ("min", {"patience": None, "divergence_threshold": 9.0}, [5, 9, 10], 3, DIVERGED),
        # a threshold of zero is one; the first check may be past it; min_delta has no part in it
        ("min", {"patience": None, "stopping_threshold": 0.0}, [1.0, -0.5], 2, GOAL),
        ("max", {"patience": None, "divergence_threshold": 0.0}, [0.5, -0.5], 2, DIVERGED),
        ("min", {"patience": None, "divergence_threshold": 9.0}, [10], 1, DIVERGED),
        ("max", {"patience": None, "min_delta": 0.5, "stopping_threshold": 0.5}, [0.6], 1, GOAL),
        # values that are no numbers
        ("max", {"patience": None}, [-INF], 1, NON_FINITE),
        ("max", {"patience": None, "check_finite": False}, [0.1, NAN, INF, -INF], None, None),
        ("max", {"patience": 2, "check_finite": False}, [0.5, NAN, INF], 3, EXHAUSTED),
        ("min", {"patience": 2, "check_finite": False}, [NAN, -INF], 2, EXHAUSTED),
        ("min", {"patience": 3, "check_finite": False}, [3, NAN, 2, NAN, 1, NAN], None, None),
        ("min", {"patience": None, "check_finite": False, "divergence_threshold": 9.0}, [5, NAN, INF], 3, DIVERGED),
        ("max", {"patience": None, "check_finite": False, "divergence_threshold": 0.1}, [0.5, -INF], 2, DIVERGED),
        ("min", {"patience": None, "check_finite": False, "stopping_threshold": 1.0}, [5, -INF], None, None),
        ("max", {"patience": None, "check_finite": False, "stopping_threshold": 1.0}, [0.5, INF], None, None),
        # which reason goes first where several hold
        ("min", {"patience": 1, "divergence_threshold": 9.0}, [5, INF], 2, NON_FINITE),
        ("min", {"patience": 1, "stopping_threshold": 6.0, "best_score": 1.0, "best_epoch": 1}, [5], 1, GOAL),
        ("min", {"patience": 1, "divergence_threshold": 9.0}, [5, 10], 2, DIVERGED),
        ("min", {"patience": 1, "stopping_threshold": 6.0, "divergence_threshold": 4.0}, [5], 1, GOAL),
    ],
)
def test_stop_rule(mode, options, values, check, reason):
    found, decision = stopped_by(StopRule(mode, **options), values)
    assert found == check
    if check is not None:
        assert decision.reason is reason


@pytest.mark.parametrize(
    ("options", "values", "message"),
    [
        ({"patience": 3}, [6, 5, 5, 5, 5], "no improvement in 3 checks (best 5 at epoch 2)"),
        ({"patience": 2, "check_finite": False}, [NAN, INF], "no improvement in 2 checks (no finite value yet)"),
        ({"patience": 9, "stopping_threshold": 0.25}, [1, 0.125], "the value 0.125 is better than 0.25"),
        ({"patience": 9, "divergence_threshold": 9.5}, [1, 10], "the value 10 is worse than 9.5"),
        ({"patience": 9, "divergence_threshold": 9, "check_finite": False}, [INF], "the value inf is worse than 9"),
        ({"patience": 9}, [1, NAN], "the value nan is not finite"),
        ({"patience": 9}, [1, -INF], "the value -inf is not finite"),
    ],
)
def test_stop_message(options, values, message):
    _, decision = stopped_by(StopRule("min", **options), values)
    assert decision.message == message


@pytest.mark.parametrize(
    ("options", "values", "best_score", "best_epoch", "wait"),
    [
        ({}, [], None, 0, 0),
        ({}, [6, 5, 5, 5], 5, 2, 2),
        ({}, [6, 5, 5, 5, 4], 4, 5, 0),
        ({}, [5, 7, NAN], 5, 1, 1),  # the check that stops the training is not counted
        ({"check_finite": False}, [5, 7, NAN, INF], 5, 1, 3),
        ({"check_finite": False}, [NAN, INF], None, 0, 2),
        ({"stopping_threshold": 3.0}, [5, 2], 2, 2, 0),  # the value that reaches the goal is the best
        ({"divergence_threshold": 9.0}, [5, 10], 5, 1, 1),
        ({"best_score": 3.0, "best_epoch": 7, "wait_count": 4}, [], 3.0, 7, 4),
        ({"best_score": 3.0, "best_epoch": 7, "wait_count": 4}, [3.0], 3.0, 7, 5),
        ({"best_score": 3.0, "best_epoch": 7, "wait_count": 4}, [2.0], 2.0, 1, 0),
    ],
)
def test_stop_rule_state(options, values, best_score, best_epoch, wait):
    rule = StopRule("min", None, **options)
    for epoch, value in enumerate(values, 1):
        rule.check(epoch, value)
    assert (rule.best_score, rule.best_epoch, rule.wait_count) == (best_score, best_epoch, wait)


def test_stop_rule_goes_on_from_a_state_as_if_never_interrupted():
    values = [6, 5, 5, 4, 4, 4, 4, 4]
    for cut in range(6):
        first = StopRule("min", 3)
        assert stopped_by(first, values[:cut]) == (None, None)
        second = StopRule("min", 3)
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        stops = [second.check(epoch, value).stop for epoch, value in enumerate(values[cut:], cut + 1)]
        assert stops.index(True) + cut + 1 == 7
        assert second.best_epoch == 4


@pytest.mark.parametrize(
    "value",
    ["not_stopped", "patience_exhausted", "stopping_threshold", "divergence_threshold", "non_finite"],
)
def test_a_reason_in_a_file_is_read_for_ever(value):
    assert StoppingReason(value).value == value
    assert StoppingReason(value) is StoppingReason[value.upper()]


def patience_model(values, mode, patience, min_delta, check_finite):
    """Patience in a plain loop: the check that stops (None if none does), best score, best epoch, wait."""
    best_score, best_epoch, wait = None, 0, 0
    for epoch, value in enumerate(values, 1):
        usable = not (math.isnan(value) or math.isinf(value))
        if check_finite and not usable:
            return epoch, best_score, best_epoch, wait
        gain = 0 if not usable or best_score is None else value - best_score if mode == "max" else best_score - value
        wait += 1
        if usable and (best_score is None or gain > min_delta):
            best_score, best_epoch, wait = value, epoch, 0
        if patience is not None and wait == patience:
            return epoch, best_score, best_epoch, wait
    return None, best_score, best_epoch, wait


# Quarters, so that no difference is rounded and ties are common. A byte draws one of these; 3 of 32 are no numbers.
VALUES = [*(step / 4 for step in range(-4, 25)), NAN, INF, -INF]
SEQUENCES = st.binary(max_size=30).map(lambda drawn: [VALUES[byte % len(VALUES)] for byte in drawn])
MODES = st.sampled_from(["min", "max"])


@examples(3_000)
@given(SEQUENCES, MODES, st.sampled_from([None, 1, 2, 3, 5, 8]), st.sampled_from([0.0, 0.25, 1.0]), st.booleans())
def test_stop_rule_against_a_model(values, mode, patience, min_delta, check_finite):
    rule = StopRule(mode, patience, min_delta=min_delta, check_finite=check_finite)
    check, _ = stopped_by(rule, values)
    expected = patience_model(values, mode, patience, min_delta, check_finite)
    assert (check, rule.best_score, rule.best_epoch, rule.wait_count) == expected
