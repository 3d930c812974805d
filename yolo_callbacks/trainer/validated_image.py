"""Read one image of a validation: its predictions, its ground truth, and how similar they are.

Nothing is copied from the device before it is read, and nothing is copied twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolo_callbacks.trainer.geometry import as_fractions, corners, to_cpu, upright_edges

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = ["Classified", "ClassifiedImage", "Objects", "ValidatedImage"]


@dataclass(frozen=True)
class Objects:
    """The objects of an image, in pixels of the network's input.

    Attributes:
        classes: The class of each.
        confidences: The confidence of each prediction; 0 for ground truth.
        boxes: The box of each, as four edges, or as centre, size and angle.
        keypoints: The keypoints of each, as x and y, and the visibility where they have one; None without keypoints.
    """

    classes: Array
    confidences: Array
    boxes: Array
    keypoints: Array | None

    @classmethod
    def of(cls, tensors: Any, confidences: Any = None) -> Objects:
        """Return the objects of tensors with one copy from the device.

        Args:
            tensors: The classes, the boxes and perhaps the keypoints, by Ultralytics' names.
            confidences: The confidences of predictions. Defaults to `None`, for ground truth.
        """
        classes, boxes, keypoints = tensors["cls"], tensors["bboxes"], tensors.get("keypoints")
        more = () if keypoints is None else (keypoints.flatten(1),)
        rows = to_cpu(classes, classes if confidences is None else confidences, boxes, *more)
        sides = boxes.shape[1]
        points = None if keypoints is None else rows[:, 2 + sides :].reshape(len(rows), *keypoints.shape[1:])
        own = rows[:, 1] if confidences is not None else 0 * rows[:, 1]
        return cls(rows[:, 0].astype(int), own, rows[:, 2 : 2 + sides], points)

    def __getitem__(self, chosen: Any) -> Objects:
        """Return the objects of some rows, in their order."""
        points = None if self.keypoints is None else self.keypoints[chosen]
        return Objects(self.classes[chosen], self.confidences[chosen], self.boxes[chosen], points)

    def __len__(self) -> int:
        return len(self.classes)


class ValidatedImage:
    """One image of a validation that compares objects, as Ultralytics compares it.

    Args:
        preds: The predictions, in pixels of the network's input.
        batch: The ground truth of the image, in the same pixels.
        similarities: The similarity of each object with each prediction, as tensors: that of boxes, and after it that
            of masks or keypoints. Empty where one of both is missing.

    Attributes:
        path: The image file.
    """

    def __init__(self, preds: Any, batch: Any, similarities: Sequence[Any] = ()) -> None:
        self._preds, self._batch, self._similarities = preds, batch, similarities
        self.path = Path(batch["im_file"])

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the image in its file."""
        return int(self._batch["ori_shape"][1]), int(self._batch["ori_shape"][0])

    @property
    def frame(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return int(self._batch["imgsz"][0]), int(self._batch["imgsz"][1])

    @property
    def ratio_pad(self) -> Any:
        """How Ultralytics has resized the image."""
        return self._batch["ratio_pad"]

    @cached_property
    def order(self) -> Array:
        """The positions of the predictions in the tensors, the most confident first."""
        import numpy as np

        return np.argsort(-self._found.confidences, kind="stable")

    @cached_property
    def predictions(self) -> Objects:
        """The predictions, the most confident first."""
        return self._found[self.order]

    @cached_property
    def truth(self) -> Objects:
        """The labelled objects, in the order of the label file; of a segmentation sorted by size."""
        return Objects.of(self._batch)

    @cached_property
    def prediction_edges(self) -> Array:
        """The upright box of each prediction, as fractions of the image: left, top, right, bottom."""
        return self.fractions(upright_edges(self.predictions.boxes))

    @cached_property
    def truth_edges(self) -> Array:
        """The upright box of each labelled object, in the same way."""
        return self.fractions(upright_edges(self.truth.boxes))

    @cached_property
    def similarity(self) -> Array:
        """The similarity by which the task compares: of objects (rows) with predictions (columns), from 0 to 1."""
        return self._similarity(-1)

    @cached_property
    def box_similarity(self) -> Array:
        """The similarity of the boxes alone."""
        return self._similarity(0)

    @property
    def has_masks(self) -> bool:
        """Whether the objects have masks."""
        return "masks" in self._preds

    def masks(self, chosen: Array, most: int) -> tuple[Any, Any]:
        """Return the masks of the first labelled objects, and of chosen predictions, as tensors of their device.

        Args:
            chosen: The positions in `predictions`.
            most: The maximum number of each.
        """
        return self._batch["masks"][:most], self._preds["masks"][self.order[chosen][:most].tolist()]

    def fractions(self, positions: Array) -> Array:
        """Return positions in pixels of the network's input as fractions of the image."""
        return as_fractions(positions, self.ratio_pad, self._batch["ori_shape"])

    def corners(self, objects: Objects) -> Array | None:
        """Return the corners of rotated boxes as fractions of the image; None for upright ones."""
        if objects.boxes.shape[1] != 5:
            return None
        return self.fractions(corners(objects.boxes)).reshape(-1, 4, 2)

    @cached_property
    def _found(self) -> Objects:
        return Objects.of(self._preds, self._preds["conf"])

    def _similarity(self, which: int) -> Array:
        import numpy as np

        shape = (len(self.truth), len(self.predictions))
        if not self._similarities:
            return np.zeros(shape)
        # inference tensors, half precision with AMP on a GPU
        numbers: Array = self._similarities[which].detach().cpu().float().numpy().reshape(shape)
        return numbers[:, self.order]


@dataclass(frozen=True)
class Classified:
    """The label and the predicted class of an image, in a classification.

    Attributes:
        label: The class index of the label.
        predicted: The class index of the prediction.
        confidence: The confidence of the prediction.
    """

    label: int
    predicted: int
    confidence: float

    def in_words(self, names: Mapping[int, str]) -> str:
        """Return the label and the prediction with the names of the classes."""
        label, predicted = (names.get(index, str(index)) for index in (self.label, self.predicted))
        return f"label {label}, predicted {predicted} {self.confidence:.2f}"


@dataclass(frozen=True)
class ClassifiedImage:
    """One image of a classification.

    Attributes:
        path: The image file.
        classified: The classes of the label and of the prediction.
    """

    path: Path
    classified: Classified
