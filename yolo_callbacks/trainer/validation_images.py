"""Collect validation images with labels and predictions, from the predictions of a validation that runs anyway.

The functions import numpy, torch, cv2 and ultralytics where they need them: a run that logs no image loads none of
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolo_callbacks.trainer.geometry import as_fractions, corners, to_cpu, upright_edges
from yolo_callbacks.trainer.loader_order import ImageOrder
from yolo_callbacks.trainer.masks import Masks, Outline
from yolo_callbacks.utils.files import LOGGER

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

__all__ = [
    "SHOWN_TASKS",
    "AnnotatedImage",
    "Box",
    "Classified",
    "ImageCapture",
    "encode_jpeg",
    "shown_size",
]

SHOWN_TASKS = ("detect", "segment", "pose", "obb", "classify")
"""The tasks whose images are collected."""

MAX_SIDE = 1024
"""The longer side of an encoded image, in pixels."""

_SURE = 0.25  # as Ultralytics draws keypoints
_GREY = (114, 114, 114)  # as Ultralytics pads images


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
        return image if any(image.size) else replace(image, size=_size_of(image.path))


class ImageCapture:
    """Collect images with ground truth and predictions from validations that run anyway.

    The capture replaces the validator's `update_metrics`, the only method that gets the predictions: the events of
    Ultralytics get the validator, which does not store them. So no image passes through a model for this. The images
    are the first ones of the validation set, the same in each validation and in the final evaluation. A rank of a
    multi-GPU run collects those of them that it validates itself. A classification has its images sorted by class:
    there they are spread over the validation set.

    Attributes:
        count: The number of images to collect.
        max_boxes: The maximum number of boxes of an image, for ground truth and for predictions. Defaults to `100`.
        min_confidence: Predictions with a lower confidence are left out. Defaults to `0.05`.
        max_masks: The maximum number of masks of an image, for ground truth and for predictions. Defaults to `50`.
        active: Whether to collect; otherwise the predictions are not read. Defaults to `True`.

    Example:
        >>> capture = ImageCapture(16)
        >>> from ultralytics import YOLO
        >>> model = YOLO("yolo11n.yaml")
        >>> model.add_callback("on_val_start", capture.listen)
        >>> model.add_callback("on_val_end", lambda validator: print(len(capture.take())))
    """

    def __init__(self, count: int, *, max_boxes: int = 100, min_confidence: float = 0.05, max_masks: int = 50) -> None:
        self.count = count
        self.max_boxes = max_boxes
        self.max_masks = max_masks
        self.min_confidence = min_confidence
        self.active = True
        self._tap: _Tap | None = None
        self._failed = False
        self._chosen: dict[str, int] = {}  # keys in the order of the validation set
        self._collected: dict[str, AnnotatedImage] = {}
        self._order = ImageOrder()

    def __getstate__(self) -> dict[str, Any]:
        # Ultralytics pickles and deep-copies callbacks, also after a run that failed without any further event (up to
        # 8.4.140 at least). So leave out what belongs to a run.
        of_run: dict[str, Any] = {
            "_tap": None,
            "_failed": False,
            "_chosen": {},
            "_collected": {},
            "_order": ImageOrder(),
        }
        return {**vars(self), **of_run}

    def listen(self, validator: Any) -> None:
        """Start a new collection, in `on_val_start`: from then on the data loader exists."""
        if self._tap is not None and self._tap.validator is not validator:
            self.forget()
        self._collected = {}
        try:
            if self._failed or self.count < 1 or validator.args.task not in SHOWN_TASKS:
                return
            if self._tap is None:  # the final evaluation uses the validator of the epochs
                self._tap = _Tap(validator, self._look)
            dataset = validator.dataloader.dataset
            if validator.args.task == "classify":
                self._order.start_pass(validator.dataloader)
                positions = _spread(len(dataset.samples), self.count)
                files = [str(Path(dataset.samples[position][0])) for position in positions]
            else:
                files = list(map(str, dataset.im_files[: self.count]))
            self._chosen = dict.fromkeys(files, 0)
        except Exception as error:
            self._fail(error)

    def take(self) -> list[AnnotatedImage]:
        """Return what the last validation collected, in the order of the validation set, and forget it."""
        collected, self._collected = self._collected, {}
        return [collected[file] for file in self._chosen if file in collected]

    def forget(self) -> None:
        """Restore the validator, and forget the run."""
        if self._tap is not None:
            self._tap.remove()
        self._tap, self._failed, self._chosen, self._collected, self._order = None, False, {}, {}, ImageOrder()

    # The other parameters are for a validator of the user, whose `update_metrics` may have more of them.
    def _look(self, preds: Any = None, batch: Any = None, *_: Any, **__: Any) -> None:
        if not self.active or self._failed:
            return
        try:
            if "im_file" not in batch:  # of a classification
                self._classify(preds, batch)
                return
            files = [(index, str(file)) for index, file in enumerate(batch["im_file"]) if str(file) in self._chosen]
            if files:
                truth = _truth(batch)
                for index, file in files:
                    self._collected[file] = self._image(preds[index], truth, batch, index)
        except Exception as error:
            self._fail(error)

    @property
    def _validator(self) -> Any:
        return self._tap.validator if self._tap else None

    def _classify(self, preds: Any, batch: Any) -> None:
        """Collect the images of a batch that names no files."""
        for path, label, predicted, confidence in self._order.results(preds, batch):
            if str(path) in self._chosen:
                classified = Classified(label, predicted, confidence)
                self._collected[str(path)] = AnnotatedImage(path, (0, 0), classified=classified)

    def _image(self, preds: Any, truth: _Objects, batch: Any, index: int) -> AnnotatedImage:
        """Return one image of a batch, with all its numbers copied to the CPU."""
        import numpy as np

        (height, width), ratio_pad = map(int, batch["ori_shape"][index][:2]), batch["ratio_pad"][index]
        shape, frame = (height, width), (int(batch["img"].shape[2]), int(batch["img"].shape[3]))
        found = _Objects.of(preds["conf"], preds["cls"], preds["bboxes"], preds.get("keypoints"))
        order = np.flatnonzero(np.isfinite(found.rows).all(axis=1) & (found.rows[:, 0] >= self.min_confidence))
        order = order[np.argsort(-found.rows[order, 0], kind="stable")][: self.max_boxes]
        own = np.flatnonzero(truth.rows[:, 0] == index)[: self.max_boxes]
        masks = None
        if "masks" in preds:
            overlap = bool(self._validator.args.overlap_mask)
            true, predicted = _true_masks(batch, index, len(own), overlap), preds["masks"][order.tolist()]
            first, second = (Masks.of(each[: self.max_masks], frame, ratio_pad, shape) for each in (true, predicted))
            masks = first, second
        return AnnotatedImage(
            path=Path(batch["im_file"][index]),
            size=(width, height),
            truth=truth.boxes(own, ratio_pad, shape),
            predictions=found.boxes(order, ratio_pad, shape, predicted=True),
            masks=masks,
        )

    def _fail(self, error: Exception) -> None:
        self._failed = True
        LOGGER.error("Validation images could not be collected, training goes on without them", exc_info=error)


class _Tap:
    """Replace the `update_metrics` of a validator: read the arguments, and call the original."""

    def __init__(self, validator: Any, look: Callable[..., None]) -> None:
        self.validator = validator
        self.original = validator.update_metrics
        self.look: Callable[..., None] | None = look
        self.was_own = "update_metrics" in vars(validator)
        validator.update_metrics = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.look is not None:
            # Before the original, which overwrites the classes in place with single_cls.
            self.look(*args, **kwargs)
        return self.original(*args, **kwargs)

    def remove(self) -> None:
        # Where other code has wrapped this object, it must continue to work: then it only calls the original.
        self.look = None
        own = vars(self.validator)
        # Two captures of one validator can be removed in any order: the last one removes those below it too.
        while isinstance(tap := own.get("update_metrics"), _Tap) and tap.look is None:
            if tap.was_own:
                own["update_metrics"] = tap.original
            else:
                del own["update_metrics"]


@dataclass(frozen=True)
class _Objects:
    """The objects of an image or of a batch, in pixels of the network's input.

    Attributes:
        rows: The confidence, or of ground truth the position of the image in the batch; the class; the box as four
            edges, or as centre, size and angle; the keypoints.
        sides: The number of columns of the box.
        values: The number of columns of a keypoint: x, y, and the visibility where it has one.
    """

    rows: Array
    sides: int
    values: int

    @classmethod
    def of(cls, first: Any, classes: Any, boxes: Any, keypoints: Any) -> _Objects:
        """Return the objects of tensors, with one copy from the device instead of four."""
        more = () if keypoints is None else (keypoints.flatten(1),)
        rows = to_cpu(first, classes, boxes, *more)
        return cls(rows, boxes.shape[1], 0 if keypoints is None else keypoints.shape[2])

    def boxes(self, chosen: Any, ratio_pad: Any, shape: Any, *, predicted: bool = False) -> tuple[Box, ...]:
        """Return the boxes of the rows that are chosen, in fractions of the image."""
        rows = self.rows[chosen]
        boxes, labels = rows[:, 2 : 2 + self.sides], rows[:, 1].astype(int).tolist()
        edges = as_fractions(upright_edges(boxes), ratio_pad, shape).tolist()
        confidences = rows[:, 0].tolist() if predicted else [None] * len(rows)
        rotated: list[Any] = [()] * len(rows)
        if self.sides == 5:
            lines = as_fractions(corners(boxes), ratio_pad, shape).reshape(-1, 4, 2).tolist()
            rotated = [tuple(map(tuple, line)) for line in lines]
        points = self._points(rows, ratio_pad, shape, _SURE if predicted else 0.0)
        columns = zip(edges, labels, confidences, rotated, points, strict=True)
        return tuple(
            Box(left, top, right, bottom, label, confidence, corners=line, points=point)
            for (left, top, right, bottom), label, confidence, line, point in columns
        )

    def _points(self, rows: Array, ratio_pad: Any, shape: Any, lowest: float) -> list[tuple[tuple[float, float], ...]]:
        """Return the visible keypoints of each row."""
        if not self.values or not len(rows):  # an array without rows has no length that could be inferred
            return [()] * len(rows)
        keypoints = rows[:, 2 + self.sides :].reshape(len(rows), -1, self.values)
        places = as_fractions(keypoints[..., :2], ratio_pad, shape).tolist()
        visible = keypoints[..., 2] > lowest if self.values > 2 else keypoints[..., 0] == keypoints[..., 0]
        return [
            tuple((x, y) for (x, y), shown in zip(row, seen, strict=True) if shown)
            for row, seen in zip(places, visible.tolist(), strict=True)
        ]


def _truth(batch: Any) -> _Objects:
    """Return the ground truth of a batch, in pixels of the network's input."""
    objects = _Objects.of(batch["batch_idx"], batch["cls"], batch["bboxes"], batch.get("keypoints"))
    rows, (height, width) = objects.rows, batch["img"].shape[2:]
    boxes, keypoints = rows[:, 2:6], rows[:, 2 + objects.sides :]
    boxes *= (width, height, width, height)  # they are fractions of the letterboxed image
    if objects.sides == 4:
        centre, half = boxes[:, :2].copy(), boxes[:, 2:] / 2
        boxes[:, :2], boxes[:, 2:] = centre - half, centre + half
    if objects.values:
        keypoints[:, 0 :: objects.values] *= width
        keypoints[:, 1 :: objects.values] *= height
    return objects


