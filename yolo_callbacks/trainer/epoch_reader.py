"""Read the record of an epoch from a trainer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yolo_callbacks.metrics.epoch_metrics import EpochMetrics
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.epoch_progress import EpochProgress, current_epoch
from yolo_callbacks.trainer.known_names import class_names
from yolo_callbacks.trainer.rate_scaling import warmup_iterations
from yolo_callbacks.trainer.results import best_confidence, numbers, per_class, thresholds, transforms
from yolo_callbacks.trainer.size_metrics import SizeMetrics

__all__ = ["EpochReader"]


class EpochReader:
    """Read the record of each epoch from a trainer, and keep the last one.

    Args:
        trainer: The trainer.
        progress: Which part of an epoch it is in.

    Attributes:
        sizes: Measures mAP by the size of objects; None where no monitor reads it.
    """

    def __init__(self, trainer: Any, progress: EpochProgress) -> None:
        self._trainer, self._progress = trainer, progress
        self.sizes: SizeMetrics | None = None
        self._record: EpochRecord | None = None
        self._record_key: tuple[int, bool, int] | None = None

    def record(self) -> EpochRecord:
        """Return the record of the epoch: one object for all callbacks, from the moment when the epoch is complete.

        Before that moment each call in a suite makes a new record of what is known. Without a suite nobody reports that
        moment, and the record must not be read earlier.
        """
        progress, final = self._progress, self._progress.final
        if progress.is_reported and not (progress.complete or final):
            return self.read()
        key = self._key(final=final)
        if self._record is None or self._record_key != key:
            self._record, self._record_key = self._read(final=final), key
        return self._record

    def read(self) -> EpochRecord:
        """Return a new record of the epoch, of what is known now."""
        return self._read(final=False)

    @contextmanager
    def replaying(self, record: EpochRecord) -> Iterator[None]:
        """Return a given record inside the block, as that of a complete epoch."""
        self._progress.epoch_complete()
        self._record, self._record_key = record, self._key(final=False)
        try:
            yield
        finally:
            self._record, self._progress.complete = None, False

    def _key(self, *, final: bool) -> tuple[int, bool, int]:
        return int(self._trainer.epoch), final, self._progress.completions

    def _read(self, *, final: bool) -> EpochRecord:
        trainer, progress = self._trainer, self._progress
        validated = final or self._validated()
        if not progress.is_reported:  # a suite reports when an epoch is over
            progress.last_metrics = trainer.metrics
        if not final:
            progress.last_epoch = current_epoch(trainer)
        validator = getattr(trainer, "validator", None)
        results = getattr(validator, "metrics", None) if validated else None
        return EpochRecord(
            epoch=progress.last_epoch,
            epochs=int(trainer.epochs),
            metrics=EpochMetrics(self._values(validated=validated, final=final)),
            per_class=per_class(results),
            best_confidence=best_confidence(results),
            thresholds=thresholds(results),
            by_size=self.sizes.values() if self.sizes and validated else {},
            names=class_names(trainer),
            validated=validated,
            final=final,
            checkpoint=None if final else self._written_checkpoint(),
            warming_up=self._warming_up(),
            mosaic_closed=self._mosaic_closed(),
        )

    def _validated(self) -> bool:
        if self._progress.skipped_epoch == current_epoch(self._trainer) and not self._progress.validated:
            return False
        if self._progress.is_reported and self._progress.in_epoch:
            return self._progress.validated
        # Each validation makes a new dict. With val=False the trainer keeps the old one, which begins with zeros, and
        # its fitness is None until the first validation.
        trainer = self._trainer
        metrics = trainer.metrics or {}
        known = trainer.fitness is not None or any(numbers(metrics).values())
        return metrics is not self._progress.last_metrics and known

    def _values(self, *, validated: bool, final: bool) -> dict[str, float]:
        trainer = self._trainer
        values = {} if final else self._training_values()
        if validated:
            values |= numbers(trainer.metrics or {})
            if not final:
                values |= numbers({"fitness": trainer.fitness})
        return values

    def _training_values(self) -> dict[str, float]:
        trainer = self._trainer
        values: dict[str, float] = {}
        if trainer.tloss is not None:
            # a tensor up to 8.4.103, a dict from 8.4.104 on; Ultralytics names the losses of both
            values |= numbers(trainer.label_loss_items(trainer.tloss, prefix="train"))
        return values | numbers(getattr(trainer, "lr", {}))

    def _written_checkpoint(self) -> Path | None:
        trainer, epoch = self._trainer, current_epoch(self._trainer)
        if self._progress.is_reported:
            # 8.4.29 to 8.4.60 write no checkpoint, and call no `on_model_save`, where the EMA holds a NaN
            written = self._progress.saved_epoch == epoch
        else:
            written = bool(trainer.args.save) or epoch >= trainer.epochs
        last = Path(trainer.last)
        return last if written and last.is_file() else None

    def _warming_up(self) -> bool:
        batches = len(self._trainer.train_loader)
        return bool(batches * current_epoch(self._trainer) - 1 < warmup_iterations(self._trainer, batches))

    def _mosaic_closed(self) -> bool:
        # Read from the data set and not from `close_mosaic`: up to 8.4.103 Ultralytics closes mosaic only in the epoch
        # `epochs - close_mosaic` itself. A shorter run never reaches that epoch, and time= may skip it.
        trainer = self._trainer
        if not (trainer.args.close_mosaic and getattr(trainer.args, "mosaic", 0)):
            return False
        dataset = getattr(trainer.train_loader, "dataset", None)
        mosaics = list(transforms(getattr(dataset, "transforms", None), "Mosaic"))
        return not any(mosaic.p for mosaic in mosaics) if mosaics else False
