"""Make the W&B objects of images, tables, curves and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.image_files import shown_size
from yolo_callbacks.trainer.validation_images import AnnotatedImage, Box

__all__ = [
    "annotated_image",
    "class_table",
    "confusion_chart",
    "curve_chart",
    "draw_mask",
    "model_artifact",
    "plot_image",
]

_CURVE_POINTS = 100
_CURVE_CLASSES = 20
_MASK_CONFIDENCE = 0.25  # W&B hides boxes by their confidence, but no masks
_LAST_VALUE = 255


def plot_image(path: Path) -> Any:
    """Return the image of a file, such as a plot."""
    import wandb

    return wandb.Image(str(path), caption=path.name)


def annotated_image(image: AnnotatedImage, jpeg: Path, names: Mapping[int, str], canvas: tuple[int, int]) -> Any:
    """Return a validation image with ground truth and predictions, which W&B filters by class and confidence.

    Masks, keypoints and rotated boxes are W&B masks: W&B draws no keypoints and no rotated boxes. The class of a whole
    image is in its caption.

    Args:
        image: The image with its labels and predictions, completed.
        jpeg: The file to upload.
        names: Class names by index.
        canvas: Width and height of the file; the image is in its upper left corner.
    """
    import wandb

    labels = dict(names)
    if image.classified is not None:
        return wandb.Image(str(jpeg), caption=f"{image.path.name}: {image.classified.in_words(labels)}")
    width, height = shown_size(image.size)
    share = width / canvas[0], height / canvas[1]
    groups = {"ground_truth": image.truth, "predictions": image.predictions}
    boxes = {
        name: {"box_data": [_box(box, labels, share) for box in group], "class_labels": labels}
        for name, group in groups.items()
    }
    masks = None
    if any(box.mask or box.corners or box.points for group in groups.values() for box in group):
        masks = {
            name: {"mask_data": draw_mask(group, canvas, share), "class_labels": _mask_labels(labels)}
            for name, group in groups.items()
        }
    return wandb.Image(str(jpeg), boxes=boxes, masks=masks, caption=image.path.name)


def draw_mask(boxes: Sequence[Box], size: tuple[int, int], share: tuple[float, float] = (1.0, 1.0)) -> Any:
    """Return masks, keypoints and rotated boxes as W&B wants a mask: the class in each pixel, 0 for none.

    Args:
        boxes: The objects. Predictions below a confidence of 0.25 are left out, and the most confident one is on top.
        size: Width and height of the mask.
        share: How much of the width and of the height the image takes, from the upper left corner.

    Returns:
        An array of unsigned bytes, with the class index plus 1.
    """
    import cv2
    import numpy as np

    def pixels(points: Any) -> Any:
        return np.round(np.array(points) * scale).astype(np.int32)

    mask = np.zeros(size[::-1], np.uint8)
    scale = np.array(size) * share
    thick = max(1, round(max(size) / 400))
    for box in sorted(boxes, key=lambda box: box.confidence or 1.0):
        if box.confidence is not None and box.confidence < _MASK_CONFIDENCE:
            continue
        value = _mask_value(box.label)
        mask_lines = [pixels(line) for line in box.mask]
        if mask_lines:
            cv2.fillPoly(mask, mask_lines, value)
        if box.corners:
            cv2.polylines(mask, [pixels(box.corners)], True, value, thick)
        for point in box.points:
            cv2.circle(mask, pixels(point).tolist(), 2 * thick, value, -1)
    return mask


def class_table(per_class: Mapping[str, Mapping[int, float]], names: Mapping[int, str]) -> Any:
    """Return a table with a row for each class, for more classes than scalars are logged of.

    Args:
        per_class: Values by class index, by metric.
        names: Class names by index.
    """
    import wandb

    metrics = list(per_class)
    rows = [[name, *(per_class[metric].get(index) for metric in metrics)] for index, name in names.items()]
    return wandb.Table(columns=["class", *metrics], data=rows)


def curve_chart(title: str, x: Sequence[float], curves: Mapping[str, Sequence[float]], x_title: str) -> Any:
    """Return a chart with a curve for the mean and for each of the first classes.

    Args:
        title: The title of the chart.
        x: The values on the horizontal axis.
        curves: The values of each curve by its name, the mean first.
        x_title: The title of the horizontal axis.
    """
    import wandb

    count = min(len(x), _CURVE_POINTS)
    picked = [round(i * (len(x) - 1) / max(count - 1, 1)) for i in range(count)]  # the first and the last among them
    shown = dict(list(curves.items())[: _CURVE_CLASSES + 1])
    points = [float(x[i]) for i in picked]
    ys = [[float(values[i]) for i in picked] for values in shown.values()]
    return wandb.plot.line_series(xs=points, ys=ys, keys=list(shown), title=title, xname=x_title)


def confusion_chart(matrix: Sequence[Sequence[float]], names: Sequence[str]) -> Any:
    """Return a chart of a confusion matrix; of a detection the last row and column are the background.

    Args:
        matrix: Counts by predicted class, then by actual class.
        names: Class names by index.
    """
    import wandb

    labels = [*names, "background"]
    rows = [
        [labels[actual], labels[predicted], int(count)]
        for predicted, counts in enumerate(matrix)
        for actual, count in enumerate(counts)
        if count
    ]
    table = wandb.Table(columns=["Actual", "Predicted", "nPredictions"], data=rows)
    fields = {"Actual": "Actual", "Predicted": "Predicted", "nPredictions": "nPredictions"}
    return wandb.plot_table("wandb/confusion_matrix/v1", table, fields, {"title": "Confusion matrix"})


def model_artifact(name: str, path: Path, metadata: Mapping[str, Any], *, copied: bool = False) -> Any:
    """Return an artifact with a checkpoint.

    Args:
        name: The name of the artifact.
        path: The checkpoint.
        metadata: The metadata of the artifact.
        copied: Whether W&B makes a copy of the file at once, so that the file may be removed afterwards.
    """
    import wandb

    artifact = wandb.Artifact(name=name, type="model", metadata=dict(metadata))
    # the run's own file no longer changes: wandb needs no second copy of it in its staging folder
    artifact.add_file(str(path), policy="mutable" if copied else "immutable")
    return artifact


def _mask_value(label: int) -> int:
    return min(1 + label, _LAST_VALUE)


def _mask_labels(names: Mapping[int, str]) -> dict[int, str]:
    """Return the names of the values of a mask, which are bytes: many classes share the last one."""
    found = {_mask_value(index): name for index, name in names.items()}
    return {0: "none", **found, **({_LAST_VALUE: "other classes"} if len(names) >= _LAST_VALUE else {})}


def _box(box: Box, names: Mapping[int, str], share: tuple[float, float]) -> dict[str, Any]:
    across, down = share
    x, y = (across * box.left, across * box.right), (down * box.top, down * box.bottom)
    position = {"minX": x[0], "minY": y[0], "maxX": x[1], "maxY": y[1]}
    name = names.get(box.label, str(box.label))
    data: dict[str, Any] = {
        "position": position,
        "class_id": box.label,
        "box_caption": name if box.confidence is None else f"{name} {box.confidence:.2f}",
    }
    if box.confidence is not None:
        data["scores"] = {"confidence": box.confidence}
    return data
