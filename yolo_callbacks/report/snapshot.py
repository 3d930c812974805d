"""The boxes that a report shows over validation images."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any, ClassVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.report.run_data import BOXES_FILE
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.trainer.validation_images import ImageCapture
from yolo_callbacks.utils.files import write_json

__all__ = ["ValidationSnapshot"]


class ValidationSnapshot(Callback):
    """Keep the boxes of a few validation images from the final evaluation, for `report.html`.

    The predictions are those that the evaluation of best.pt has just made; no image is copied, the report reads them
    from the data set. Detection only.

    Args:
        images: How many images, the first ones of the validation set. Defaults to `12`.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import attach
        >>> suite = attach(YOLO("yolo11n.yaml"), report=True)  # attaches one

    Publishes nothing. Writes `callbacks.images.json` in the run's folder.
    """

    is_logger: ClassVar[bool] = True

    def __init__(self, images: int = 12) -> None:
        self._capture = ImageCapture(images)

    def reset(self) -> None:
        """Let go of the last run."""
        self._capture.forget()

    def on_val_start(self, validator: Any) -> None:
        """Look at the predictions, if this is the evaluation after training."""
        if not validator.training:
            self._capture.listen(validator)

    def on_final_evaluation(self, run: TrainingRun, record: EpochRecord) -> None:
        """Write what the final evaluation predicted."""
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
            write_json(run.save_dir / BOXES_FILE, {"names": dict(record.names), "images": content})

    def on_train_end(self, trainer: Any) -> None:
        """Leave the validator as it was."""
        self._capture.forget()

    def teardown(self, trainer: Any) -> None:
        """Leave the validator as it was."""
        self._capture.forget()
