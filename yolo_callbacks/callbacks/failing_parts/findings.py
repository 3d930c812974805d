"""Keep what a validation has found in each image, and describe the images that fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yolo_callbacks.decisions.matching import Counts, Matches, Suspect, confusions, match, suspects
from yolo_callbacks.trainer.image_results import ImageResult

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = ["Finding", "as_json", "describe", "suspected_labels"]

# Limits of what is kept for each image: boxes that are shown, and evidence of a wrong label.
_MIN_CONFIDENCE = 0.05
_MAX_PREDICTIONS = 100


@dataclass(frozen=True)
class Finding:
    """The matches of one image, with the boxes that the file shows.

    Everything else of the batch is dropped, so that the memory of a large validation set is bounded.

    Attributes:
        matches: All predictions, and which object each matches.
        labels: The class of each object.
        label_boxes: The box of each object: left, top, right, bottom, as fractions of the image.
        classes: The class of the most confident predictions.
        boxes: Their boxes, in the same way.
        similarity: The similarity of each object (rows) with each of them (columns).
    """

    matches: Matches
    labels: Array
    label_boxes: Array
    classes: Array
    boxes: Array
    similarity: Array

    @classmethod
    def of(cls, image: ImageResult, iou: float) -> Finding:
        """Match an image, and keep what is needed."""
        import numpy as np

        matches = match(image.similarity, image.labels, image.classes, image.confidences, iou)
        shown = min(int((image.confidences >= _MIN_CONFIDENCE).sum()), _MAX_PREDICTIONS)
        return cls(
            matches,
            image.labels.astype(np.int32),
            image.label_boxes.astype(np.float32),
            image.classes[:shown].astype(np.int32),
            image.boxes[:shown].astype(np.float32),
            image.similarity[:, :shown].astype(np.float32),
        )

    def suspects(self, iou: float, confidence: float) -> list[Suspect]:
        """Return the labels that may be wrong."""
        return suspects(self._shown, self.similarity, self.labels, self.classes, iou=iou, confidence=confidence)

    def confusions(self, iou: float, confidence: float) -> list[tuple[int, int]]:
        """Return the class of each object that is taken for another class, with that class."""
        return confusions(self._shown, self.similarity, self.labels, self.classes, iou=iou, confidence=confidence)

    @property
    def _shown(self) -> Matches:
        """The matches of the predictions that are kept."""
        shown = len(self.classes)
        return Matches(self.matches.objects, self.matches.confidences[:shown], self.matches.matched[:shown])


def describe(
    path: str, finding: Finding, counts: Counts, confidence: float | None, names: Mapping[int, str]
) -> dict[str, Any]:
    """Return an image that fails, in the types of JSON: its counts, and each object and prediction that is wrong."""
    shown = len(finding.classes)
    confidences, matched = finding.matches.confidences[:shown], finding.matches.matched[:shown]
    chosen = [index for index in range(shown) if confidence is not None and confidences[index] >= confidence]
    taken = {int(matched[index]) for index in chosen}
    wrong = [
        {
            "kind": "fp",
            "class": _name(names, finding.classes[index]),
            "confidence": round(float(confidences[index]), 4),
            **_box(finding.boxes, index),
        }
        for index in chosen
        if matched[index] < 0
    ]
    missed = [
        {"kind": "fn", "class": _name(names, finding.labels[index]), **_box(finding.label_boxes, index)}
        for index in range(len(finding.labels))
        if index not in taken
    ]
    return {"image": path, **as_json(counts), "wrong": [*wrong, *missed]}


def suspected_labels(
    path: str, finding: Finding, iou: float, confidence: float, names: Mapping[int, str]
) -> list[dict[str, Any]]:
    """Return the labels of an image that may be wrong, in the types of JSON."""
    found = []
    for suspect in finding.suspects(iou, confidence):
        row: dict[str, Any] = {"image": path, "kind": suspect.kind, "score": round(suspect.score, 4)}
        if suspect.label is not None:
            row["label"] = {
                "class": _name(names, finding.labels[suspect.label]),
                **_box(finding.label_boxes, suspect.label),
            }
        row["prediction"] = {
            "class": _name(names, finding.classes[suspect.prediction]),
            "confidence": round(float(finding.matches.confidences[suspect.prediction]), 4),
            **_box(finding.boxes, suspect.prediction),
        }
        found.append(row)
    return found


def as_json(counts: Counts) -> dict[str, Any]:
    """Return counts in the types of JSON."""
    return {"tp": counts.tp, "fp": counts.fp, "fn": counts.fn, "f1": round(counts.f1, 4)}


def _name(names: Mapping[int, str], index: Any) -> str:
    return names.get(int(index)) or str(int(index))


def _box(boxes: Array, index: int) -> dict[str, Any]:
    """Return the edges of a box as fractions of the image; nothing for a classification."""
    return {"box": [round(float(edge), 4) for edge in boxes[index]]} if len(boxes) else {}
