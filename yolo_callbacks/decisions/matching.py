"""Match predictions with the ground truth of an image, and count what is right and wrong at a confidence.

The rule is that of COCO (pycocotools' `COCOeval.evaluateImg`): in the order of confidence, each prediction takes the
most similar object of its class that no other prediction has taken. So the matches above a confidence do not depend on
the predictions below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = ["Counts", "Matches", "Suspect", "confusions", "match", "suspects"]

# Between these similarities a prediction is about the object, but not at its place.
_NEAR = 0.1


@dataclass(frozen=True)
class Counts:
    """Count the right and wrong predictions of an image, and the objects that are missed, at one confidence.

    Attributes:
        tp: Predictions that match an object.
        fp: Predictions that match none.
        fn: Objects that no prediction matches.
    """

    tp: int
    fp: int
    fn: int

    @property
    def f1(self) -> float:
        """The F1 of the image, from 0 to 1; 1 for an image without objects in which nothing is predicted."""
        wrong = self.fp + self.fn
        return 2 * self.tp / (2 * self.tp + wrong) if self.tp or wrong else 1.0


@dataclass(frozen=True)
class Matches:
    """The predictions of an image, and which object each matches.

    Attributes:
        objects: How many objects the image has.
        confidences: The confidence of each prediction.
        matched: The position of the object that each prediction matches, -1 for none.
    """

    objects: int
    confidences: Array
    matched: Array

    def counts(self, confidence: float | None) -> Counts:
        """Return the counts of the predictions with at least this confidence; of none with `None`."""
        if confidence is None:
            return Counts(0, 0, self.objects)
        chosen = self.confidences >= confidence
        right = int((chosen & (self.matched >= 0)).sum())
        return Counts(right, int(chosen.sum()) - right, self.objects - right)


@dataclass(frozen=True)
class Suspect:
    """A label that may be wrong.

    Attributes:
        kind: `"overlooked"`: a confident prediction where no object is labelled. `"badly located"`: one of the same
            class near an object, but not at its place. `"swapped"`: one of another class at the place of an object.
        score: How certain it is, from 0 to 1.
        prediction: The position of the prediction.
        label: The position of the object; None for `"overlooked"`.
    """

    kind: str
    score: float
    prediction: int
    label: int | None = None


def match(similarity: Array, labels: Array, classes: Array, confidences: Array, iou: float) -> Matches:
    """Match the predictions of an image with its objects.

    Args:
        similarity: IoU, or another measure from 0 to 1, of each object (rows) with each prediction (columns).
        labels: The class of each object.
        classes: The class of each prediction.
        confidences: The confidence of each prediction.
        iou: The similarity from which on a prediction can match.
    """
    import numpy as np

    matched = np.full(len(classes), -1, dtype=np.int32)
    possible = (similarity >= iou) & (labels[:, None] == classes[None, :])
    columns = np.flatnonzero(possible.any(axis=0))
    columns = columns[np.argsort(-confidences[columns], kind="stable")]
    candidates = np.where(possible, similarity, -1.0)[:, columns]
    left = possible[:, columns].sum(axis=0)  # how many objects each prediction can still match
    position = 0
    # One step for each match rather than for each prediction: of 300 predictions most match nothing.
    while left[position:].any():
        position += int((left[position:] > 0).argmax())
        row = int(candidates[:, position].argmax())
        matched[columns[position]] = row
        left -= candidates[row] >= 0
        candidates[row] = -1.0
        position += 1
    return Matches(len(labels), confidences.astype(np.float32), matched)


def suspects(
    matches: Matches, similarity: Array, labels: Array, classes: Array, *, iou: float, confidence: float
) -> list[Suspect]:
    """Return the labels of an image that may be wrong, the most certain first.

    The three kinds are those of ObjectLab (Tkachenko et al., 2023, https://arxiv.org/abs/2309.00832), which cleanlab
    implements. Only predictions that match no object, with at least `confidence`, are evidence.

    Args:
        matches: The matches of the image.
        similarity: The similarity of each object (rows) with each prediction (columns).
        labels: The class of each object.
        classes: The class of each prediction.
        iou: The similarity from which on a prediction is at the place of an object.
        confidence: The lowest confidence of a prediction that is evidence.
    """
    import numpy as np

    found = []
    free, wrong = _without_match(matches, confidence)
    for column in wrong:
        certain = float(matches.confidences[column])
        near = similarity[:, column] if len(labels) else np.zeros(0)
        if not len(near) or near.max() < _NEAR:
            found.append(Suspect("overlooked", certain, column))
            continue
        rows = np.flatnonzero(free & (near >= _NEAR))
        if not len(rows):
            continue  # a second prediction of an object that is found
        row = int(rows[near[rows].argmax()])
        if labels[row] != classes[column] and near[row] >= iou:
            found.append(Suspect("swapped", certain * float(near[row]), column, row))
        elif labels[row] == classes[column]:
            found.append(Suspect("badly located", certain * (1 - float(near[row])), column, row))
        else:
            continue
        free[row] = False
    return sorted(found, key=lambda suspect: -suspect.score)


def confusions(
    matches: Matches, similarity: Array, labels: Array, classes: Array, *, iou: float, confidence: float
) -> list[tuple[int, int]]:
    """Return the class of each object that is taken for another class, with that class.

    An object counts once: with the most confident prediction of another class at its place, where no prediction of its
    own class matches it.

    Args:
        matches: The matches of the image.
        similarity: The similarity of each object (rows) with each prediction (columns).
        labels: The class of each object.
        classes: The class of each prediction.
        iou: The similarity from which on a prediction is at the place of an object.
        confidence: The lowest confidence of a prediction that counts.
    """
    import numpy as np

    found = []
    free, wrong = _without_match(matches, confidence)
    for column in wrong:
        rows = np.flatnonzero(free & (similarity[:, column] >= iou))
        if len(rows):
            row = rows[similarity[rows, column].argmax()]
            free[row] = False
            if labels[row] != classes[column]:
                found.append((int(labels[row]), int(classes[column])))
    return found


def _without_match(matches: Matches, confidence: float) -> tuple[Array, list[int]]:
    """Return which objects no prediction above a confidence matches, and the predictions above it that match none.

    The predictions are in the order of confidence.
    """
    import numpy as np

    chosen = matches.confidences >= confidence
    free = np.ones(matches.objects, dtype=bool)
    free[matches.matched[chosen & (matches.matched >= 0)]] = False
    wrong = np.flatnonzero(chosen & (matches.matched < 0))
    ordered: list[int] = wrong[np.argsort(-matches.confidences[wrong], kind="stable")].tolist()
    return free, ordered
