"""Collect validation images with their boxes, from the predictions of a validation that runs anyway.

The functions import numpy, torch, cv2 and ultralytics where they need them: a run that logs no image loads none of
them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolo_callbacks.utils.files import LOGGER

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

__all__ = [
    "BOXED_TASKS",
    "Box",
    "BoxedImage",
    "ImageCapture",
    "as_fractions",
    "encode_jpeg",
    "shown_size",
    "to_cpu",
    "upright_edges",
]

BOXED_TASKS = ("detect", "segment", "pose", "obb")
"""The tasks whose images have boxes."""

MAX_SIDE = 1024
"""The longer side of an encoded image, in pixels."""

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
    """

    left: float
    top: float
    right: float
    bottom: float
    label: int
    confidence: float | None = None


@dataclass(frozen=True)
class BoxedImage:
    """One validation image with its boxes.

    Attributes:
        path: The image file.
        size: Width and height of the image in that file.
        truth: The boxes of the label file, in its order.
        predictions: The predicted boxes, highest confidence first.
    """

    path: Path
    size: tuple[int, int]
    truth: tuple[Box, ...]
    predictions: tuple[Box, ...]


class ImageCapture:
    """Collect images with ground truth and predictions from validations that run anyway.

    The capture replaces the validator's `update_metrics`, the only method that gets the predictions: the events of
    Ultralytics get the validator, which does not store them. So no image passes through a model for this. The images
    are the first ones of the validation set, the same in each validation and in the final evaluation. A rank of a
    multi-GPU run collects those of them that it validates itself. Boxes are collected for the tasks detect, segment,
    pose and obb, for rotated ones the upright boxes around them; masks and keypoints are not.

    Attributes:
        count: The number of images to collect.
        max_boxes: The maximum number of boxes of an image, for ground truth and for predictions. Defaults to `100`.
        min_confidence: Predictions with a lower confidence are left out. Defaults to `0.05`.
        active: Whether to collect; otherwise the predictions are not read. Defaults to `True`.

    Example:
        >>> capture = ImageCapture(16)
        >>> from ultralytics import YOLO
        >>> model = YOLO("yolo11n.yaml")
        >>> model.add_callback("on_val_start", capture.listen)
        >>> model.add_callback("on_val_end", lambda validator: print(len(capture.take())))
    """

    def __init__(self, count: int, *, max_boxes: int = 100, min_confidence: float = 0.05) -> None:
        self.count = count
        self.max_boxes = max_boxes
        self.min_confidence = min_confidence
        self.active = True
        self._tap: _Tap | None = None
        self._failed = False
        self._chosen: dict[str, int] = {}  # keys in the order of the validation set
        self._collected: dict[str, BoxedImage] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Ultralytics pickles and deep-copies callbacks, also after a run that failed without any further event (up to
        # 8.4.140 at least). So leave out what belongs to a run.
        return {**vars(self), "_tap": None, "_failed": False, "_chosen": {}, "_collected": {}}

    def listen(self, validator: Any) -> None:
        """Start a new collection, in `on_val_start`: from then on the data loader exists."""
        if self._tap is not None and self._tap.validator is not validator:
            self.forget()
        self._collected = {}
        try:
            if self._failed or self.count < 1 or validator.args.task not in BOXED_TASKS:
                return
            if self._tap is None:  # the final evaluation uses the validator of the epochs
                self._tap = _Tap(validator, self._look)
            self._chosen = dict.fromkeys(map(str, validator.dataloader.dataset.im_files[: self.count]), 0)
        except Exception as error:
            self._fail(error)

    def take(self) -> list[BoxedImage]:
        """Return what the last validation collected, in the order of the validation set, and forget it."""
        collected, self._collected = self._collected, {}
        return [collected[file] for file in self._chosen if file in collected]

    def forget(self) -> None:
        """Restore the validator, and forget the run."""
        if self._tap is not None:
            self._tap.remove()
        self._tap, self._failed, self._chosen, self._collected = None, False, {}, {}

    # The other parameters are for a validator of the user, whose `update_metrics` may have more of them.
    def _look(self, preds: Any = None, batch: Any = None, *_: Any, **__: Any) -> None:
        if not self.active or self._failed:
            return
        try:
            files = [(index, str(file)) for index, file in enumerate(batch["im_file"]) if str(file) in self._chosen]
            truth = _truth(batch) if files else None
            for index, file in files:
                self._collected[file] = _boxed(preds[index], truth, batch, index, self.max_boxes, self.min_confidence)
        except Exception as error:
            self._fail(error)

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


def _boxed(preds: Any, truth: Any, batch: Any, index: int, max_boxes: int, min_confidence: float) -> BoxedImage:
    """Return one image of a batch, with all its numbers copied to the CPU."""
    import numpy as np

    # one copy from the device instead of three, without the mask coefficients or other parts of a prediction
    rows = to_cpu(preds["conf"], preds["cls"], preds["bboxes"])
    rows = rows[np.isfinite(rows).all(axis=1) & (rows[:, 0] >= min_confidence)]
    rows = rows[np.argsort(-rows[:, 0], kind="stable")][:max_boxes]
    true = truth[truth[:, 0] == index][:max_boxes]
    geometry = batch["ratio_pad"][index], batch["ori_shape"][index]
    height, width = geometry[1][:2]
    return BoxedImage(
        path=Path(batch["im_file"][index]),
        size=(int(width), int(height)),
        truth=_boxes(as_fractions(true[:, 2:], *geometry), true[:, 1]),
        predictions=_boxes(as_fractions(upright_edges(rows[:, 2:]), *geometry), rows[:, 1], rows[:, 0].tolist()),
    )


def _boxes(edges: Array, labels: Array, confidences: list[float] | None = None) -> tuple[Box, ...]:
    columns = (*edges.T.tolist(), labels.astype(int).tolist(), confidences or [None] * len(labels))
    return tuple(Box(*row) for row in zip(*columns, strict=True))


def _truth(batch: Any) -> Array:
    """Return the ground truth of a batch: position in the batch, class, and edges in pixels of the network's input."""
    import numpy as np

    rows = to_cpu(batch["batch_idx"], batch["cls"], batch["bboxes"])
    height, width = batch["img"].shape[2:]
    boxes = rows[:, 2:]  # centre and size as fractions of the letterboxed image, of a rotated one the angle
    boxes[:, :4] *= (width, height, width, height)
    angles = boxes[:, 4:] if boxes.shape[1] == 5 else np.zeros((len(boxes), 1))
    edges: Array = upright_edges(np.concatenate([boxes[:, :4], angles], axis=1))
    return np.concatenate([rows[:, :2], edges], axis=1)


def upright_edges(boxes: Array) -> Array:
    """Return the edges of boxes: of rotated ones, with centre, size and angle, those of the upright box around each."""
    import numpy as np

    if boxes.shape[1] != 5:
        return boxes[:, :4]
    centre, (width, height), angle = boxes[:, :2], boxes[:, 2:4].T, boxes[:, 4]
    cosine, sine = np.abs(np.cos(angle)), np.abs(np.sin(angle))
    half = np.stack([width * cosine + height * sine, width * sine + height * cosine], axis=1) / 2
    edges: Array = np.concatenate([centre - half, centre + half], axis=1)
    return edges


def as_fractions(edges: Array, ratio_pad: Any, shape: Any) -> Array:
    """Return edges in pixels of the network's input as fractions of the original image.

    `ops.scale_boxes` is not used: with `ratio_pad` it uses the gain of the height for both axes, up to 8.4.104 at
    least. That is wrong where the resize has rounded (by 5 % for 45x20 pixels in 32). It is right in 8.4.139.

    Args:
        edges: Left, top, right and bottom of each box.
        ratio_pad: How Ultralytics has resized the image, as a batch names it.
        shape: Height and width of the original image.
    """
    import numpy as np

    geometry = np.asarray(ratio_pad, dtype=np.float64)
    # (gains, padding) after a letterbox; RT-DETR stretches its images and has only the gains
    gains, padding = geometry if geometry.ndim == 2 else (geometry, np.zeros(2))
    seen = (gains * np.asarray(shape[:2], dtype=np.float64))[::-1]  # width and height inside the network's input
    fractions: Array = (edges.reshape(-1, 2, 2) - padding) / seen
    return fractions.clip(0, 1).reshape(-1, 4)


def to_cpu(*columns: Any) -> Array:
    """Return tensors of one or more columns as one table, with one copy from the device."""
    import torch

    table = torch.cat([column if column.ndim == 2 else column[:, None] for column in columns], dim=1)
    # inference tensors, half precision with AMP on a GPU
    rows: Array = table.detach().cpu().double().numpy()
    return rows


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
    from ultralytics.utils.patches import imread

    try:
        image = imread(str(path))
    except cv2.error:  # an empty file
        image = None
    if image is None:
        raise OSError(f"{path} cannot be read as an image")
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
