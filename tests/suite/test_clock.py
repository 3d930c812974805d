"""The time in epochs, and the rest."""

from __future__ import annotations

from yolo_callbacks.suite.clock import EpochShare


def test_only_what_comes_between_the_start_and_the_last_epoch_is_of_epochs():
    share = EpochShare()
    share.end_epoch(3.0)
    assert (share.epochs, share.seconds) == (0, 0.0)  # before the start
    share.begin(5.0)
    share.end_epoch(6.0)
    share.end_epoch(8.0)
    assert (share.epochs, share.seconds) == (2, 3.0)
