"""Log images, plots and the checkpoint to W&B: validation images during the training, the rest at its end."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from yolo_callbacks.loggers.logger_parts.image_collection import ImageCollection
from yolo_callbacks.loggers.logger_parts.picture_files import PictureFiles
from yolo_callbacks.loggers.wandb_parts.content import (
    annotated_image,
    class_table,
    confusion_chart,
    curve_chart,
    model_artifact,
    plot_image,
)
from yolo_callbacks.loggers.wandb_parts.ending import Upload
from yolo_callbacks.loggers.wandb_parts.failing import FailingTable
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.scalars import MAX_CLASSES
from yolo_callbacks.trainer.image_files import shown_size
from yolo_callbacks.trainer.resume import load_checkpoint
from yolo_callbacks.trainer.run_description import (
    checkpoint_facts,
    confusion_matrix,
    curves,
    plots,
    shareable,
)
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.trainer.validation_images import AnnotatedImage
from yolo_callbacks.utils.files import LOGGER, plain
from yolo_callbacks.utils.origins import Origins

__all__ = ["ValidationImages", "last_uploads"]

_ALIASES = ("best", "latest")


class ValidationImages:
    """Collect validation images, and make W&B images of them with labels and predictions.

    Where `FailingImages` has compared the same validation, make the table of the images that fail too. The files of the
    images are made smaller once; only what is drawn on them changes from one epoch to the next.

    Args:
        count: How many images, always the same ones; 0 for none, and for no table.
        period: Epochs from one collection to the next; without a validation it waits for the next one.

    Attributes:
        collection: The images.
    """

    def __init__(self, count: int, period: int) -> None:
        self.collection = ImageCollection(count, period)
        self._files = PictureFiles()
        self._failing = FailingTable()

    def take(
        self, names: Mapping[int, str], key: str, failures: Mapping[str, Any] | None = None
    ) -> Callable[[], dict[str, Any]] | None:
        """Take what was collected from the last validation.

        Args:
            names: Class names by index.
            key: The key to log the images under.
            failures: The line of `FailingImages` about this validation; None without one.

        Returns:
            A function that makes W&B images, off the training thread; None where nothing was collected.
        """
        if not self.collection.count:
            return None
        taken = self.collection.take()
        failures = failures if self.collection.is_active else None
        if not taken and not failures:
            return None
        self.collection.start_period()
        return partial(self._made, taken, dict(names), key, failures)

    def forget(self) -> None:
        """Remove the files, and drop the references to the run."""
        self.collection.forget()
        self._files.remove()
        self._failing.forget()

    def _made(
        self,
        images: list[AnnotatedImage],
        names: Mapping[int, str],
        key: str,
        failures: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        if not self.collection.count:
            return {}
        try:
            table = self._failing.table(failures) if failures else None
            return {
                **({key: self._of_one_size(images, names)} if images else {}),
                **({"failing/worst": table} if table else {}),
            }
        except Exception as error:  # the epoch's scalars are logged without its images
            LOGGER.warning(f"WandbLogger: no images from here on: {Origins().described(error)}")
            self.collection.stop()
            return {}

    def _of_one_size(self, images: list[AnnotatedImage], names: Mapping[int, str]) -> list[Any]:
        """Return the W&B images; the smaller ones are padded: W&B shows a list of images of different sizes wrongly."""
        completed = [image.complete() for image in images]
        sizes = [shown_size(image.size) for image in completed]
        canvas = max(width for width, _ in sizes), max(height for _, height in sizes)
        return [annotated_image(image, self._files.of(image.path, canvas=canvas), names, canvas) for image in completed]


def last_uploads(run: TrainingRun, last: EpochRecord | None, *, pictures: bool, model: bool) -> dict[str, Upload]:
    """Return what is logged at the end, by name, the most valuable first.

    Each upload runs on the session's thread. Values that may change after the training are copied here.

    Args:
        run: The training.
        last: The record of its last epoch, None where there was none.
        pictures: Whether to log plots that show images of the data set.
        model: Whether to log best.pt.
    """
    uploads: dict[str, Upload] = {}
    if model and run.best.is_file():
        uploads[run.best.name] = Upload(partial(_log_model, run, run.best), partial(_put_command, run.best))
    found = plots(run, pictures=pictures)
    if found:
        uploads["plots"] = Upload(
            lambda wandb_run: wandb_run.log({f"plots/{name}": plot_image(path) for name, path in found.items()})
        )
    drawn = {f"curves/{title}": deepcopy(curve) for title, *curve in curves(run)}
    if drawn:
        uploads["curves"] = Upload(
            lambda wandb_run: wandb_run.log({key: curve_chart(key, *curve) for key, curve in drawn.items()})
        )
    if last is not None:
        uploads |= _class_uploads(run, last)
    return uploads


def _class_uploads(run: TrainingRun, last: EpochRecord) -> dict[str, Upload]:
    many, matrix = len(last.names) > MAX_CLASSES, deepcopy(confusion_matrix(run))
    if many and last.per_class:
        return {
            "per_class": Upload(lambda wandb_run: wandb_run.log({"per_class": class_table(last.per_class, last.names)}))
        }
    if matrix is None or many:
        return {}
    names = list(last.names.values())
    return {
        "confusion_matrix": Upload(
            lambda wandb_run: wandb_run.log({"confusion_matrix": confusion_chart(matrix, names)})
        )
    }


def _log_model(run: TrainingRun, path: Path, wandb_run: Any) -> Any:
    checkpoint = load_checkpoint(path)
    # W&B refuses an artifact whose metadata holds NaN or infinity.
    facts = plain(checkpoint_facts(run, checkpoint))
    with tempfile.TemporaryDirectory(prefix="yolo-callbacks-", ignore_cleanup_errors=True) as folder:
        shared = shareable(path, checkpoint, Path(folder))
        artifact = model_artifact(_artifact_name(wandb_run), shared, facts, copied=shared != path)
        return wandb_run.log_artifact(artifact, aliases=list(_ALIASES))


def _artifact_name(wandb_run: Any) -> str:
    return f"run_{wandb_run.id}_model"


def _put_command(path: Path, wandb_run: Any) -> str:
    """Return the command that uploads a checkpoint: wandb 0.31.0 keeps no record of an online run's artifacts."""
    name = "/".join(part for part in (wandb_run.entity, wandb_run.project, _artifact_name(wandb_run)) if part)
    aliases = [part for alias in _ALIASES for part in ("--alias", alias)]
    put = ["wandb", "artifact", "put", "--name", name, "--type", "model", *aliases, "--id", wandb_run.id, str(path)]
    return f"upload it with: {shlex.join(put)}"
