"""Confidences that follow from the curves of a validation, computed by Ultralytics' own function."""

from types import SimpleNamespace

import numpy as np
import pytest
from ultralytics.utils.metrics import Metric, ap_per_class

from yolo_callbacks.trainer.results import mean_f1_confidence, thresholds

pytestmark = pytest.mark.training


def results(right, confidences, classes, labels):
    box = Metric()
    tp = np.repeat(np.array(right)[:, None], 10, axis=1)
    box.update(ap_per_class(tp, np.array(confidences), np.array(classes), np.array(labels), names={0: "a", 2: "b"})[2:])
    return SimpleNamespace(box=box)


def test_the_lowest_confidence_that_reaches_a_precision():
    # class 0: 0.9 and 0.8 are right, 0.7 is wrong, 0.6 is right; class 2: nothing is right
    found = thresholds(results([1, 1, 0, 1, 0], [0.9, 0.8, 0.7, 0.6, 0.5], [0, 0, 0, 0, 2], [0, 0, 0, 2]))
    assert list(found) == ["0.8", "0.9", "0.95"]
    assert [list(values) for values in found.values()] == [[0]] * 3
    lowest = [values[0] for values in found.values()]
    assert 0.7 < lowest[0] < lowest[1] < lowest[2] <= 0.81  # Ultralytics interpolates between predictions


def test_nothing_without_curves():
    assert thresholds(SimpleNamespace()) == thresholds(SimpleNamespace(box=Metric())) == {}
    assert mean_f1_confidence(SimpleNamespace(box=Metric()), "detect") is None


def test_the_confidence_with_the_highest_mean_f1():
    found = results([1, 1, 0, 0], [0.9, 0.8, 0.5, 0.4], [0, 0, 0, 0], [0, 0])
    assert 0.5 < mean_f1_confidence(found, "detect") <= 0.81
    assert mean_f1_confidence(results([0, 0], [0.9, 0.8], [0, 0], [0, 0]), "detect") is None
    assert mean_f1_confidence(found, "classify") == mean_f1_confidence(found, "detect")
