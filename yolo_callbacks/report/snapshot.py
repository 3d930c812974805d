"""Store the boxes that a report shows over validation images."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any, ClassVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.report.reading import BOXES_FILE
from yolo_callbacks.trainer.run_description import best_confidence
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.trainer.validation_images import ImageCapture
from yolo_callbacks.utils.files import write_json

__all__ = ["ValidationSnapshot"]


class ValidationSnapshot(Callback):
    """Store the boxes of a few validation images during the final evaluation, for `report.html`.

    The boxes are the predictions that the evaluation of best.pt has made. No image is copied: the report reads the
    images from the data set. Only detection is supported.

    Args:
        images: The number of images, from the beginning of the validation set. Defaults to `12`.

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
        """Start to collect predictions if this is the evaluation after training."""
        if not validator.training:
            self._capture.listen(validator)

    def on_final_evaluation(self, run: TrainingRun, record: EpochRecord) -> None:
        """Write the predictions of the final evaluation."""
        images = self._capture.take()
        if images:
            content = [
                {
                    "path": str(image.path),
                    "size": image.size,
                    "truth": [astuple(box) for box in image.truth],
                    "predictions": [astuple(box) for box in image.predictions],
                }
                for image in images
            ]
            stored = {"names": dict(record.names), "images": content, "best_confidence": best_confidence(run)}
            write_json(run.save_dir / BOXES_FILE, stored)

    def on_train_end(self, trainer: Any) -> None:
        """Restore the validator."""
        self._capture.forget()

    def teardown(self, trainer: Any) -> None:
        """Restore the validator."""
        self._capture.forget()