def _true_masks(batch: Any, index: int, count: int, overlap: bool) -> Any:
    """Return the masks of the first objects of an image."""
    import torch

    if not overlap:
        return batch["masks"][batch["batch_idx"].view(-1) == index][:count]
    numbered = batch["masks"][index]  # one mask, in which each pixel has the number of its object
    return numbered[None] == torch.arange(1, count + 1, device=numbered.device)[:, None, None]


def _spread(total: int, count: int) -> list[int]:
    """Return positions at equal distances."""
    return [number * total // count for number in range(count)] if total > count else list(range(total))


def _size_of(path: Path) -> tuple[int, int]:
    """Return the width and height of an image file."""
    height, width = _read(path).shape[:2]
    return width, height


def shown_size(size: tuple[int, int], max_side: int = MAX_SIDE) -> tuple[int, int]:
    """Return the width and height of an image as `encode_jpeg` encodes it."""
    width, height = size
    scale = max_side / max(height, width)
    return size if scale >= 1 else (max(1, round(width * scale)), max(1, round(height * scale)))


def encode_jpeg(
    path: Path, *, max_side: int = MAX_SIDE, quality: int = 85, canvas: tuple[int, int] | None = None
) -> bytes:
    """Return an image file as a JPEG of limited size. This is slow: call it outside the training thread.

    Args:
        path: The image file. It is read as Ultralytics reads it, and rotated by its EXIF orientation as the boxes are.
        max_side: The maximum of the longer side, in pixels; a smaller image is not enlarged.
        quality: The quality of the JPEG, up to 100.
        canvas: Width and height of the JPEG: the image is in its upper left corner, the rest is grey. Defaults to
            `None`, the size of the image.

    Returns:
        The content of a JPEG file.

    Raises:
        OSError: If the file is missing, or is no image.
    """
    import cv2
    import numpy as np

    image = _read(path)
    # up to 8.4.103 at least a TIFF is read with all its bands and its own bit depth
    image = np.ascontiguousarray(image[..., :3] if image.shape[2] > 2 else image[..., :1])
    if image.dtype != np.uint8:
        image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    height, width = image.shape[:2]
    size = shown_size((width, height), max_side)
    if size != (width, height):
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    below, right = (max(0, room - used) for room, used in zip(reversed(canvas or size), reversed(size), strict=True))
    if below or right:
        image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_CONSTANT, value=_GREY)
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def _read(path: Path) -> Any:
    """Return an image file as Ultralytics reads it.

    Raises:
        OSError: If the file is missing, or is no image.
    """
    import cv2
    from ultralytics.utils.patches import imread

    try:
        image = imread(str(path))
    except cv2.error:  # an empty file
        image = None
    if image is None:
        raise OSError(f"{path} cannot be read as an image")
    return image
