"""The large things that `WandbLogger` logs: validation images while training, plots and checkpoint at its end."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.adaptor import TrainerAdaptor
from yolo_callbacks.images import BoxedImage, ImageCapture, encode_jpeg
from yolo_callbacks.record import EpochRecord
from yolo_callbacks.run_description import checkpoint_facts, confusion_matrix, curves, plots
from yolo_callbacks.scalars import MAX_CLASSES
from yolo_callbacks.wandb_content import boxed, class_table, confusion_chart, curve_chart, model_artifact, picture
from yolo_callbacks.wandb_session import WandbSession

__all__ = ["ValidationImages", "log_end"]


class ValidationImages:
    """Validation images with boxes; each picture is made smaller once, what changes are its boxes.

    Args:
        count: How many images.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.capture = ImageCapture(count)
        self._pictures: dict[Path, Path] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def listen(self, validator: Any) -> None:
        """Look at the predictions of a validation, if it is one to look at."""
        if self.count:
            self.capture.listen(validator)

    def take(self, names: Mapping[int, str]) -> list[Any]:
        """What the last validation showed, as W&B images."""
        return [boxed(image, self._picture(image), names) for image in self.capture.take()]

    def forget(self) -> None:
        """Let go of the run."""
        self.capture.forget()
        self._pictures.clear()
        if self._folder:
            self._folder.cleanup()
            self._folder = None

    def _picture(self, image: BoxedImage) -> Path:
        if image.path not in self._pictures:
            self._folder = self._folder or tempfile.TemporaryDirectory(prefix="yolo-callbacks-")
            target = Path(self._folder.name) / f"{len(self._pictures)}.jpg"
            target.write_bytes(encode_jpeg(image.path))
            self._pictures[image.path] = target
        return self._pictures[image.path]


def log_end(
    session: WandbSession, run: TrainerAdaptor, last: EpochRecord | None, *, pictures: bool, model: bool
) -> None:
    """Log plots, curves, confusion matrix and the best checkpoint. Each may wait for the server."""
    row: dict[str, Any] = {f"plots/{name}": picture(path) for name, path in plots(run, pictures=pictures).items()}
    for title, x, values, x_title in curves(run):
        row[f"curves/{title}"] = curve_chart(title, x, values, x_title)
    matrix = confusion_matrix(run)
    if matrix is not None and last is not None and len(last.names) <= MAX_CLASSES:
        row["confusion_matrix"] = confusion_chart(matrix, list(last.names.values()))
    if last is not None and len(last.names) > MAX_CLASSES:
        row["per_class"] = class_table(last.per_class, last.names)
    if row:
        session.log(row)
    if model and run.best.is_file():
        facts = checkpoint_facts(run, run.best)
        session.run.log_artifact(
            model_artifact(f"run_{session.run.id}_model", run.best, facts), aliases=["best", "latest"]
        )
