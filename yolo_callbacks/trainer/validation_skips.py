"""Leave out the validation of an epoch, without old values in its place."""

from __future__ import annotations

import math
from typing import Any

from yolo_callbacks.trainer.epoch_progress import EpochProgress, current_epoch
from yolo_callbacks.trainer.method_patches import MethodPatches

__all__ = ["ValidationSkips"]


class ValidationSkips:
    """Leave out validations of a training, epoch by epoch.

    `trainer.args.val = False` does not do it: Ultralytics repeats the metrics of the last validation in results.csv,
    writes best.pt again since the fitness still equals the best one, and validates anyway once its own stopper may stop
    in the next epoch (8.3.200 to 8.4.190).

    Args:
        trainer: The trainer.
        methods: Its methods.
        progress: Which part of an epoch it is in.
    """

    def __init__(self, trainer: Any, methods: MethodPatches, progress: EpochProgress) -> None:
        self._trainer, self._methods, self._progress = trainer, methods, progress
        self._installed = False

    def skip(self) -> None:
        """Leave out the validation of this epoch; every rank must call it, in `on_train_epoch_end`."""
        self._progress.skipped_epoch = current_epoch(self._trainer)
        if not self._installed:
            self._installed = True
            self._install()

    def _install(self) -> None:
        trainer = self._trainer
        validate, save_model = trainer.validate, trainer.save_model

        def validate_unless_skipped(*arguments: Any, **keywords: Any) -> Any:
            if not self._skips:
                return validate(*arguments, **keywords)
            # None is Ultralytics' own fitness without validation: its stopper does not count such an epoch as a check.
            return self._no_metrics(), None

        def save_no_best(*arguments: Any, **keywords: Any) -> Any:
            if not self._skips or trainer.best_fitness is not None:
                return save_model(*arguments, **keywords)
            # Before the first validation both fitnesses are None, and Ultralytics writes best.pt where they are equal.
            trainer.fitness = math.nan
            try:
                return save_model(*arguments, **keywords)
            finally:
                trainer.fitness = None

        self._methods.replace("validate", validate_unless_skipped)
        self._methods.replace("save_model", save_no_best)

    @property
    def _skips(self) -> bool:
        return self._progress.skipped_epoch == current_epoch(self._trainer)

    def _no_metrics(self) -> dict[str, float] | None:
        """Return NaN for each metric, so that each row of results.csv has the same columns."""
        trainer = self._trainer
        if trainer.metrics is None:  # on rank > 0
            return None
        # From 8.4.104 on the losses have no names before the first batch, when the trainer makes its first metrics.
        return dict.fromkeys([*trainer.metrics, *trainer.label_loss_items(prefix="val")], math.nan)
