"""Predictions that depend on the labels alone: the same in every process, whatever the weights are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from ultralytics.models.yolo.detect import DetectionValidator


def shifted_update(update_metrics: Callable[..., None]) -> Callable[..., None]:
    """Return an `update_metrics` that gets the labels, shifted, with confidences, and some with other classes."""

    def update(self: Any, preds: Any, batch: Any) -> None:
        for index in range(len(preds)):
            truth = self._prepare_batch(index, dict(batch))
            boxes, classes = truth["bboxes"], truth["cls"]
            wrong = torch.sin(3 * boxes[:, 0]) > 0.5
            preds[index] = {
                **preds[index],
                "bboxes": boxes + 3 * torch.sin(7 * boxes),
                "cls": torch.where(wrong, (classes + 1) % 3, classes),
                "conf": 0.5 + 0.4 * torch.sin(boxes.sum(1)),
            }
        update_metrics(self, preds, batch)

    return update


def predict_shifted_labels(replace: Callable[[Any, str, Any], None] = setattr) -> None:
    """Replace the predictions of every validation of boxes."""
    replace(DetectionValidator, "update_metrics", shifted_update(DetectionValidator.update_metrics))
