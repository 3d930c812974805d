"""Names of monitors in words."""

from __future__ import annotations

import pytest

from yolo_callbacks.metrics.words import in_words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mAP50", "mAP50"),
        ("metrics/mAP50-95(B)", "metrics/mAP50-95(B)"),
        ("val/box_loss", "val/box_loss"),
        ("train/loss", "train/loss"),
        ("mAP50-95/0", "mAP50-95 of class 0"),
        ("recall(M)/traffic light", "recall(M) of class traffic light"),
        ("mAP50/a/b", "mAP50 of class a/b"),
        ("min(mAP50-95)", "mAP50-95 of the worst class"),
        ("0.1*mAP50+0.9*mAP50-95", "0.1 * mAP50 + 0.9 * mAP50-95"),
        ("1e+06*mAP50+1*recall", "1e+06 * mAP50 + 1 * recall"),
        ("custom", "your function"),
        ("f1", "f1"),
        ("mAP50/small", "mAP50 of small objects"),
        ("mAP50-95(M)/large", "mAP50-95(M) of large objects"),
        ("recall/small", "recall of class small"),
        ("metrics/precision(B)/person", "precision(B) of class person"),
        ("failing/images", "failing/images"),
        ("overfit/gap", "overfit/gap"),
        ("metrics/delta1", "metrics/delta1"),
    ],
)
def test_words(name: str, words: str) -> None:
    assert in_words(name) == words
