"""The rules that compare an export with its checkpoint: on arrays and numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from yolo_callbacks.decisions.export_proof import (
    DEFAULT_TOLERANCES,
    TOLERANCES,
    Agreement,
    OutputDifference,
    confidence_to_compare,
    exceeded,
    iou_of_boxes,
)

FP32 = DEFAULT_TOLERANCES["fp32"]


def outputs(scale: float = 1.0) -> np.ndarray:
    """One image with 2 channels of coordinates up to 640, and 1 of scores up to 0.5."""
    rng = np.random.default_rng(0)
    values = rng.random((1, 3, 50)).astype(np.float32)
    values[:, :2] *= 640
    values[:, 2] *= 0.5 * scale
    return values


def test_equal_outputs_do_not_differ():
    difference = OutputDifference()
    assert difference.add([outputs()], [outputs()]) == ""
    assert difference.add([outputs()], [outputs()]) == ""
    zeros = {"max_abs": 0.0, "mean_abs": 0.0, "max_rel": 0.0, "mean_rel": 0.0}
    assert difference.figures() == {"images": 2, **zeros}


def test_a_wrong_class_shows_beside_coordinates_that_are_a_thousand_times_as_large():
    difference = OutputDifference()
    difference.add([outputs()], [outputs(scale=1.1)])
    figures = difference.figures()
    assert figures["max_rel"] == pytest.approx(0.1, rel=1e-3)
    assert figures["mean_rel"] == pytest.approx(0.1 / 3, rel=1e-3)
    assert figures["max_abs"] < 0.06
    assert exceeded({"outputs": figures}, FP32) == ["outputs differ by 0.1 (tolerance 0.001)"]


def test_the_rounding_of_scores_near_zero_is_no_difference():
    difference = OutputDifference()
    left, right = outputs(), outputs()
    left[:, 2], right[:, 2] = 1e-6, 1.1e-6
    difference.add([left], [right])
    assert difference.figures()["max_rel"] == pytest.approx(1e-4, rel=1e-2)
    assert exceeded({"outputs": difference.figures()}, FP32) == []


def test_each_output_of_a_model_counts():
    difference = OutputDifference()
    difference.add([outputs(), outputs()], [outputs(), 2 * outputs()])
    assert difference.figures()["max_rel"] == pytest.approx(1.0)


def test_outputs_of_other_shapes_are_not_compared():
    difference = OutputDifference()
    assert "(1, 3, 50)" in difference.add([outputs()], [outputs()[:, :2]])
    assert difference.figures() is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_exceeds_every_tolerance(value):
    wrong = outputs()
    wrong[0, 0, 0] = value
    difference = OutputDifference()
    difference.add([outputs()], [wrong])
    assert exceeded({"outputs": difference.figures()}, dict.fromkeys(TOLERANCES, 1e9))


def agreement(left: list[tuple[int, float]], right: list[tuple[int, float]], similarity: float = 1.0) -> Agreement:
    """The agreement of predictions, given as class and confidence, of which the i-th ones are similar."""
    found = Agreement(0.25)
    table = np.eye(len(left), len(right)) * similarity
    found.add(
        table,
        tuple(np.array([each[0] for each in side], dtype=int) for side in (left, right)),
        tuple(np.array([each[1] for each in side], dtype=float) for side in (left, right)),
    )
    return found


SOME = [(0, 0.9), (1, 0.8), (1, 0.3)]


@pytest.mark.parametrize(
    ("right", "similarity", "matched"),
    [
        (SOME, 1.0, 1.0),
        (SOME, 0.9, 1.0),
        (SOME, 0.89, 0.0),
        ([(0, 0.9), (2, 0.8), (1, 0.3)], 1.0, 2 / 3),  # another class
        ([(0, 0.9), (1, 0.8)], 1.0, 2 / 3),  # one is missing
        ([*SOME, (2, 0.9)], 1.0, 3 / 4),  # one too many
        ([(0, 0.9), (1, 0.8), (1, 0.24)], 1.0, 1.0),  # just below the confidence
        ([(0, 0.9), (1, 0.8), (1, 0.1)], 1.0, 2 / 3),
        ([], 1.0, 0.0),
    ],
)
def test_the_share_of_predictions_with_a_partner(right, similarity, matched):
    assert agreement(SOME, right, similarity).figures()["matched"] == pytest.approx(matched)


def test_a_partner_has_one_partner():
    found = Agreement(0.25)
    twice = np.array([0, 0]), np.array([0.9, 0.9])
    found.add(np.ones((1, 2)), (np.array([0]), twice[0]), (np.array([0.9]), twice[1]))
    assert found.figures()["matched"] == 0.5


def test_partners_just_below_the_confidence_are_counted_too():
    left = [(0, 0.9), (1, 0.2500001), (0, 0.2499999), (0, 0.1)]  # what the rounding of scores does at the limit
    figures = agreement(left, [(0, 0.9), (1, 0.2499999), (0, 0.2500001), (0, 0.1)]).figures()
    assert (figures["checkpoint"], figures["export"], figures["matched"]) == (3, 3, 1.0)
    figures = agreement(left, [(0, 0.9), (1, 0.2499999), (1, 0.2500001)]).figures()
    assert (figures["checkpoint"], figures["export"], figures["matched"]) == (2, 3, pytest.approx(2 / 3))


def test_the_scores_of_partners():
    figures = agreement(SOME, [(0, 0.8), (1, 0.8), (1, 0.3)]).figures()
    assert (figures["score_max"], figures["score_mean"]) == (pytest.approx(0.1), pytest.approx(0.1 / 3))


def test_no_predictions_are_no_agreement():
    assert agreement([(0, 0.1)], [(0, 0.1)]).figures() is None


def test_the_class_of_a_whole_image_counts_with_any_confidence():
    found = Agreement(0.25)
    found.add(np.ones((1, 1)), (np.array([3]), np.array([3])), (np.array([0.1]), np.array([0.1])), whole=True)
    found.add(np.ones((1, 1)), (np.array([3]), np.array([2])), (np.array([0.1]), np.array([0.1])), whole=True)
    assert found.figures()["matched"] == 0.5


@pytest.mark.parametrize(
    ("confidences", "expected"),
    [([], 0.25), ([0.9] * 300, 0.25), ([0.9, 0.02], 0.02), ([*[0.9] * 60, *[0.1] * 40, *[0.02] * 9], 0.1)],
)
def test_the_confidence_to_compare(confidences, expected):
    assert confidence_to_compare(confidences) == expected


def test_iou():
    boxes = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 5, 5]], dtype=float)
    assert iou_of_boxes(boxes, boxes) == pytest.approx(np.array([[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 0]]))


GOOD = {
    "outputs": {"max_rel": 0.0},
    "boxes": {"matched": 1.0, "score_max": 0.0},
    "mAP": {"metric": "mAP50-95", "checkpoint": 0.5, "export": 0.5},
}


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (GOOD, []),
        ({**GOOD, "boxes": {"matched": 0.5, "score_max": 0.0}}, ["0.5 of the predictions differ"]),
        ({**GOOD, "boxes": {"matched": 1.0, "score_max": 0.3}}, ["a score differs by 0.3"]),
        ({**GOOD, "mAP": {**GOOD["mAP"], "export": 0.4}}, ["mAP50-95 is 0.4 instead of 0.5 (tolerance 0.005)"]),
        ({**GOOD, "mAP": {**GOOD["mAP"], "export": 0.6}}, []),  # no export is refused for being better
        ({**GOOD, "mAP": {**GOOD["mAP"], "export": math.nan}}, ["mAP50-95 is nan"]),
        ({**GOOD, "outputs": None, "mAP": None}, []),
    ],
)
def test_what_exceeds_its_tolerance(figures, words):
    found = exceeded(figures, FP32)
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))


def test_every_precision_has_every_tolerance():
    for tolerances in DEFAULT_TOLERANCES.values():
        assert tuple(tolerances) == TOLERANCES
