"""Make the W&B table of the images that fail."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.callbacks.failing_parts.marks import KINDS, Mark, counts_of, marks_of_images
from yolo_callbacks.loggers.logger_parts.picture_files import PictureFiles
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.lenient import as_mapping, as_number, as_text

__all__ = ["FailingTable"]

_COLUMNS = ("image", "file", "F1", "right", "false", "missed", "suspected labels")
_MOST = 50
_MAX_SIDE = 640


class FailingTable:
    """Make the table of the images that fail, one for each validation that is logged.

    The tables of a run use the same files, so W&B stores each picture once. A reference to a picture of an earlier
    table needs `use_artifact`, which waits for the server and does not exist offline (wandb 0.31.0).
    """

    def __init__(self) -> None:
        self._files = PictureFiles()

    def table(self, line: Mapping[str, Any]) -> Any:
        """Return the table of a validation: each picture with what is wrong in it, and its counts; None for no image.

        Args:
            line: The line that `FailingImages` has written.
        """
        import wandb

        counts, root = as_mapping(line.get("images")), Path(as_text(line.get("root")))
        table = wandb.Table(columns=list(_COLUMNS))
        for name, marks in itertools.islice(marks_of_images(line), _MOST):
            try:
                jpeg = self._files.of(root / name, max_side=_MAX_SIDE)
            except OSError as error:
                LOGGER.debug(f"{root / name} is not in the table of W&B: {error}")
                continue
            image = as_mapping(counts.get(name))
            suspected = ", ".join(mark.label for mark in marks if mark.kind == "suspect")
            picture = wandb.Image(str(jpeg), boxes=_boxes(marks) or None)
            table.add_data(picture, name, as_number(image.get("f1")), *counts_of(image), suspected)
        return table if table.data else None

    def forget(self) -> None:
        """Remove the files."""
        self._files.remove()


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
