"""Decide which epochs are among the best k."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from yolo_callbacks.decisions.ranking import Ranking

NAN, INF = math.nan, math.inf


# Quarters, so that no difference is rounded and ties are common. A byte draws one of these; 3 of 32 are no numbers.
VALUES = [*(step / 4 for step in range(-4, 25)), NAN, INF, -INF]
SEQUENCES = st.binary(max_size=30).map(lambda drawn: [VALUES[byte % len(VALUES)] for byte in drawn])
MODES = st.sampled_from(["min", "max"])


def ranked(values, mode="max", top_k=1, min_delta=0.0):
    """A ranking that was fed the values, and what it decided on each."""
    ranking, decisions = Ranking(mode, top_k, min_delta), []
    for epoch, value in enumerate(values, 1):
        decision = ranking.consider(epoch, value)
        decisions.append(decision)
        if decision.keep:
            ranking.add(epoch, value, evicted=decision.evicted)
    return ranking, decisions


@pytest.mark.parametrize(
    ("options", "values", "kept", "evicted"),
    [
        # the values kept, best first, and who went in which epoch
        ({}, [], {}, {}),
        ({}, [0.5], {1: 0.5}, {}),
        ({}, [0.5, 0.7, 0.6], {2: 0.7}, {2: 1}),
        ({"mode": "min"}, [0.5, 0.7, 0.4], {3: 0.4}, {3: 1}),
        # ties keep the earlier epoch
        ({}, [0.5, 0.5, 0.5], {1: 0.5}, {}),
        ({"mode": "min"}, [0.5, 0.5], {1: 0.5}, {}),
        ({"top_k": 2}, [0.5, 0.5, 0.5], {1: 0.5, 2: 0.5}, {}),
        ({"top_k": 2}, [0.5, 0.5, 0.6], {3: 0.6, 1: 0.5}, {3: 2}),
        ({"top_k": 2, "mode": "min"}, [0.5, 0.5, 0.4], {3: 0.4, 1: 0.5}, {3: 2}),
        # while there is room everything finite enters
        ({"top_k": 3}, [0.3, 0.1, 0.2], {1: 0.3, 3: 0.2, 2: 0.1}, {}),
        ({"top_k": 3, "mode": "min"}, [0.3, 0.1, 0.2], {2: 0.1, 3: 0.2, 1: 0.3}, {}),
        ({"top_k": 3}, [0.3, 0.1, 0.2, 0.15, 0.4], {5: 0.4, 1: 0.3, 3: 0.2}, {4: 2, 5: 4}),
        ({"top_k": 5}, [0.3, NAN, 0.1], {1: 0.3, 3: 0.1}, {}),
        # by more than min_delta
        ({"min_delta": 0.25}, [0.5, 0.75], {1: 0.5}, {}),
        ({"min_delta": 0.25}, [0.5, 0.8], {2: 0.8}, {2: 1}),
        ({"min_delta": 0.25, "mode": "min"}, [0.5, 0.25, 0.2], {3: 0.2}, {3: 1}),
        ({"min_delta": 0.25, "top_k": 2}, [0.5, 0.6, 0.7, 0.8], {4: 0.8, 2: 0.6}, {4: 1}),
        # no numbers
        ({}, [NAN, INF, -INF], {}, {}),
        ({"mode": "min"}, [NAN, INF, -INF], {}, {}),
        ({}, [0.5, NAN, INF, 0.6], {4: 0.6}, {4: 1}),
        ({"mode": "min"}, [0.5, NAN, -INF, 0.4], {4: 0.4}, {4: 1}),
    ],
)
def test_ranking(options, values, kept, evicted):
    ranking, decisions = ranked(values, **options)
    assert list(ranking.kept.items()) == list(kept.items())
    assert {epoch: each.evicted for epoch, each in enumerate(decisions, 1) if each.evicted is not None} == evicted


@pytest.mark.parametrize(
    ("top_k", "value", "keep", "evicted", "reason"),
    [
        (3, 0.1, True, None, "0.1 is among the first 3"),
        (3, NAN, False, None, "nan is not finite"),
        (2, 0.7, True, 1, "0.7 is better than 0.5 of epoch 1"),
        (2, 0.5, False, None, "0.5 is not better than 0.5 of epoch 1"),
        (2, NAN, False, None, "nan is not better than 0.5 of epoch 1"),
        (2, INF, False, None, "inf is not better than 0.5 of epoch 1"),
    ],
)
def test_consider_decides_and_changes_nothing(top_k, value, keep, evicted, reason):
    ranking, _ = ranked([0.5, 0.6], top_k=top_k)
    decision = ranking.consider(3, value)
    assert (decision.keep, decision.evicted, decision.reason) == (keep, evicted, reason)
    assert ranking == Ranking("max", top_k, 0.0, {2: 0.6, 1: 0.5})
    assert ranking.consider(3, value) == decision


@examples(2_000)
@given(SEQUENCES, MODES, st.integers(1, 5))
def test_ranking_keeps_the_best_so_far(values, mode, top_k):
    ranking, kept = Ranking(mode, top_k), set()
    for epoch, value in enumerate(values, 1):
        decision = ranking.consider(epoch, value)
        if decision.keep:
            ranking.add(epoch, value, evicted=decision.evicted)
        finite = [(number, seen) for number, seen in enumerate(values[:epoch], 1) if math.isfinite(seen)]
        # `sorted` is stable: of equal values the earlier epoch stands first, in reverse order too
        best = sorted(finite, key=lambda item: item[1], reverse=mode == "max")[:top_k]
        assert list(ranking.kept.items()) == best
        before, kept = kept, {number for number, _ in best}
        assert decision.keep is (epoch in kept)
        assert {decision.evicted} - {None} == before - kept
