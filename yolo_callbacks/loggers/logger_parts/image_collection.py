"""Collect validation images with labels and predictions in some epochs."""

from __future__ import annotations

from typing import Any

from yolo_callbacks.decisions.validation_schedule import EpochPeriod
from yolo_callbacks.trainer.validation_images import AnnotatedImage, ImageCapture

__all__ = ["ImageCollection"]


class ImageCollection:
    """Collect images from validations that run anyway.

    Args:
        count: How many images, always the same ones; 0 for none.
        period: Epochs from one collection to the next; without a validation it waits for the next one.

    Attributes:
        count: How many images; 0 after `stop`.
    """

    def __init__(self, count: int, period: int) -> None:
        self.count = count
        self._period, self._epoch = EpochPeriod(period), 0
        self._capture = ImageCapture(count)

    @property
    def is_active(self) -> bool:
        """Whether the present validation is collected."""
        return self._capture.active

    def choose_epoch(self, epoch: int, epochs: int) -> None:
        """Decide whether the validation of an epoch is collected: every `period` epochs, and in the last one."""
        self._epoch, self._capture.active = epoch, self._period.is_due(epoch, epochs)

    def choose_final(self, *, stopping: bool) -> None:
        """Collect the next validation if the training stops: it is the final evaluation."""
        self._capture.active = stopping

    def listen(self, validator: Any) -> None:
        """Collect from a validation that starts, if it is one to collect."""
        if self.count:
            self._capture.listen(validator)

    def take(self) -> list[AnnotatedImage]:
        """Return what the last validation has collected; the next period begins if that is something."""
        taken = self._capture.take() if self.count else []
        if taken:
            self.start_period()
        return taken

    def start_period(self) -> None:
        """Count the epochs to the next collection from the present one."""
        self._period.done = self._epoch

    def stop(self) -> None:
        """Collect none from now on."""
        self.count = 0
        self._capture.active = False

    def forget(self) -> None:
        """Drop the references to the run."""
        self._capture.forget()
