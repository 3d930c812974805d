"""Records, boxes and curves in the forms that W&B draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.validation_images import Box, BoxedImage

__all__ = ["boxed", "class_table", "confusion_chart", "curve_chart", "model_artifact", "picture"]

_CURVE_POINTS = 100
_CURVE_CLASSES = 20


def picture(path: Path) -> Any:
    """A picture of the disk."""
    import wandb

    return wandb.Image(str(path), caption=path.name)


def boxed(image: BoxedImage, jpeg: Path, names: Mapping[int, str]) -> Any:
    """A validation picture with ground truth and predictions, which the viewer toggles by class and confidence."""
    import wandb

    labels = dict(names)
    groups = {"ground_truth": image.truth, "predictions": image.predictions}
    boxes = {
        name: {"box_data": [_box(box, labels) for box in group], "class_labels": labels}
        for name, group in groups.items()
    }
    return wandb.Image(str(jpeg), boxes=boxes, caption=image.path.name)


def class_table(per_class: Mapping[str, Mapping[int, float]], names: Mapping[int, str]) -> Any:
    """The last values of every class, where there are too many for scalars."""
    import wandb

    metrics = list(per_class)
    rows = [[name, *(per_class[metric].get(index) for metric in metrics)] for index, name in names.items()]
    return wandb.Table(columns=["class", *metrics], data=rows)


def curve_chart(title: str, x: Sequence[float], curves: Mapping[str, Sequence[float]], x_title: str) -> Any:
    """A curve of the mean and of the first classes."""
    import wandb

    count = min(len(x), _CURVE_POINTS)
    picked = [round(i * (len(x) - 1) / max(count - 1, 1)) for i in range(count)]  # the first and the last among them
    shown = dict(list(curves.items())[: _CURVE_CLASSES + 1])
    points = [float(x[i]) for i in picked]
    ys = [[float(values[i]) for i in picked] for values in shown.values()]
    return wandb.plot.line_series(xs=points, ys=ys, keys=list(shown), title=title, xname=x_title)


def confusion_chart(matrix: Sequence[Sequence[float]], names: Sequence[str]) -> Any:
    """The confusion matrix; of a detection the last row and column are the background."""
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
    """A checkpoint as an artifact.

    Args:
        name: The name of the artifact.
        path: The checkpoint.
        metadata: What is said of it.
        copied: Whether W&B makes a copy of the file, which may be removed then.
    """
    import wandb

    artifact = wandb.Artifact(name=name, type="model", metadata=dict(metadata))
    # the run's own file no longer changes: no second copy of it in wandb's staging folder
    artifact.add_file(str(path), policy="mutable" if copied else "immutable")
    return artifact


def _box(box: Box, names: Mapping[int, str]) -> dict[str, Any]:
    name = names.get(box.label, str(box.label))
    data: dict[str, Any] = {
        "position": {"minX": box.left, "minY": box.top, "maxX": box.right, "maxY": box.bottom},
        "class_id": box.label,
        "box_caption": name if box.confidence is None else f"{name} {box.confidence:.2f}",
    }
    if box.confidence is not None:
        data["scores"] = {"confidence": box.confidence}
    return data
