"""Store the labels and predictions that a report shows over validation images."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import Any, ClassVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.report.reading import BOXES_FILE
from yolo_callbacks.trainer.run_description import best_confidence
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.trainer.validation_images import AnnotatedImage, Box, ImageCapture
from yolo_callbacks.utils.files import LOGGER, write_json

__all__ = ["ValidationSnapshot"]


class ValidationSnapshot(Callback):
    """Store labels and predictions of a few validation images during the final evaluation, for `report.html`.

    The predictions are those that the evaluation of best.pt has made: boxes, masks, keypoints, rotated boxes, or the
    class of an image. No image is copied: the report reads the images from the data set.

    Args:
        images: The number of images, from the beginning of the validation set; of a classification spread over it.
            Defaults to `12`.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import attach
        >>> suite = attach(YOLO("yolo11n.yaml"), report=True)  # adds this callback

    Logs nothing. Writes `callbacks.images.json` in the run's folder.
    """

    is_logger: ClassVar[bool] = True

    def __init__(self, images: int = 12) -> None:
        self._capture = ImageCapture(images)

    def reset(self) -> None:
        """Discard the data of the last run."""
        self._capture.forget()

    def on_val_start(self, validator: Any) -> None:
        """Collect predictions if this is the evaluation after training."""
        self._capture.active = not validator.training
        # A classification has to follow the order of its images from the first validation on.
        if self._capture.active or validator.args.task == "classify":
            self._capture.listen(validator)

    def on_final_evaluation(self, run: TrainingRun, record: EpochRecord) -> None:
        """Write the predictions of the final evaluation."""
        images = self._capture.take()
        if images:
            stored = {"names": dict(record.names), "best_confidence": best_confidence(run)}
            # outlines of masks take time
            run.run_in_background(_write, run.save_dir / BOXES_FILE, images, stored)

    def on_train_end(self, trainer: Any) -> None:
        """Restore the validator."""
        self._capture.forget()

    def teardown(self, trainer: Any) -> None:
        """Restore the validator."""
        self._capture.forget()


def _write(path: Path, images: list[AnnotatedImage], others: dict[str, Any]) -> None:
    """Write the images that can be read; a function of the background thread must not raise."""
    content = []
    for image in images:
        try:
            content.append(_as_json(image.complete()))
        except Exception as error:
            LOGGER.warning(f"{image.path} is not in the report: {type(error).__name__} {error}")
    try:
        write_json(path, {**others, "images": content})
    except OSError as error:
        LOGGER.warning(f"{path} cannot be written, the report has no validation images: {error}")


def _as_json(image: AnnotatedImage) -> dict[str, Any]:
    content = {"path": str(image.path), "size": image.size}
    if image.classified is not None:
        return {**content, "classified": astuple(image.classified)}
    return {**content, "truth": list(map(_box, image.truth)), "predictions": list(map(_box, image.predictions))}


def _box(box: Box) -> list[Any]:
    """Return the numbers of a box, with the shapes that it has at the end."""
    shapes = {"mask": box.mask, "corners": box.corners, "points": box.points}
    numbers = [box.left, box.top, box.right, box.bottom, box.label, box.confidence]
    return [*numbers, given] if (given := {name: shape for name, shape in shapes.items() if shape}) else numbers
