"""Embed pictures in the page: reduced in size, as `data:` URLs, within a limit for all of them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yolo_callbacks.report.charts import COLORS
from yolo_callbacks.report.run_data import RunData
from yolo_callbacks.trainer.image_files import encode_jpeg
from yolo_callbacks.utils.files import LOGGER

__all__ = ["BoxedPicture", "Rectangle", "boxed_pictures", "plots", "validation_batches"]

# A page may have 6 MB. The rest is for charts and tables.
_MAX_BYTES = 4_000_000
_PLOTS = {
    "confusion_matrix_normalized": "confusion matrix, normalized",
    "PR_curve": "precision against recall",
    "F1_curve": "F1 against confidence",
}
_GROUPS = ("Box", "Mask", "Pose")


@dataclass(frozen=True)
class Rectangle:
    """A box over a picture, with its edges in percent of the picture.

    Attributes:
        x: The left edge.
        y: The upper edge.
        width: The width.
        height: The height.
        color: The number of the colour of the class.
        label: The name of the class, with the confidence of a prediction.
        confidence: The confidence of a prediction, or None for ground truth.
        mask: The outline of its mask, as an SVG path; `""` for none.
        corners: The corners of a rotated box, as points of SVG; `""` for an upright box, which the edges describe.
        points: The keypoints, as an SVG path; `""` for none.
    """

    x: float
    y: float
    width: float
    height: float
    color: int
    label: str
    confidence: float | None
    mask: str = ""
    corners: str = ""
    points: str = ""


@dataclass(frozen=True)
class BoxedPicture:
    """A validation image with labels and predictions.

    Attributes:
        name: The name of the file.
        url: The content as a `data:` URL.
        ratio: The width divided by the height.
        boxes: The boxes.
        classes: The label and the prediction of the whole image, in words; `""` for other tasks than classification.
        wrong: Whether the prediction of the whole image is wrong.
    """

    name: str
    url: str
    ratio: float
    boxes: tuple[Rectangle, ...]
    classes: str = ""
    wrong: bool = False


class Album:
    """The pictures of one page, limited in size.

    Attributes:
        left: How many bytes can still be added.
    """

    def __init__(self) -> None:
        self.left = _MAX_BYTES

    def url(self, path: Path, *, max_side: int, quality: int = 82) -> str | None:
        """Return a picture as a `data:` URL, or None if it cannot be read or is too large for the remaining bytes."""
        try:
            content = base64.b64encode(encode_jpeg(path, max_side=max_side, quality=quality)).decode()
        except Exception as error:  # an incomplete picture, a moved data set: decoders raise many types
            LOGGER.debug(f"{path} is not in the report: {type(error).__name__} {error}")
            return None
        if len(content) > self.left:
            return None
        self.left -= len(content)
        return f"data:image/jpeg;base64,{content}"


def boxed_pictures(run: RunData, album: Album) -> list[BoxedPicture]:
    """Return the validation images that were stored with their labels and predictions."""
    names = run.boxes.get("names", {})
    found = []
    for image in run.boxes.get("images", ()):
        url = album.url(image["path"], max_side=640)
        if url:
            width, height = image["size"]
            picture = BoxedPicture(image["path"].name, url, width / height, tuple(_rectangles(image["boxes"], names)))
            if classified := image["classified"]:
                name = f"{image['path'].parent.name}/{image['path'].name}"  # the folder is the class
                wrong = classified.label != classified.predicted
                picture = replace(picture, name=name, classes=classified.in_words(names), wrong=wrong)
            found.append(picture)
    return found


def validation_batches(run: RunData, album: Album) -> list[tuple[str, str]]:
    """Return Ultralytics' pictures of validation, ground truth before predictions: a caption and a URL each."""
    found = []
    for batch in range(2):
        for kind, caption in (("labels", "ground truth"), ("pred", "predictions")):
            path = run.pictures.get(f"val_batch{batch}_{kind}")
            url = album.url(path, max_side=900) if path else None
            if url:
                found.append((f"batch {batch + 1}, {caption}", url))
    return found


def plots(run: RunData, album: Album) -> list[tuple[str, str]]:
    """Return Ultralytics' plots that add information to the page: a caption and a URL each."""
    found = []
    for ending, caption in _PLOTS.items():
        for name in [name for name in run.pictures if name.endswith(ending)]:
            group = name.removesuffix(ending)
            url = album.url(run.pictures[name], max_side=1100, quality=80)
            if url:
                several = group in _GROUPS[1:] or any(f"{other}{ending}" in run.pictures for other in _GROUPS[1:])
                found.append((f"{caption}, {group.lower()}" if several else caption, url))
    return found


def _rectangles(boxes: Any, names: dict[int, str]) -> Iterator[Rectangle]:
    for left, top, right, bottom, label, confidence, shapes in boxes:
        name = names.get(int(label), str(label))
        text = name if confidence is None else f"{name} {confidence:.2f}"
        x, y, width, height = (round(100 * float(edge), 2) for edge in (left, top, right - left, bottom - top))
        yield Rectangle(
            *(x, y, width, height, int(label) % COLORS, text, confidence),
            mask="".join(f"M{_svg(line)}Z" for line in shapes["mask"]),
            corners=_svg(shapes["corners"]),
            points="".join(f"M{_svg([point])}h0" for point in shapes["points"]),  # a round cap makes a dot of it
        )


def _svg(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{100 * x:.4g},{100 * y:.4g}" for x, y in points)
