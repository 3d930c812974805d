"""Track which part of an epoch a training is in."""

from __future__ import annotations

from typing import Any

__all__ = ["EpochProgress", "current_epoch"]


class EpochProgress:
    """Track which part of an epoch a training is in.

    A suite reports the events of Ultralytics, so that nothing has to be guessed from the trainer. Without a suite
    nobody reports, and `is_reported` is False.

    Attributes:
        is_reported: Whether a suite reports the events of this training.
        last_epoch: The last epoch, counted from 1; 0 before the first.
        in_epoch: Whether the batches of an epoch are done and its `on_fit_epoch_end` is not.
        complete: Whether the metrics and the checkpoint of the epoch are there.
        completions: How often an epoch became complete. NaN recovery repeats an epoch under the same number.
        validated: Whether the epoch was validated.
        skipped_epoch: The last epoch whose validation was left out; 0 where none was.
        saved_epoch: The last epoch in which last.pt was written; 0 where it was not.
        last_metrics: The metrics of the trainer at the end of the last epoch, as the trainer's own object.
    """

    def __init__(self, trainer: Any) -> None:
        self.is_reported = False
        self.last_epoch = 0
        self.in_epoch = self.complete = self.validated = False
        self.completions = 0
        self.skipped_epoch = 0
        self.saved_epoch = 0
        self.last_metrics: object = None
        self._trainer = trainer
        self._in_final_evaluation = False

    @property
    def final(self) -> bool:
        """Whether the training is in its final evaluation, whose `on_fit_epoch_end` ends no epoch.

        `trainer.epoch` does not show it: there it is the last epoch up to 8.4.51, and one more from 8.4.52 on.
        """
        validator = getattr(self._trainer, "validator", None)
        return self._in_final_evaluation or getattr(validator, "training", True) is False

    def epoch_trained(self) -> None:
        """Note `on_train_epoch_end`. NaN recovery repeats it for the same epoch."""
        self.in_epoch, self.complete, self.validated = True, False, False
        self.last_epoch = current_epoch(self._trainer)

    def validation_done(self) -> None:
        """Note that a validation is over."""
        self.validated = True

    def model_saved(self) -> None:
        """Note that last.pt was written in this epoch.

        Called where the file has changed: 8.4.190 calls `on_model_save` only if `save_model()` returns a true value.
        """
        self.saved_epoch = current_epoch(self._trainer)
        self.epoch_complete()

    def epoch_complete(self) -> None:
        """Note that the metrics and the checkpoint of the epoch are there: its record does not change any more."""
        if not self.complete:
            self.complete = True
            self.completions += 1

    def epoch_fitted(self) -> None:
        """Note that `on_fit_epoch_end` is over."""
        self.in_epoch, self.last_metrics = False, self._trainer.metrics

    # The start of the final evaluation is seen twice. `final_eval()` is wrapped; but a trainer of the user may evaluate
    # in another method, and then `on_val_start` shows it.

    def validation_started(self) -> None:
        """Note `on_val_start`: after the last epoch it begins the final evaluation."""
        self._in_final_evaluation = not self.in_epoch and bool(self._trainer.stop)

    def final_evaluation_started(self) -> None:
        """Note that the trainer calls `final_eval()`."""
        self._in_final_evaluation = True

    def final_evaluation_done(self) -> None:
        """Note that `final_eval()` is over."""
        self._in_final_evaluation = False


def current_epoch(trainer: Any) -> int:
    """Return the epoch that a trainer is in, counted from 1; 0 before the first."""
    return int(getattr(trainer, "epoch", -1)) + 1
