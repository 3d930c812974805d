"""Validate some epochs only."""

from __future__ import annotations

from time import perf_counter
from typing import Any, ClassVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.decisions.validation_schedule import ValidationShare, is_validated
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_bool, validate_float, validate_int
from yolo_callbacks.utils.fields import Field, mapping, number, read_fields, whole
from yolo_callbacks.utils.files import LOGGER

__all__ = ["ValidateEvery"]

_TIMES = ("training", "validating", "last_training", "last_validation")


class ValidateEvery(Callback):
    """Validate every n-th epoch only, or as often as a share of the time allows, and the last epoch.

    An epoch without validation has no stale values: its row in results.csv has `nan` for each metric, loggers get no
    metric, and best.pt is not written again. `patience` of the callbacks counts validations. Ultralytics' own
    `patience=` counts epochs as ever, but can stop a training only in an epoch that is validated.

    Args:
        n: Epochs from one validation to the next: the epochs 5, 10, 15 … Defaults to `5`.
        share: Instead of `n`, the largest share of the time that validations may take, between 0 and 1. The first epoch
            is validated. Defaults to `None`.
        last: Whether the last planned epoch is validated in any case. Defaults to `True`.
        after_mosaic: Whether the first epoch without mosaic is validated in any case. Defaults to `False`.

    Attributes:
        validated: How many epochs were validated.
        skipped: How many epochs were not.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `n` is less than 1, or `share` is not between 0 and 1.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import SaveBest, ValidateEvery, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, ValidateEvery(5), SaveBest("mAP50-95"))

    Logs nothing. Writes no file. An epoch that another callback stops is validated if its turn has come.
    """

    every_rank: ClassVar[bool] = True
    needs_start: ClassVar[bool] = False

    def __init__(
        self, n: int = 5, *, share: float | None = None, last: bool = True, after_mosaic: bool = False
    ) -> None:
        self.n = validate_int("n", n, minimum=1)
        self.share = None if share is None else validate_float("share", share)
        if self.share is not None and not 0.0 < self.share < 1.0:
            raise ValueError(f"share must be between 0 and 1, received {share!r}")
        self.last = validate_bool("last", last)
        self.after_mosaic = validate_bool("after_mosaic", after_mosaic)
        self.reset()

    def reset(self) -> None:
        """Forget the last run."""
        self.validated = self.skipped = 0
        self._times = ValidationShare(self.share or 1.0)
        self._epoch_start = self._validation_start = self._validation = 0.0

    def validate(self, run: TrainingRun) -> bool:
        """Warn where the training leaves out validations anyway."""
        if not run.validates and run.is_main:
            LOGGER.warning("ValidateEvery: the training has val=False, so only the last epoch is validated")
        return True

    def on_train_epoch_start(self, trainer: Any) -> None:
        """Start to measure the epoch."""
        self._epoch_start, self._validation = perf_counter(), 0.0

    def on_train_epoch_end(self, trainer: Any) -> None:
        """Leave out the validation of this epoch, unless its turn has come."""
        run = TrainingRun.of(trainer)
        if not self._is_due(run):
            run.skip_validation()

    def on_val_start(self, validator: Any) -> None:
        """Start to measure the validation."""
        self._validation_start = perf_counter()

    def on_val_end(self, validator: Any) -> None:
        """Measure the validation."""
        self._validation = perf_counter() - self._validation_start

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Count the epoch, and decide on rank 0 whether the time allows a validation of the next one."""
        if not run.is_main:
            return
        self.validated += record.validated
        self.skipped += not record.validated
        seconds = perf_counter() - self._epoch_start - self._validation
        self._times.add(seconds, self._validation if record.validated else None)
        run.shared.validates_next = self._times.allows_next

    def outcome(self) -> str:
        """Return how many epochs were validated."""
        return f"validated {self.validated} of {self.validated + self.skipped} epochs"

    def _is_due(self, run: TrainingRun) -> bool:
        if run.stopping or (self.after_mosaic and run.epoch == run.first_epoch_without_mosaic):
            return True
        if self.share is None:
            return is_validated(run.epoch, run.planned_epochs, every=self.n, last=self.last)
        return run.shared.validates_next or (self.last and run.epoch >= run.planned_epochs)

    # A resume ---------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the counts and the times."""
        seconds = {name: getattr(self._times, name) for name in _TIMES}
        return {"validated": self.validated, "skipped": self.skipped, "seconds": seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the counts and the times."""
        count = Field(whole(), 0)
        fields = {"validated": count, "skipped": count, "seconds": Field(mapping(number(0.0)), {})}
        found = read_fields(state, fields)
        self.validated, self.skipped = found["validated"], found["skipped"]
        self._times = ValidationShare(self.share or 1.0, *(found["seconds"].get(name, 0.0) for name in _TIMES))

    def resume(self, run: TrainingRun) -> None:
        """Decide again on the first epoch after the resume."""
        if run.is_main:
            run.shared.validates_next = self._times.allows_next
