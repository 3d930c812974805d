"""Keep what was found in each image of a validation: predictions, ground truth, and how similar they are.

Ultralytics computes the similarity of all predictions and objects of an image in each validation: the IoU of boxes, of
masks or of rotated boxes, or the OKS of keypoints. So nothing is computed twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolo_callbacks.trainer.validated_image import ClassifiedImage, ValidatedImage
from yolo_callbacks.trainer.validation_tap import VALIDATED_TASKS, ValidationTap
from yolo_callbacks.utils.files import LOGGER

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

__all__ = ["ImageResult", "ImageResults"]


@dataclass(frozen=True)
class ImageResult:
    """The predictions and labels of one validation image, and how similar they are.

    Attributes:
        path: The image file, relative to the folder of the data set where it is inside of that.
        size: Width and height of the image in that file; 0 for classification.
        labels: The class of each object.
        classes: The class of each prediction, the most confident first.
        confidences: The confidence of each prediction.
        similarity: The similarity of each object (rows) with each prediction (columns), from 0 to 1.
        box_similarity: The same of the boxes alone, where the task compares masks or keypoints.
        boxes: The box of each prediction as fractions of the image: left, top, right, bottom. Empty for classification.
        label_boxes: The box of each object, in the same way.
    """

    path: str
    size: tuple[int, int]
    labels: Array
    classes: Array
    confidences: Array
    similarity: Array
    box_similarity: Array
    boxes: Array
    label_boxes: Array

    @classmethod
    def of(cls, path: str, image: ValidatedImage | ClassifiedImage) -> ImageResult:
        """Return the result of an image."""
        if isinstance(image, ClassifiedImage):
            import numpy as np

            one, none = np.ones((1, 1)), np.zeros((0, 4))
            found = image.classified
            values = np.array([found.label]), np.array([found.predicted]), np.array([found.confidence])
            return cls(path, (0, 0), *values, one, one, none, none)
        return cls(
            path=path,
            size=image.size,
            labels=image.truth.classes,
            classes=image.predictions.classes,
            confidences=image.predictions.confidences,
            similarity=image.similarity,
            box_similarity=image.box_similarity,
            boxes=image.prediction_edges,
            label_boxes=image.truth_edges,
        )


class ImageResults:
    """Keep what a function makes of the result of each image, validation by validation.

    Args:
        receive: Is called with each `ImageResult`. What it returns is kept, and gathered from all ranks.

    Attributes:
        found: What the function returned for each image of the last validation, by path; on rank 0 those of all ranks.
        root: The folder of the data set; `""` where it is not known.
        compares: Whether similarities are read: always.
    """

    compares = True

    def __init__(self, receive: Callable[[ImageResult], Any]) -> None:
        self._receive = receive
        self.found: dict[str, Any] = {}
        self._tap: ValidationTap | None = None
        self._failed = False
        self._collect = True

    def __getstate__(self) -> dict[str, Any]:
        # Ultralytics pickles and deep-copies callbacks: leave out what belongs to a run.
        return {**vars(self), "found": {}, "_tap": None}

    @property
    def root(self) -> str:
        """The folder of the data set; `""` where it is not known."""
        return self._tap.root if self._tap else ""

    @property
    def listening(self) -> bool:
        """Whether the images of this validation are collected."""
        return self._collect and not self._failed

    def listen(self, validator: Any, *, collect: bool = True) -> None:
        """Start a new collection, in `on_val_start`.

        Args:
            validator: The validator.
            collect: Whether to collect from this validation. Defaults to `True`.
        """
        self.found, self._collect = {}, collect
        if self._failed or validator.args.task not in VALIDATED_TASKS:
            return
        if self._tap is not None and self._tap.validator is not validator:
            self.forget()
        try:
            self._tap = ValidationTap.of(validator)
            self._tap.listen(self)
        except Exception as error:
            self.fail(error)

    def forget(self) -> None:
        """Give the validator its own methods back, and drop it."""
        if self._tap is not None:
            self._tap.remove(self)
        self.found, self._tap = {}, None

    # What the tap calls -----------------------------------------------------------------------------------------------

    def receive(self, image: ValidatedImage | ClassifiedImage) -> None:
        """Keep what the function makes of an image."""
        try:
            path = self._relative(image.path)
            self.found[path] = self._receive(ImageResult.of(path, image))
        except Exception as error:
            self.fail(error)

    def gather(self) -> None:
        """Gather what was found on all ranks."""
        from torch import distributed

        if distributed.is_available() and distributed.is_initialized():
            main = distributed.get_rank() == 0
            parts: list[Any] | None = [None] * distributed.get_world_size() if main else None
            distributed.gather_object(self.found, parts, dst=0)
            for part in parts or ():
                self.found.update(part)

    def fail(self, error: Exception) -> None:
        """Log that the images cannot be compared, once."""
        if not self._failed:
            self._failed = True
            LOGGER.error("The images of the validation could not be compared, training goes on without", exc_info=error)

    def _relative(self, path: Path) -> str:
        root = self.root
        try:
            absolute = Path(os.path.abspath(path))  # noqa: PTH100 (it removes `..`, and follows no link)
            return absolute.relative_to(root).as_posix() if root else path.as_posix()
        except ValueError:
            return path.as_posix()
