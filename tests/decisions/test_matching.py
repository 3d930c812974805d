"""Predictions and objects of an image: who matches whom, what is counted, which labels are suspected."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from yolo_callbacks.decisions.matching import Counts, Matches, confusions, match, suspects


def matches(similarity, labels, classes, confidences, iou=0.5):
    return match(np.array(similarity, float), np.array(labels), np.array(classes), np.array(confidences, float), iou)


@pytest.mark.parametrize(
    ("similarity", "labels", "classes", "confidences", "expected"),
    [
        pytest.param([[0.9]], [1], [1], [0.8], [0], id="one"),
        pytest.param([[0.9]], [1], [2], [0.8], [-1], id="another class"),
        pytest.param([[0.49]], [1], [1], [0.8], [-1], id="too far"),
        pytest.param([[0.5]], [1], [1], [0.8], [0], id="at the limit"),
        pytest.param([[0.6, 0.9]], [1], [1, 1], [0.9, 0.8], [0, -1], id="the more confident one, not the nearer"),
        pytest.param([[0.6, 0.9]], [1], [1, 1], [0.8, 0.9], [-1, 0], id="in any order"),
        pytest.param([[0.6], [0.9]], [1, 1], [1], [0.9], [1], id="the nearer object"),
        pytest.param([[0.9, 0.8], [0.6, 0.1]], [1, 1], [1, 1], [0.5, 0.9], [1, 0], id="what is left"),
    ],
)
def test_who_matches_whom(similarity, labels, classes, confidences, expected):
    assert matches(similarity, labels, classes, confidences).matched.tolist() == expected


@pytest.mark.parametrize(
    ("confidence", "expected"),
    [
        (0.0, Counts(2, 2, 1)),
        (0.3, Counts(1, 2, 2)),
        (0.5, Counts(1, 1, 2)),
        (0.91, Counts(0, 0, 3)),
        (None, Counts(0, 0, 3)),
    ],
)
def test_counts_at_a_confidence(confidence, expected):
    found = Matches(3, np.array([0.9, 0.5, 0.3, 0.1]), np.array([0, -1, -1, 2]))
    assert found.counts(confidence) == expected


@pytest.mark.parametrize(
    ("counts", "f1"), [(Counts(3, 1, 0), 6 / 7), (Counts(0, 0, 0), 1.0), (Counts(0, 1, 0), 0.0), (Counts(0, 0, 2), 0.0)]
)
def test_f1(counts, f1):
    assert counts.f1 == pytest.approx(f1)


def reference(similarity, labels, classes, confidences, iou):
    """The loops of pycocotools' `evaluateImg`, without crowds and areas."""
    taken, matched = set(), {}
    for column in sorted(range(len(classes)), key=lambda column: -confidences[column]):
        best, at = iou, -1
        for row in range(len(labels)):
            if row in taken or labels[row] != classes[column] or similarity[row][column] < best:
                continue
            if at < 0 or similarity[row][column] > best:
                best, at = similarity[row][column], row
        if at >= 0:
            taken.add(at)
        matched[column] = at
    return [matched[column] for column in range(len(classes))]


@given(st.data())
def test_as_cocos_own_loops(data):
    objects, predictions = data.draw(st.integers(0, 5)), data.draw(st.integers(0, 6))
    similarity = data.draw(arrays(float, (objects, predictions), elements=st.sampled_from([0.0, 0.2, 0.5, 0.7, 0.9])))
    labels = data.draw(arrays(int, objects, elements=st.integers(0, 1)))
    classes = data.draw(arrays(int, predictions, elements=st.integers(0, 1)))
    confidences = data.draw(arrays(float, predictions, elements=st.sampled_from([0.1, 0.2, 0.5, 0.8])))
    found = match(similarity, labels, classes, confidences, 0.5)
    assert found.matched.tolist() == reference(similarity, labels, classes, confidences, 0.5)
    for confidence in (0.0, 0.2, 0.6):  # those above a confidence do not depend on those below
        chosen = confidences >= confidence
        alone = match(similarity[:, chosen], labels, classes[chosen], confidences[chosen], 0.5)
        assert alone.matched.tolist() == found.matched[chosen].tolist()
        counts = found.counts(confidence)
        assert counts.tp + counts.fp == chosen.sum()
        assert counts.tp + counts.fn == objects


@pytest.mark.parametrize(
    ("similarity", "labels", "classes", "confidences", "expected"),
    [
        pytest.param([[0.9]], [1], [1], [0.9], [], id="right"),
        pytest.param(np.zeros((0, 1)), [], [1], [0.9], [("overlooked", 0, None)], id="no label at all"),
        pytest.param([[0.0, 0.9]], [1], [1, 1], [0.8, 0.9], [("overlooked", 0, None)], id="no label there"),
        pytest.param([[0.3]], [1], [1], [0.9], [("badly located", 0, 0)], id="near"),
        pytest.param([[0.8]], [1], [2], [0.9], [("swapped", 0, 0)], id="another class"),
        pytest.param([[0.3]], [1], [2], [0.9], [], id="another class, near only"),
        pytest.param([[0.3]], [1], [1], [0.4], [], id="not confident"),
        pytest.param([[0.9, 0.7]], [1], [1, 2], [0.9, 0.8], [], id="a second prediction of an object that is found"),
    ],
)
def test_suspected_labels(similarity, labels, classes, confidences, expected):
    similarity, labels, classes = np.array(similarity, float), np.array(labels), np.array(classes)
    found = match(similarity, labels, classes, np.array(confidences), 0.5)
    given = suspects(found, similarity, labels, classes, iou=0.5, confidence=0.5)
    assert [(each.kind, each.prediction, each.label) for each in given] == expected
    assert all(0 < each.score <= 1 for each in given)


@pytest.mark.parametrize(
    ("similarity", "labels", "classes", "confidences", "expected"),
    [
        pytest.param([[0.9]], [1], [1], [0.9], [], id="right"),
        pytest.param([[0.9]], [1], [2], [0.9], [(1, 2)], id="another class"),
        pytest.param([[0.9]], [1], [2], [0.3], [], id="not confident"),
        pytest.param([[0.4]], [1], [2], [0.9], [], id="not at its place"),
        pytest.param([[0.9, 0.8]], [1], [2, 1], [0.9, 0.6], [], id="found as well"),
        pytest.param([[0.9, 0.8]], [1], [2, 3], [0.6, 0.9], [(1, 3)], id="the more confident one"),
        pytest.param([[0.9, 0.0], [0.6, 0.8]], [1, 1], [2, 2], [0.9, 0.8], [(1, 2), (1, 2)], id="two objects"),
    ],
)
def test_confusions(similarity, labels, classes, confidences, expected):
    similarity, labels, classes = np.array(similarity, float), np.array(labels), np.array(classes)
    found = match(similarity, labels, classes, np.array(confidences), 0.5)
    assert confusions(found, similarity, labels, classes, iou=0.5, confidence=0.5) == expected
