"""Test the detection of problems that do not end a training: NaN, memory, no progress."""

from __future__ import annotations

import math

from yolo_callbacks.decisions.mishaps import Mishaps


def test_an_epoch_that_is_trained_again():
    mishaps = Mishaps()
    for epoch in (1, 2):
        assert mishaps.start_epoch(epoch, 16) is None
        mishaps.end_batches(epoch)
    assert mishaps.start_epoch(2, 16) == ("nan", "epoch 2 is trained again, from the checkpoint before it")


def test_a_first_epoch_with_smaller_batches():
    mishaps = Mishaps()
    assert mishaps.start_epoch(1, 16) is None
    assert mishaps.start_epoch(1, 8) == ("oom", "epoch 1 starts again with a batch size of 8 instead of 16")
    mishaps.end_batches(1)
    assert mishaps.start_epoch(2, 8) is None


def test_metrics_that_are_no_numbers():
    assert Mishaps().of_metrics(3, {"a": 1.0, "b": math.inf}) is None
    found = Mishaps().of_metrics(3, {"a": math.nan, "b": 1.0, "c": math.nan})
    assert found == ("nan", "epoch 3: a, c is no number")


def test_a_metric_that_stays_nan_is_named_once():
    mishaps = Mishaps()
    epochs = [{"a": math.nan}, {"a": math.nan}, {}, {"a": math.nan, "b": math.nan}, {"a": 1.0}, {"a": math.nan}]
    found = [mishaps.of_metrics(number, metrics) for number, metrics in enumerate(epochs, start=1)]
    assert [each and each[1] for each in found] == [
        "epoch 1: a is no number",
        None,
        None,
        "epoch 4: b is no number",
        None,
        "epoch 6: a is no number",
    ]
