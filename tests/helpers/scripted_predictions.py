"""Replace the predictions of a validation by ones that are made of the labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ultralytics.models.yolo.detect import DetectionValidator

Image = tuple[dict[str, Any], dict[str, Any]]


def predict_from_labels(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[dict[str, Any]], dict[str, Any]]
) -> list[dict[str, Image]]:
    """Replace the predictions of every validation by those that `make` returns; not for classification.

    Args:
        monkeypatch: Undoes it.
        make: Receives the labels of an image as the validator prepares them, and returns its predictions.

    Returns:
        The labels and a copy of the predictions of each image, by its file, for each validation.
    """
    seen: list[dict[str, Image]] = []
    original, start = DetectionValidator.update_metrics, DetectionValidator.init_metrics

    def update(self: Any, preds: Any, batch: Any) -> None:
        for index, file in enumerate(batch["im_file"]):
            truth = self._prepare_batch(index, dict(batch))
            preds[index] = {**preds[index], **make(truth)}
            seen[-1][file] = truth, {name: value.clone() for name, value in preds[index].items()}
        original(self, preds, batch)

    def init(self: Any, model: Any) -> None:
        seen.append({})
        start(self, model)

    monkeypatch.setattr(DetectionValidator, "update_metrics", update)
    monkeypatch.setattr(DetectionValidator, "init_metrics", init)
    return seen
