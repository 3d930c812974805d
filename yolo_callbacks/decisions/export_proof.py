"""Measure how far an exported model differs from its checkpoint, and judge whether it predicts the same."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from yolo_callbacks.decisions.matching import match

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = [
    "DEFAULT_TOLERANCES",
    "TOLERANCES",
    "Agreement",
    "OutputDifference",
    "confidence_to_compare",
    "exceeded",
    "iou_of_boxes",
    "show",
]

TOLERANCES = ("outputs", "boxes", "scores", "mAP")
"""What a tolerance limits: see `exceeded`."""

DEFAULT_TOLERANCES: Mapping[str, Mapping[str, float]] = {
    "fp32": {"outputs": 1e-3, "boxes": 0.01, "scores": 0.01, "mAP": 0.005},
    "fp16": {"outputs": 0.02, "boxes": 0.05, "scores": 0.05, "mAP": 0.01},
    "int8": {"outputs": 0.5, "boxes": 0.3, "scores": 0.3, "mAP": 0.03},
}
"""The tolerances by the precision of the export."""

# A channel whose mean is smaller, such as the scores of a class that is seen nowhere, has no relative difference of its
# own: ONNX Runtime rounds a score of 1e-5 by 1e-9 (1.32).
_SMALL = 1e-3


class OutputDifference:
    """Sum up the differences between the outputs of two models over several images.

    A relative difference is that of one channel of the output: the mean of its differences by the mean of its values.
    So the scores of a class count as much as the coordinates of the boxes, which are a thousand times as large.
    """

    def __init__(self) -> None:
        self._images = 0
        self._max_abs, self._sum_abs, self._count = 0.0, 0.0, 0
        self._of_channels: list[tuple[Array, Array]] = []  # for each output: the sums of differences and of values
        self._sizes: list[int] = []  # of how many values these sums are

    def add(self, reference: Sequence[Array], other: Sequence[Array]) -> str:
        """Add the outputs for one image, or one batch of images.

        Args:
            reference: The outputs of the checkpoint: batch, channels, and further dimensions.
            other: The outputs of the export.

        Returns:
            Why they cannot be compared; `""` where they can.
        """
        import numpy as np

        shapes = [[tuple(each.shape) for each in outputs] for outputs in (reference, other)]
        if shapes[0] != shapes[1]:
            return f"the checkpoint has outputs of the shapes {shapes[0]}, the export {shapes[1]}"
        self._images += 1
        for number, (left, right) in enumerate(zip(reference, other, strict=True)):
            left, right = left.astype(np.float64), right.astype(np.float64)
            difference = np.abs(left - right)
            difference[~np.isfinite(difference)] = math.inf
            axes = tuple(axis for axis in range(left.ndim) if axis != 1)
            sums = difference.sum(axis=axes), np.abs(left).sum(axis=axes)
            size = left.size // max(1, len(sums[0]))
            if number == len(self._of_channels):
                self._of_channels.append(sums)
                self._sizes.append(size)
            else:
                self._sizes[number] += size
                before = self._of_channels[number]
                self._of_channels[number] = (before[0] + sums[0], before[1] + sums[1])
            self._max_abs = max(self._max_abs, float(difference.max(initial=0.0)))
            self._sum_abs += float(difference.sum())
            self._count += difference.size
        return ""

    def figures(self) -> dict[str, float] | None:
        """Return the maximum and the mean of the absolute and the relative differences; None if nothing was added."""
        import numpy as np

        if not self._count:
            return None
        ratios = []
        for number, (differences, values) in enumerate(self._of_channels):
            ratios.append(differences / np.maximum(values, _SMALL * self._sizes[number]))
        relative = np.concatenate(ratios)
        return {
            "images": self._images,
            "max_abs": self._max_abs,
            "mean_abs": self._sum_abs / self._count,
            "max_rel": float(relative.max()),
            "mean_rel": float(relative.mean()),
        }


class Agreement:
    """Count which predictions of two models agree, over several images.

    Two predictions agree where they have the same class and a similarity of at least `similarity`. A prediction of one
    model may have its partner just below the confidence: `slack` is how far. Such a partner counts as compared too.

    Args:
        confidence: The predictions with at least this confidence count.
        similarity: The lowest similarity of partners. Defaults to `0.9`.
        slack: How much lower the confidence of a partner may be. Defaults to `0.05`.
    """

    def __init__(self, confidence: float, similarity: float = 0.9, slack: float = 0.05) -> None:
        self.confidence, self.similarity, self.slack = confidence, similarity, slack
        self._counts = [0, 0]  # predictions of the checkpoint, of the export
        self._missing = [0, 0]  # those of them without a partner
        self._score_differences: list[float] = []

    def add(
        self, similarity: Array, classes: tuple[Array, Array], confidences: tuple[Array, Array], *, whole: bool = False
    ) -> None:
        """Add the predictions for one image.

        Args:
            similarity: The similarity of each prediction of the checkpoint (rows) with each of the export (columns).
            classes: The classes that the checkpoint and the export predict.
            confidences: The confidences of these predictions.
            whole: Whether each is the class of the whole image, which counts with any confidence.
        """
        import numpy as np

        compared: tuple[list[Array], list[Array]] = [], []
        for side, table in ((0, similarity), (1, similarity.T)):
            own, other = side, 1 - side
            counts = np.flatnonzero(confidences[own] >= (0 if whole else self.confidence))
            near = np.flatnonzero(confidences[other] >= (0 if whole else self.confidence - self.slack))
            found = match(
                table[np.ix_(counts, near)],
                classes[own][counts],
                classes[other][near],
                confidences[other][near],
                self.similarity,
            )
            columns = np.flatnonzero(found.matched >= 0)
            rows = found.matched[columns]
            self._missing[side] += int(np.sum(~np.isin(np.arange(len(counts)), rows)))
            compared[own].append(counts)
            compared[other].append(near[columns])
            if side == 0:
                differences = np.abs(confidences[0][counts][rows] - confidences[1][near][columns])
                self._score_differences += differences.tolist()
        for side, found_there in enumerate(compared):
            self._counts[side] += len(np.unique(np.concatenate(found_there)))

    def figures(self) -> dict[str, float] | None:
        """Return how many predictions were compared, which share has a partner, and how far their scores differ.

        The share is the lower one of the two models: of the predictions of the checkpoint that the export lacks, or of
        those that it adds. None where neither predicts anything.
        """
        if not any(self._counts):
            return None
        pairs = zip(self._missing, self._counts, strict=True)
        shares = [1 - missing / compared if compared else 1.0 for missing, compared in pairs]
        differences = self._score_differences
        return {
            "checkpoint": self._counts[0],
            "export": self._counts[1],
            "matched": min(shares),
            "score_max": max(differences, default=0.0),
            "score_mean": math.fsum(differences) / len(differences) if differences else 0.0,
            "confidence": self.confidence,
            "similarity": self.similarity,
        }


def confidence_to_compare(confidences: Iterable[float], *, usual: float = 0.25, enough: int = 100) -> float:
    """Return the confidence from which on predictions are compared: the usual one where enough have it.

    Args:
        confidences: The confidences of all predictions of the checkpoint.
        usual: The confidence with which a model is usually run.
        enough: How many predictions are compared at least, where there are as many.
    """
    highest = sorted(confidences, reverse=True)[:enough]
    return min([usual, *highest[-1:]])


def iou_of_boxes(left: Array, right: Array) -> Array:
    """Return the IoU of each box of `left` (rows) with each of `right` (columns); boxes are two corners, x and y."""
    import numpy as np

    low = np.maximum(left[:, None, :2], right[None, :, :2])
    high = np.minimum(left[:, None, 2:], right[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1) for boxes in (left, right)]
    union = areas[0][:, None] + areas[1][None, :] - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))


def exceeded(figures: Mapping[str, Any], tolerance: Mapping[str, float]) -> list[str]:
    """Return which figures of a comparison exceed their tolerance, each in words; none where the export is proven.

    Args:
        figures: `outputs` as `OutputDifference.figures`, `boxes` as `Agreement.figures`, `mAP` with `metric`,
            `checkpoint` and `export`; each may be None.
        tolerance: `outputs`: the highest relative difference of a channel. `boxes`: the share of predictions without a
            partner. `scores`: the difference of the scores of partners. `mAP`: by how much the metric may be lower.
    """
    outputs, boxes, scores = figures.get("outputs"), figures.get("boxes"), figures.get("mAP")
    found = []
    # `not (… <= …)`: NaN exceeds every tolerance
    if outputs is not None and not outputs["max_rel"] <= tolerance["outputs"]:
        found.append(f"outputs differ by {show(outputs['max_rel'])} (tolerance {show(tolerance['outputs'])})")
    if boxes is not None and not 1 - boxes["matched"] <= tolerance["boxes"] + 1e-9:
        found.append(f"{show(1 - boxes['matched'])} of the predictions differ (tolerance {show(tolerance['boxes'])})")
    if boxes is not None and not boxes["score_max"] <= tolerance["scores"]:
        found.append(f"a score differs by {show(boxes['score_max'])} (tolerance {show(tolerance['scores'])})")
    if scores is not None and not scores["checkpoint"] - scores["export"] <= tolerance["mAP"]:
        found.append(
            f"{scores['metric']} is {show(scores['export'])} instead of {show(scores['checkpoint'])} "
            f"(tolerance {show(tolerance['mAP'])})"
        )
    return found


def show(number: float) -> str:
    """Return a number with three digits."""
    return f"{number:.3g}"
