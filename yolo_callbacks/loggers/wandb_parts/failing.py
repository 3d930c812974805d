"""Make the W&B table of the images that fail."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.callbacks.failing_parts.marks import KINDS, Mark, counts_of, marks_of_images
from yolo_callbacks.trainer.image_files import encode_jpeg
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.lenient import as_mapping, as_number, as_text

__all__ = ["log_failing_images"]

_COLUMNS = ("image", "file", "F1", "right", "false", "missed", "suspected labels")
_MOST = 50
_MAX_SIDE = 640


def log_failing_images(line: Mapping[str, Any], wandb_run: Any) -> None:
    """Log the table `failing/worst`: a picture of each image with what is wrong in it, and its counts.

    Args:
        line: The last line that `FailingImages` has written.
        wandb_run: The run.
    """
    import wandb

    counts, root = as_mapping(line.get("images")), Path(as_text(line.get("root")))
    table = wandb.Table(columns=list(_COLUMNS))
    with tempfile.TemporaryDirectory(prefix="yolo-callbacks-", ignore_cleanup_errors=True) as folder:
        for number, (name, marks) in enumerate(marks_of_images(line)):
            if number == _MOST:
                break
            jpeg = Path(folder) / f"{number}.jpg"
            try:
                jpeg.write_bytes(encode_jpeg(root / name, max_side=_MAX_SIDE))
            except OSError as error:
                LOGGER.debug(f"{root / name} is not in the table of W&B: {error}")
                continue
            image = as_mapping(counts.get(name))
            suspected = ", ".join(mark.label for mark in marks if mark.kind == "suspect")
            picture = wandb.Image(str(jpeg), boxes=_boxes(marks) or None)
            table.add_data(picture, name, as_number(image.get("f1")), *counts_of(image), suspected)
        if table.data:
            wandb_run.log({"failing/worst": table})


def _boxes(marks: tuple[Mark, ...]) -> dict[str, Any]:
    """Return the boxes of each kind of mark."""
    classes = {name: index for index, name in enumerate(dict.fromkeys(mark.name for mark in marks))}
    labels = {index: name for name, index in classes.items()}
    found: dict[str, Any] = {}
    for kind, words in KINDS.items():
        boxes = []
        for mark in marks:
            if mark.kind == kind and mark.edges is not None:
                position = dict(zip(("minX", "minY", "maxX", "maxY"), mark.edges, strict=True))
                box = {"position": position, "class_id": classes[mark.name], "box_caption": mark.label}
                boxes.append(box)
        if boxes:
            found[words] = {"box_data": boxes, "class_labels": labels}
    return found
