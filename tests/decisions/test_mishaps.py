"""What goes wrong in a training that goes on."""

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
    assert Mishaps.of_metrics(3, {"a": 1.0, "b": math.inf}) is None
    found = Mishaps.of_metrics(3, {"a": math.nan, "b": 1.0, "c": math.nan})
    assert found == ("nan", "epoch 3: a, c is no number")
