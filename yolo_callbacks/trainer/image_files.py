"""Read image files as Ultralytics reads them, and encode them again in a limited size.

The functions import numpy, cv2 and ultralytics where they need them: a run that logs no image loads none of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["encode_jpeg", "shown_size", "size_of"]

MAX_SIDE = 1024
"""The longer side of an encoded image, in pixels."""

_GREY = (114, 114, 114)  # as Ultralytics pads images


def size_of(path: Path) -> tuple[int, int]:
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
