"""Draw the labels and predictions of validation images for MLflow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from yolo_callbacks.loggers.mlflow_parts.opened_run import OpenedRun
from yolo_callbacks.trainer.image_files import encode_jpeg, shown_size
from yolo_callbacks.trainer.validation_images import AnnotatedImage, Box

__all__ = ["draw", "log_pictures"]

_MAX_SIDE = 640
_SURE = 0.25  # predictions with a lower confidence are not drawn
_TRUTH, _PREDICTED = (60, 180, 75), (230, 25, 75)  # red, green, blue
_TEXT_HEIGHT = 14


def log_pictures(
    run: OpenedRun, images: Iterable[AnnotatedImage], names: Mapping[int, str], *, folder: str, step: int
) -> None:
    """Draw images and log them, off the training thread.

    Args:
        run: The run.
        images: What was collected.
        names: Class names by index.
        folder: The first part of their names in MLflow.
        step: The epoch.
    """
    import PIL.Image

    for number, image in enumerate(images):
        # MLflow accepts no other characters in the name of an image, and shows one slider for each name
        stem = re.sub(r"[^a-zA-Z0-9_. -]", "_", image.path.stem)
        drawn = PIL.Image.fromarray(draw(image.complete(), names))
        run.client.log_image(run.run_id, drawn, key=f"{folder}/{number:02} {stem}", step=step, synchronous=True)


def draw(image: AnnotatedImage, names: Mapping[int, str]) -> Any:
    """Return an image with its labels in green and its predictions in red, as an array of red, green and blue.

    Args:
        image: The image, completed.
        names: Class names by index.

    Raises:
        OSError: If the file is missing, or is no image.
    """
    import cv2
    import numpy as np

    content = np.frombuffer(encode_jpeg(image.path, max_side=_MAX_SIDE), np.uint8)
    canvas = cv2.cvtColor(cv2.imdecode(content, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    if image.classified is not None:
        return _with_caption(canvas, image.classified.in_words(names))
    size = np.array(shown_size(image.size, _MAX_SIDE))
    for box in image.truth:
        _draw_box(canvas, box, size, _TRUTH, names.get(box.label, str(box.label)), above=True)
    for box in reversed(image.predictions):  # the most confident one last, on top
        if (confidence := box.confidence or 0.0) >= _SURE:
            caption = f"{names.get(box.label, box.label)} {confidence:.2f}"
            _draw_box(canvas, box, size, _PREDICTED, caption, above=False)
    return canvas


def _draw_box(canvas: Any, box: Box, size: Any, color: tuple[int, int, int], text: str, *, above: bool) -> None:
    """Draw an object: its mask, rotated box or box, its keypoints, and the class beside it."""
    import cv2
    import numpy as np

    def pixels(points: Any) -> Any:
        return np.round(np.array(points) * size).astype(np.int32)

    if box.mask:
        cv2.polylines(canvas, [pixels(line) for line in box.mask], True, color, 1)
    outline = box.corners or (
        (box.left, box.top), (box.right, box.top), (box.right, box.bottom), (box.left, box.bottom),
    )  # fmt: skip
    cv2.polylines(canvas, [pixels(outline)], True, color, 1)
    for point in box.points:
        cv2.circle(canvas, pixels(point).tolist(), 2, color, -1)
    x, y = pixels((box.left, box.top if above else box.bottom)).tolist()
    y = max(y - 3, _TEXT_HEIGHT) if above else min(y + _TEXT_HEIGHT, canvas.shape[0] - 2)
    for thickness, paint in ((3, (0, 0, 0)), (1, color)):  # with a dark edge, for any background
        cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, paint, thickness, cv2.LINE_AA)


def _with_caption(canvas: Any, text: str) -> Any:
    """Return an image with a line of text below it, wide enough for the text."""
    import cv2

    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
    height, room = canvas.shape[0], max(0, width + 8 - canvas.shape[1])
    canvas = cv2.copyMakeBorder(canvas, 0, _TEXT_HEIGHT + 6, 0, room, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    place = (4, height + _TEXT_HEIGHT)
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return canvas
