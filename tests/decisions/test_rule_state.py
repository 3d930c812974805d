"""The state of the decision rules: plain JSON, from which a rule goes on."""

from __future__ import annotations

import json

import pytest

from yolo_callbacks.decisions.overfit import OverfitRule
from yolo_callbacks.decisions.plateau import PlateauRule
from yolo_callbacks.decisions.ranking import Ranking
from yolo_callbacks.decisions.stopping import StopRule
from yolo_callbacks.decisions.untrained import UntrainedRule


def passed(rule):
    """A rule after some checks."""
    for epoch, value in enumerate([6, 5, 5, 5], 1):
        if isinstance(rule, OverfitRule):
            rule.check(value, 1)
        elif isinstance(rule, Ranking):
            rule.add(epoch, value, evicted=None if epoch < 3 else epoch - 1)
        elif isinstance(rule, UntrainedRule):
            rule.judge({"metrics/mAP50(B)": value}, validated=True, affected=True)
        else:
            rule.check(epoch, value)
    return rule


RULES = [
    (lambda: StopRule("min", 9), {"best_score": 5, "best_epoch": 2, "wait": 2}),
    (lambda: PlateauRule("min", 0, cooldown=3), {"best_score": 5, "best_epoch": 2, "wait": 0, "resting": 2}),
    (lambda: OverfitRule(1.5, 9), {"wait": 4}),
    (lambda: Ranking("min", top_k=2), {"kept": [[4, 5], [1, 6]]}),
    (UntrainedRule, {"learned": True}),
]


@pytest.mark.parametrize(("make", "state"), RULES)
def test_a_rule_gives_its_state_as_json_and_goes_on_from_it(make, state):
    rule, restored = passed(make()), make()
    assert rule != restored
    assert rule.state_dict() == state
    restored.load_state_dict(json.loads(json.dumps(rule.state_dict())))
    assert restored == rule
    assert passed(restored) == passed(rule)


@pytest.mark.parametrize("make", [make for make, _ in RULES[:3]])
def test_patience_starts_again_and_the_best_value_stays(make):
    rule = make()
    rule.load_state_dict({"best_score": 5.0, "best_epoch": 2, "wait": 3, "resting": 1})
    rule.restart_patience()
    assert rule.wait_count == 0
    assert {"best_score": 5.0, "best_epoch": 2, "resting": 1}.items() & rule.state_dict().items() == {
        key: value for key, value in rule.state_dict().items() if key != "wait"
    }.items()


def test_a_cooldown_that_is_shorter_now_is_not_exceeded():
    rule = PlateauRule("min", 0, cooldown=1)
    rule.load_state_dict({"best_score": 5.0, "best_epoch": 2, "wait": 0, "resting": 7})
    assert rule.cooldown_left == 1
