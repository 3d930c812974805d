"""Decide which layers are trained: by the number of epochs that are done, and by nothing else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from yolo_callbacks.decisions.layers import LayerSchedule, ModelParts, RateFactors

YOLO11 = ModelParts(count=24, backbone=11)
CLASSIFIER = ModelParts(count=3, backbone=2)
NAMELESS = ModelParts(count=4, backbone=None)


@pytest.mark.parametrize(
    ("given_schedule", "model", "expected"),
    [
        ({0: "head"}, YOLO11, {0: {23}, 99: {23}}),
        ({0: "head", 5: "neck", 10: "all"}, YOLO11, {4: {23}, 5: {*range(11, 24)}, 9: {*range(11, 24)}}),
        ({0: "head", 5: "neck", 10: "all"}, YOLO11, {10: {*range(24)}, 99: {*range(24)}}),
        ({0: "all", 3: "-backbone"}, YOLO11, {2: {*range(24)}, 3: {*range(11, 24)}}),
        ({0: ["head", "neck"], 2: ["backbone", "-0-3", 2]}, YOLO11, {0: {*range(11, 24)}, 2: {2, *range(4, 24)}}),
        ({7: "all", 0: "2"}, CLASSIFIER, {6: {2}, 7: {0, 1, 2}}),  # in any order
        ({0: " 1-2 ", 1: "- 2"}, NAMELESS, {0: {1, 2}, 1: {1}}),
        ({0: 3}, NAMELESS, {0: {3}}),
        ({0: "-head"}, YOLO11, {0: set()}),
    ],
)  # fmt: skip
def test_the_layers_after_so_many_epochs(given_schedule, model, expected):
    schedule = LayerSchedule(given_schedule)
    assert {done: schedule.trained(done, model) for done in expected} == expected


names = st.sampled_from(["backbone", "neck", "head", "all", "0-3", "12", "-head", "-neck", "-5-20"])
schedules = st.dictionaries(st.integers(1, 9), names | st.lists(names, min_size=1, max_size=3), max_size=4)


@examples(300)
@given(first=names, rest=schedules, done=st.integers(0, 12))
def test_a_layer_that_was_trained_before_is_one_that_was_trained_in_some_epoch(first, rest, done):
    schedule = LayerSchedule({0: first, **rest})
    stages = [schedule.trained(epoch, YOLO11) for epoch in range(done + 1)]
    assert schedule.trained_before(done, YOLO11) == frozenset().union(*stages)
    for epoch in range(1, done + 1):
        assert epoch in schedule.epochs or stages[epoch] == stages[epoch - 1]


@pytest.mark.parametrize(
    ("given_schedule", "error", "match"),
    [
        ("head", TypeError, "schedule must be a mapping such as {0: 'head', 5: 'all'}, received 'head'"),
        ({}, ValueError, "schedule must have an entry for 0"),
        ({5: "all"}, ValueError, "schedule must have an entry for 0, what is trained at first, received {5: 'all'}"),
        ({0: "head", "5": "all"}, TypeError, "schedule must have numbers of epochs as keys, received '5'"),
        ({0: "head", True: "all"}, TypeError, "numbers of epochs as keys, received True"),
        ({0: "head", -1: "all"}, ValueError, "numbers of epochs of at least 0, received -1"),
        ({0: "haed"}, ValueError, "schedule must name layers by 'backbone', 'neck', 'head', 'all', a layer"),
        ({0: "haed"}, ValueError, "received 'haed' for 0, did you mean 'head'?"),
        ({0: "Head"}, ValueError, "received 'Head' for 0, did you mean 'head'?"),
        ({0: []}, ValueError, "schedule must name layers"),
        ({0: "head", 5: ["neck", "9-3"]}, ValueError, "received '9-3' for 5"),
        ({0: -3}, ValueError, "received -3"),
        ({0: None}, TypeError, "schedule must name layers"),
        ({0: True}, TypeError, "received True"),
        ({0: 1.5}, TypeError, "received 1.5"),
        ({0: b"head"}, TypeError, "received b'head'"),
        ({0: "--head"}, ValueError, "received '-head'"),
    ],
)  # fmt: skip
def test_a_schedule_that_is_refused(given_schedule, error, match):
    with pytest.raises(error, match=re.escape(match)):
        LayerSchedule(given_schedule)


@pytest.mark.parametrize(
    ("name", "model", "match"),
    [
        ("neck", CLASSIFIER, "this model has no neck, it has backbone (0-1), head (2)"),
        ("head", NAMELESS, "this model has no head, it has layers 0-3, without names"),
        ("2-4", NAMELESS, "this model has no layer 4, its layers are 0-3"),
    ],
)
def test_layers_that_a_model_does_not_have(name, model, match):
    with pytest.raises(ValueError, match=re.escape(match)):
        LayerSchedule({0: name}).trained(0, model)
    with pytest.raises(ValueError, match=re.escape(match)):
        RateFactors({name: 0.5}).of_layers(LayerSchedule({0: "all"}), model)


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        (None, {}),
        (1.0, {}),
        (0.1, {0: 0.1, 1: 0.1}),
        ({}, {}),
        ({"backbone": 0.5}, {0: 0.5, 1: 0.5}),
        ({"all": 0.5, "head": 1, 0: 2}, {0: 2.0, 1: 0.5}),  # a later one replaces an earlier one
    ],
)
def test_the_factors_of_layers(factors, expected):
    assert RateFactors(factors).of_layers(LayerSchedule({0: "head", 4: "all"}), CLASSIFIER) == expected


@pytest.mark.parametrize(
    ("factors", "error", "match"),
    [
        (0, ValueError, "lr_scale must be finite and above 0, received 0"),
        (float("inf"), ValueError, "lr_scale must be finite and above 0, received inf"),
        (float("nan"), ValueError, "received nan"),
        ("0.1", TypeError, "lr_scale must be a number, received '0.1'"),
        (True, TypeError, "received True"),
        ({"head": "1"}, TypeError, "lr_scale must be a number, received '1' for 'head'"),
        ({"head": -1}, ValueError, "lr_scale must be finite and above 0, received -1 for 'head'"),
        ({"-head": 0.5}, ValueError, "lr_scale must name layers"),
        ({None: 0.5}, TypeError, "lr_scale must name layers"),
    ],
)
def test_factors_that_are_refused(factors, error, match):
    with pytest.raises(error, match=re.escape(match)):
        RateFactors(factors)


@pytest.mark.parametrize(
    ("layers", "model", "words"),
    [
        (range(24), YOLO11, "all layers"),
        ([23], YOLO11, "head"),
        (range(11, 24), YOLO11, "neck, head"),
        ([*range(11), 13, 14, 15, 17], YOLO11, "backbone, layers 13-15, 17"),
        ([0], CLASSIFIER, "layer 0"),
        ([], CLASSIFIER, "no layer"),
        ([1, 2], NAMELESS, "layers 1-2"),
    ],
)
def test_layers_in_words(layers, model, words):
    assert model.describe(layers) == words
