"""The large things that `WandbLogger` logs: validation images while training, plots and checkpoint at its end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.adaptor import TrainerAdaptor
from yolo_callbacks.files import LOGGER, plain
from yolo_callbacks.images import BoxedImage, ImageCapture, encode_jpeg
from yolo_callbacks.record import EpochRecord
from yolo_callbacks.run_description import (
    checkpoint_facts,
    confusion_matrix,
    curves,
    load_checkpoint,
    plots,
    shareable,
)
from yolo_callbacks.scalars import MAX_CLASSES
from yolo_callbacks.wandb_content import boxed, class_table, confusion_chart, curve_chart, model_artifact, picture
from yolo_callbacks.wandb_session import WandbSession

__all__ = ["ValidationImages", "last_uploads"]


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

    def __getstate__(self) -> dict[str, Any]:
        # The folder is this process's own; who has a copy must not remove it.
        return {**vars(self), "_pictures": {}, "_folder": None}

    def listen(self, validator: Any) -> None:
        """Look at the predictions of a validation, if it is one to look at."""
        if self.count:
            self.capture.listen(validator)

    def take(self, names: Mapping[int, str]) -> list[Any]:
        """What the last validation showed, as W&B images."""
        if not self.count:
            return []
        try:
            return [boxed(image, self._picture(image), names) for image in self.capture.take()]
        except Exception as error:  # the epoch's scalars are worth more than its pictures
            LOGGER.warning(f"WandbLogger: no images from here on: {type(error).__name__} {error}")
            self.count = 0
            self.capture.active = False
            return []

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


def last_uploads(
    session: WandbSession, run: TrainerAdaptor, last: EpochRecord | None, *, pictures: bool, model: bool
) -> dict[str, Callable[[], object]]:
    """What is logged at the end, by name, the most valuable first: each may fail, or wait for the server, alone."""
    uploads: dict[str, Callable[[], object]] = {}
    if model and run.best.is_file():
        uploads[run.best.name] = lambda: _log_model(session, run)
    found = plots(run, pictures=pictures)
    if found:
        uploads["plots"] = lambda: session.log({f"plots/{name}": picture(path) for name, path in found.items()})
    drawn = {f"curves/{title}": curve for title, *curve in curves(run)}
    if drawn:
        uploads["curves"] = lambda: session.log({key: curve_chart(key, *curve) for key, curve in drawn.items()})
    if last is not None:
        uploads |= _class_uploads(session, run, last)
    return uploads


def _class_uploads(session: WandbSession, run: TrainerAdaptor, last: EpochRecord) -> dict[str, Callable[[], object]]:
    many, matrix = len(last.names) > MAX_CLASSES, confusion_matrix(run)
    if many and last.per_class:
        return {"per_class": lambda: session.log({"per_class": class_table(last.per_class, last.names)})}
    if matrix is None or many:
        return {}
    names = list(last.names.values())
    return {"confusion_matrix": lambda: session.log({"confusion_matrix": confusion_chart(matrix, names)})}


def _log_model(session: WandbSession, run: TrainerAdaptor) -> None:
    checkpoint = load_checkpoint(run.best)
    # W&B refuses metadata with NaN or infinity, and the artifact with it.
    facts = plain(checkpoint_facts(run, checkpoint))
    name = f"run_{session.run.id}_model"
    with tempfile.TemporaryDirectory(prefix="yolo-callbacks-", ignore_cleanup_errors=True) as folder:
        path = shareable(run.best, checkpoint, Path(folder))
        session.run.log_artifact(model_artifact(name, path, facts, copied=path != run.best), aliases=["best", "latest"])
