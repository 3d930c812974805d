"""Collect validation images with labels and predictions, from the predictions of a validation that runs anyway."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.image_files import size_of
from yolo_callbacks.trainer.masks import Masks, Outline
from yolo_callbacks.trainer.validated_image import Classified, ClassifiedImage, Objects, ValidatedImage
from yolo_callbacks.trainer.validation_tap import VALIDATED_TASKS, ValidationTap
from yolo_callbacks.utils.files import LOGGER

__all__ = ["AnnotatedImage", "Box", "ImageCapture"]

_SURE = 0.25  # as Ultralytics draws keypoints


@dataclass(frozen=True)
class Box:
    """One box, its edges as fractions of the image from 0 to 1.

    Attributes:
        left: The left edge, as a fraction of the width.
        top: The upper edge, as a fraction of the height.
        right: The right edge, as a fraction of the width.
        bottom: The lower edge, as a fraction of the height.
        label: The class index.
        confidence: The confidence of a prediction, or None for ground truth.
        mask: The outline of the mask; empty for other tasks than segmentation.
        corners: The four corners of a rotated box, each as x and y; empty for other boxes.
        points: The visible keypoints; empty for other tasks than pose estimation.
    """

    left: float
    top: float
    right: float
    bottom: float
    label: int
    confidence: float | None = None
    mask: Outline = ()
    corners: tuple[tuple[float, float], ...] = ()
    points: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class AnnotatedImage:
    """One validation image with labels and predictions.

    Attributes:
        path: The image file.
        size: Width and height of the image in that file; 0 for a classification, until `complete` reads the file.
        truth: The objects of the label file, in its order; of a segmentation sorted by size.
        predictions: The predicted objects, highest confidence first.
        classified: The classes of the whole image; None for other tasks than classification.
        masks: The masks of the first objects and of the first predictions; None for other tasks than segmentation, and
            in a completed image, whose boxes have them as outlines.
    """

    path: Path
    size: tuple[int, int]
    truth: tuple[Box, ...] = ()
    predictions: tuple[Box, ...] = ()
    classified: Classified | None = None
    masks: tuple[Masks, Masks] | None = None

    def complete(self) -> AnnotatedImage:
        """Return the image with outlines of masks, and with its size. Call this outside the training thread."""
        image = self
        if image.masks is not None:
            truth, predictions = (
                tuple(replace(box, mask=outline) for box, outline in zip(boxes, masks.outlines(), strict=False))
                + boxes[masks.shape[0] :]
                for boxes, masks in zip((image.truth, image.predictions), image.masks, strict=True)
            )
            image = replace(image, truth=truth, predictions=predictions, masks=None)
        return image if any(image.size) else replace(image, size=size_of(image.path))


class ImageCapture:
    """Collect images with ground truth and predictions from validations that run anyway.

    The images are the first ones of the validation set, the same in each validation and in the final evaluation. A rank
    of a multi-GPU run collects those of them that it validates itself. A classification has its images sorted by class:
    there they are spread over the validation set.

    Attributes:
        count: The number of images to collect.
        max_boxes: The maximum number of boxes of an image, for ground truth and for predictions. Defaults to `100`.
        min_confidence: Predictions with a lower confidence are left out. Defaults to `0.05`.
        max_masks: The maximum number of masks of an image, for ground truth and for predictions. Defaults to `50`.
        active: Whether to collect; otherwise the predictions are not read. Defaults to `True`.
        compares: Whether similarities are read: never.

    Example:
        >>> capture = ImageCapture(16)
        >>> from ultralytics import YOLO
        >>> model = YOLO("yolo11n.yaml")
        >>> model.add_callback("on_val_start", capture.listen)
        >>> model.add_callback("on_val_end", lambda validator: print(len(capture.take())))
    """

    compares = False

    def __init__(self, count: int, *, max_boxes: int = 100, min_confidence: float = 0.05, max_masks: int = 50) -> None:
        self.count = count
        self.max_boxes = max_boxes
        self.max_masks = max_masks
        self.min_confidence = min_confidence
        self.active = True
        self._tap: ValidationTap | None = None
        self._failed = False
        self._chosen: dict[str, int] = {}  # keys in the order of the validation set
        self._collected: dict[str, AnnotatedImage] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Ultralytics pickles and deep-copies callbacks, also after a run that failed without any further event (up to
        # 8.4.140 at least). So leave out what belongs to a run.
        return {**vars(self), "_tap": None, "_failed": False, "_chosen": {}, "_collected": {}}

    @property
    def listening(self) -> bool:
        """Whether the images of this validation are collected."""
        return self.active and not self._failed

    def listen(self, validator: Any) -> None:
        """Start a new collection, in `on_val_start`: from then on the data loader exists."""
        if self._tap is not None and self._tap.validator is not validator:
            self.forget()
        self._collected = {}
        if self._failed or self.count < 1 or validator.args.task not in VALIDATED_TASKS:
            return
        try:
            self._tap = ValidationTap.of(validator)  # the final evaluation uses the validator of the epochs
            self._tap.listen(self)
            dataset = validator.dataloader.dataset
            if validator.args.task == "classify":
                positions = _spread(len(dataset.samples), self.count)
                files = [str(Path(dataset.samples[position][0])) for position in positions]
            else:
                files = [str(Path(file)) for file in dataset.im_files[: self.count]]
            self._chosen = dict.fromkeys(files, 0)
        except Exception as error:
            self.fail(error)

    def take(self) -> list[AnnotatedImage]:
        """Return what the last validation collected, in the order of the validation set, and forget it."""
        collected, self._collected = self._collected, {}
        return [collected[file] for file in self._chosen if file in collected]

    def forget(self) -> None:
        """Give the validator its own methods back, and forget the run."""
        if self._tap is not None:
            self._tap.remove(self)
        self._tap, self._failed, self._chosen, self._collected = None, False, {}, {}

    # What the tap calls -----------------------------------------------------------------------------------------------

    def receive(self, image: ValidatedImage | ClassifiedImage) -> None:
        """Keep an image if it is one of those to collect."""
        try:
            if (file := str(image.path)) in self._chosen:
                self._collected[file] = self._annotated(image)
        except Exception as error:
            self.fail(error)

    def gather(self) -> None:
        """Gather nothing: rank 0 shows the images that it validates."""

    def fail(self, error: Exception) -> None:
        """Log that the images cannot be collected, once."""
        if not self._failed:
            self._failed = True
            LOGGER.error("Validation images could not be collected, training goes on without them", exc_info=error)

    def _annotated(self, image: ValidatedImage | ClassifiedImage) -> AnnotatedImage:
        """Return an image with all its numbers copied to the CPU."""
        import numpy as np

        if isinstance(image, ClassifiedImage):
            return AnnotatedImage(image.path, (0, 0), classified=image.classified)
        found = image.predictions
        finite = np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.confidences)
        if found.keypoints is not None:
            finite &= np.isfinite(found.keypoints).all(axis=(1, 2))
        chosen = np.flatnonzero(finite & (found.confidences >= self.min_confidence))[: self.max_boxes]
        own = np.arange(min(len(image.truth), self.max_boxes))
        masks = None
        if image.has_masks:
            first, second = image.masks(chosen, self.max_masks)
            place = image.frame, image.ratio_pad, (image.size[1], image.size[0])
            masks = Masks.of(first, *place), Masks.of(second, *place)
        return AnnotatedImage(
            path=image.path,
            size=image.size,
            truth=tuple(_boxes(image, image.truth[own], image.truth_edges[own])),
            predictions=tuple(_boxes(image, found[chosen], image.prediction_edges[chosen], predicted=True)),
            masks=masks,
        )


def _boxes(image: ValidatedImage, objects: Objects, edges: Any, *, predicted: bool = False) -> Iterator[Box]:
    confidences = objects.confidences.tolist() if predicted else [None] * len(objects)
    corners = image.corners(objects)
    rotated = [()] * len(objects) if corners is None else [tuple(map(tuple, each)) for each in corners.tolist()]
    points = _visible_points(image, objects, _SURE if predicted else 0.0)
    columns = zip(edges.tolist(), objects.classes.tolist(), confidences, rotated, points, strict=True)
    for (left, top, right, bottom), label, confidence, line, seen in columns:
        yield Box(left, top, right, bottom, label, confidence, corners=line, points=seen)


def _visible_points(image: ValidatedImage, objects: Objects, lowest: float) -> list[tuple[tuple[float, float], ...]]:
    """Return the keypoints of each object whose visibility is higher, as fractions of the image."""
    import numpy as np

    keypoints = objects.keypoints
    if keypoints is None or not len(keypoints):
        return [()] * len(objects)
    places = image.fractions(keypoints[..., :2]).tolist()
    visible = keypoints[..., 2] > lowest if keypoints.shape[2] > 2 else np.ones(keypoints.shape[:2], dtype=bool)
    return [
        tuple((x, y) for (x, y), shown in zip(row, seen, strict=True) if shown)
        for row, seen in zip(places, visible.tolist(), strict=True)
    ]


def _spread(total: int, count: int) -> list[int]:
    """Return positions at equal distances."""
    return [number * total // count for number in range(count)] if total > count else list(range(total))
