"""Stop a training whose validation has parted from its training."""

from __future__ import annotations

import math
from typing import Any

from yolo_callbacks.callbacks.monitor_callback import last_checked_epoch
from yolo_callbacks.callbacks.stopping_callback import StoppingCallback
from yolo_callbacks.decisions import OverfitRule
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.monitor import Monitor, MonitorLike
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_float, validate_int
from yolo_callbacks.utils.deprecation import renamed
from yolo_callbacks.utils.fields import Field, read_fields, whole

__all__ = ["StopOnOverfit"]


class StopOnOverfit(StoppingCallback):
    """Stop when the validation loss is more than `ratio` times the training loss for `patience` checks in a row.

    `EarlyStopping` sees a validation loss that rises; this one sees a training loss that falls away from it. Losses
    can be compared as sums, the default, or component by component, `"val/box_loss"` against `"train/box_loss"`.

    A check is an epoch in which both have a value that is finite. An epoch that detects nothing (all mAP 0) is no
    check: a validation loss may read 0 in it only because no anchor is matched.

    Args:
        monitor: The loss in validation. Defaults to `"val/loss"`.
        against: The loss in training. Defaults to `"train/loss"`.
        ratio: How many times `against` the monitor may be. Defaults to `1.5`.
        patience: Checks in a row beyond the ratio after which to stop. Defaults to `5`.
        skip_untrained: Whether epochs that detect nothing are left out. Defaults to `True`.

    Attributes:
        stopped_epoch: The epoch that it stopped with, counted from 1; 0 if it did not stop.
        stopping_reason: A `StoppingReason`.
        stopping_reason_message: The reason in words, `""` if it did not stop.
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

    Publishes `overfit/ratio`; with several in one suite, the later ones `overfit/ratio(<monitor>)`. Writes no file.
    """

    def __init__(
        self,
        monitor: MonitorLike = "val/loss",
        against: MonitorLike = "train/loss",
        *,
        ratio: float = 1.5,
        patience: int = 5,
        skip_untrained: bool = True,
    ) -> None:
        # The two are compared with each other, never with a best: the mode is of no consequence.
        super().__init__(monitor, "min", skip_untrained=skip_untrained)
        self.against = Monitor(against, "min")
        self.ratio = validate_float("ratio", ratio)
        if self.ratio <= 0.0:
            raise ValueError(f"ratio must be greater than 0, received {ratio!r}")
        self.patience = validate_int("patience", patience, minimum=1)
        self.reset()

    @property
    def wait_count(self) -> int:
        """Checks in a row beyond the ratio."""
        return self._rule.wait

    wait = renamed("wait", "wait_count")

    def reset(self) -> None:
        """Forget the last run."""
        super().reset()
        self.against.unbind()
        self._rule = OverfitRule(self.ratio, self.patience)

    def validate(self, run: TrainingRun) -> bool:
        """Whether both monitors exist in this run."""
        monitor_exists = super().validate(run)
        return not run.is_main or (self.against.bind(run.metric_names()) and monitor_exists)

    def decide(self, run: TrainingRun, record: EpochRecord, value: float) -> None:
        """Compare the two, and stop if that was once too often."""
        against = self.against.value(record)
        if against is None:
            return
        self.carry_out(self._rule.check(value, against), run, record)
        if against and math.isfinite(value):
            self.log(record, "overfit/ratio", value / against)

    def outcome(self) -> str:
        """When and why it stopped, or why there was no check."""
        no_check = self.no_check()
        return f"{super().outcome()}: {no_check}" if no_check else super().outcome()

    def _affected(self, record: EpochRecord) -> bool:
        return super()._affected(record) or self.against.measures_detection(record)

    def state_dict(self) -> dict[str, Any]:
        """Count and stop."""
        return {**super().state_dict(), "wait": self.wait_count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over count and stop."""
        wait = read_fields(state, {"wait": Field(whole(maximum=last_checked_epoch(state)))})["wait"]
        super().load_state_dict(state)
        self._rule.wait = wait
