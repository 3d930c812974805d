"""Stop a training whose validation loss has diverged from its training loss."""

from __future__ import annotations

import math
from typing import Any

from yolo_callbacks.callbacks.monitor_callback import MonitorCallback
from yolo_callbacks.callbacks.monitor_parts.forwarding import forwarded
from yolo_callbacks.callbacks.monitor_parts.patience import last_checked_epoch
from yolo_callbacks.callbacks.monitor_parts.stop import Stop, read_stop
from yolo_callbacks.decisions.overfit import OverfitRule
from yolo_callbacks.decisions.stopping import StoppingReason
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.monitor import Monitor, MonitorLike
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_float, validate_int
from yolo_callbacks.utils.deprecation import renamed
from yolo_callbacks.utils.fields import Field, read_fields, whole

__all__ = ["StopOnOverfit"]


class StopOnOverfit(MonitorCallback):
    """Stop when the validation loss is more than `ratio` times the training loss for `patience` checks in a row.

    `EarlyStopping` finds a validation loss that rises; this callback finds a training loss that falls faster than the
    validation loss. Compare the sums of the losses, the default, or one component, `"val/box_loss"` with
    `"train/box_loss"`.

    A check is an epoch in which both losses have a finite value. An epoch that detects nothing (all mAP are 0) is no
    check, since a validation loss may be 0 in it only because no anchor is matched.

    Args:
        monitor: The loss in validation. Defaults to `"val/loss"`.
        against: The loss in training. Defaults to `"train/loss"`.
        ratio: How many times `against` the monitor may be. Defaults to `1.5`.
        patience: Checks in a row beyond the ratio after which to stop. Defaults to `5`.
        skip_untrained: Whether epochs that detect nothing are left out. Defaults to `True`.

    Monitors:
        - `"val/loss"`, `"train/loss"`: the sum of the losses. `"val/box_loss"`: one of them.
        - `{"val/box_loss": 1.0, "val/cls_loss": 0.5}`: a weighted sum.
        - A function of the epoch's metrics, or any other key of `trainer.metrics`.

    Attributes:
        stopped_epoch: The epoch that ended with the stop, counted from 1; 0 if this callback did not stop the run.
        stopping_reason: A `StoppingReason`.
        stopping_reason_message: The reason in words, `""` if this callback did not stop the run.
        wait_count: Checks in a row beyond the ratio.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `ratio` is not positive, `patience` is less than 1, or a monitor cannot be one; before the first
            epoch, or with its first batch, if a monitor does not exist in the run.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import StopOnOverfit, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, StopOnOverfit("val/cls_loss", "train/cls_loss", ratio=1.3, patience=3))

    Logs `overfit/ratio`; with several in one suite, the later ones log `overfit/ratio(<monitor>)`. Writes no file.
    """

    wait_count: int = forwarded("_rule.wait_count")
    stopped_epoch: int = forwarded("_stop.epoch")
    stopping_reason: StoppingReason = forwarded("_stop.reason")
    stopping_reason_message: str = forwarded("_stop.message")
    wait = renamed("wait", "wait_count")
    stopping_message = renamed("stopping_message", "stopping_reason_message")

    def __init__(
        self,
        monitor: MonitorLike = "val/loss",
        against: MonitorLike = "train/loss",
        *,
        ratio: float = 1.5,
        patience: int = 5,
        skip_untrained: bool = True,
    ) -> None:
        # The two values are compared with each other, never with a best value: the mode has no effect.
        super().__init__(monitor, "min", skip_untrained=skip_untrained)
        self.against = Monitor(against, "min")
        self.ratio = validate_float("ratio", ratio)
        if self.ratio <= 0.0:
            raise ValueError(f"ratio must be greater than 0, received {ratio!r}")
        self.patience = validate_int("patience", patience, minimum=1)
        self.reset()

    def reset(self) -> None:
        """Forget the last run."""
        super().reset()
        self.against.unbind()
        self._stop = Stop(type(self).__name__)
        self._rule = OverfitRule(self.ratio, self.patience)

    def validate(self, run: TrainingRun) -> bool:
        """Check that both monitors exist in this run."""
        monitor_exists = super().validate(run)
        return not run.is_main or (self.against.bind(run.metric_names(before=self)) and monitor_exists)

    def decide(self, run: TrainingRun, record: EpochRecord, value: float) -> None:
        """Compare the two values, and stop if the rule says so."""
        against = self.against.value(record)
        if against is None:
            return
        self._stop.carry_out(self._rule.check(value, against), run, record, self.monitor_words)
        if against and math.isfinite(value):
            self.log(record, "overfit/ratio", value / against)

    def restart_patience(self) -> None:
        """Set the count of checks beyond the ratio to 0."""
        self._rule.restart_patience()

    def resume(self, run: TrainingRun) -> None:
        """Forget the stop, and start patience again, where the stopped run has been extended."""
        super().resume(run)
        if self._stop.withdraw(run):
            self.restart_patience()

    def outcome(self) -> str:
        """Return when and why it stopped, or why there was no check."""
        outcome, no_check = self._stop.outcome(self.monitor_words), self.no_check()
        return f"{outcome}: {no_check}" if no_check else outcome

    def state_dict(self) -> dict[str, Any]:
        """Return the checks, the count and the stop."""
        return {**super().state_dict(), **self._rule.state_dict(), **self._stop.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the checks, the count and the stop."""
        count = read_fields(state, {"wait": Field(whole(maximum=last_checked_epoch(state)))})
        stop = read_stop(state)
        super().load_state_dict(state)
        self._rule.load_state_dict(count)
        self._stop.load_state_dict(stop)

    def _measures_detection(self, record: EpochRecord) -> bool:
        return super()._measures_detection(record) or self.against.measures_detection(record)
