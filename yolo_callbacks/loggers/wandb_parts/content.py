"""Make the W&B objects of images, tables, curves and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.validation_images import Box, BoxedImage

__all__ = ["class_table", "confusion_chart", "curve_chart", "image_with_boxes", "model_artifact", "plot_image"]

_CURVE_POINTS = 100
_CURVE_CLASSES = 20


def plot_image(path: Path) -> Any:
    """Return the image of a file, such as a plot."""
    import wandb

    return wandb.Image(str(path), caption=path.name)


def image_with_boxes(
    image: BoxedImage, jpeg: Path, names: Mapping[int, str], share: tuple[float, float] = (1.0, 1.0)
) -> Any:
    """Return a validation image with ground truth and predictions, which W&B filters by class and confidence.

    Args:
        image: The image and its boxes.
        jpeg: The file to upload.
        names: Class names by index.
        share: How much of the width and of the height of the file the image takes, from its upper left corner.
    """
    import wandb

    labels = dict(names)
    groups = {"ground_truth": image.truth, "predictions": image.predictions}
    boxes = {
        name: {"box_data": [_box(box, labels, share) for box in group], "class_labels": labels}
        for name, group in groups.items()
    }
    return wandb.Image(str(jpeg), boxes=boxes, caption=image.path.name)


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
