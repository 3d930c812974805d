"""Measure mAP by the size of the objects, from what a validation has matched.

The rules are COCO's (pycocotools' `COCOeval`): an object of another size is ignored, and with it the prediction that
matches it; so is a prediction of another size that matches nothing. The average precision is Ultralytics' own function,
so that the values can be compared with `mAP50-95`. A library for COCO would need its own copy of all predictions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yolo_callbacks.decisions.matching import match
from yolo_callbacks.metrics.sources import SIZES
from yolo_callbacks.trainer.image_results import ImageResult, ImageResults

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = ["SizeMetrics"]

# The largest area of a small and of a medium object, in pixels of the original image, as in COCO.
_LIMITS = (32.0**2, 96.0**2)
_THRESHOLDS = tuple(0.5 + 0.05 * step for step in range(10))


@dataclass(frozen=True)
class _Row:
    """One size in one image.

    Attributes:
        right: For each prediction and threshold, whether it matches an object of this size.
        ignored: For each prediction and threshold, whether it does not count.
        confidences: The confidence of each prediction.
        classes: The class of each prediction.
        labels: The class of each object of this size.
    """

    right: Array
    ignored: Array
    confidences: Array
    classes: Array
    labels: Array


class SizeMetrics:
    """Measure mAP by the size of the objects in each validation that it listens to."""

    def __init__(self) -> None:
        self._results = ImageResults(self._receive)
        self._values: dict[str, dict[str, float]] | None = None

    def listen(self, validator: Any) -> None:
        """Start to measure, before a validation."""
        self._values = None
        self._results.listen(validator)

    def values(self) -> dict[str, dict[str, float]]:
        """Return what the last validation has measured, by metric and size; without the sizes that no object has."""
        if self._values is None:  # the record of an epoch may be read several times
            self._values = self._measure()
        return self._values

    def _receive(self, image: ImageResult) -> Mapping[str, _Row]:
        self._values = None  # the final evaluation goes through the tap too
        return _rows(image)

    def _measure(self) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {"mAP50(B)": {}, "mAP50-95(B)": {}}
        images = list(self._results.found.values())
        for size in SIZES:
            precisions = [_mean_precision([image[size] for image in images], step) for step in range(len(_THRESHOLDS))]
            known = [value for value in precisions if value is not None]
            if known:
                found["mAP50(B)"][size] = known[0]
                found["mAP50-95(B)"][size] = sum(known) / len(known)
        return {metric: values for metric, values in found.items() if values}

    def forget(self) -> None:
        """Give the validator its own methods back."""
        self._results.forget()


def _rows(image: ImageResult) -> Mapping[str, _Row]:
    import numpy as np

    predicted, labelled = (_sizes(boxes, image.size) for boxes in (image.boxes, image.label_boxes))
    rows = {}
    for size in SIZES:
        own = labelled == size
        shape = (len(image.classes), len(_THRESHOLDS))
        right, ignored = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        for step, threshold in enumerate(_THRESHOLDS):
            matched = _matched(image, own, threshold)
            other = _matched(image, ~own, threshold, free=~matched)
            right[:, step] = matched
            ignored[:, step] = other | (~matched & (predicted != size))
        rows[size] = _Row(right, ignored, image.confidences, image.classes, image.labels[own])
    return rows


def _matched(image: ImageResult, chosen: Array, threshold: float, free: Array | None = None) -> Array:
    """Return which of the free predictions match one of the chosen objects."""
    import numpy as np

    columns = np.ones(len(image.classes), dtype=bool) if free is None else free
    similarity = image.box_similarity[chosen][:, columns]
    found = match(similarity, image.labels[chosen], image.classes[columns], image.confidences[columns], threshold)
    matched = np.zeros(len(image.classes), dtype=bool)
    matched[columns] = found.matched >= 0
    return matched


def _sizes(boxes: Array, size: tuple[int, int]) -> Array:
    """Return the size of each box."""
    import numpy as np

    width, height = (boxes[:, 2] - boxes[:, 0]) * size[0], (boxes[:, 3] - boxes[:, 1]) * size[1]
    sizes: Array = np.array(SIZES)[np.searchsorted(_LIMITS, width * height, side="right")]
    return sizes


def _mean_precision(rows: list[_Row], step: int) -> float | None:
    """Return the mean over classes of the average precision at one threshold; None without objects."""
    import numpy as np
    from ultralytics.utils.metrics import ap_per_class

    labels = np.concatenate([row.labels for row in rows]) if rows else np.zeros(0)
    if not len(labels):
        return None
    kept = [~row.ignored[:, step] for row in rows]
    right = np.concatenate([row.right[keep, step] for row, keep in zip(rows, kept, strict=True)])
    confidences = np.concatenate([row.confidences[keep] for row, keep in zip(rows, kept, strict=True)])
    classes = np.concatenate([row.classes[keep] for row, keep in zip(rows, kept, strict=True)])
    if not len(right):
        return 0.0
    # from 8.3.200 to 8.4.190 the average precision by class and threshold is the sixth value
    return float(ap_per_class(right[:, None], confidences, classes, labels)[5].mean())
