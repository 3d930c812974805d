"""What the callbacks share that stop a training: the stop itself, and what is known of it afterwards."""

from __future__ import annotations

from typing import Any

from yolo_callbacks.callbacks.monitor_callback import MonitorCallback, last_checked_epoch
from yolo_callbacks.decisions import StopDecision, StoppingReason
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.deprecation import renamed
from yolo_callbacks.utils.fields import Field, StateError, one_of, read_fields, text, whole
from yolo_callbacks.utils.files import LOGGER

__all__ = ["StoppingCallback"]


class StoppingCallback(MonitorCallback):
    """Base class of callbacks that stop: call `carry_out` with the decision on each check.

    Attributes:
        stopped_epoch: The epoch that it stopped with, counted from 1; 0 if it did not stop.
        stopping_reason: A `StoppingReason`.
        stopping_reason_message: The reason in words, `""` if it did not stop.
    """

    def reset(self) -> None:
        """Forget the last run."""
        super().reset()
        self.stopped_epoch = 0
        self.stopping_reason = StoppingReason.NOT_STOPPED
        self.stopping_reason_message = ""

    stopping_message = renamed("stopping_message", "stopping_reason_message")

    def carry_out(self, decision: StopDecision, run: TrainingRun, record: EpochRecord) -> None:
        """Stop the training if the decision says so."""
        if not decision.stop or self.stopped_epoch:
            return
        self.stopped_epoch, self.stopping_reason = record.epoch, decision.reason
        self.stopping_reason_message = f"{self.monitor_name}: {decision.message}"
        LOGGER.info(f"{type(self).__name__}: stopped at epoch {record.epoch}, {self.stopping_reason_message}")
        run.stop(record)

    def resume(self, run: TrainingRun) -> None:
        """Count from nothing again where the run had stopped and is extended."""
        super().resume(run)
        if run.extended and self.stopped_epoch:
            self.stopped_epoch, self.stopping_reason = 0, StoppingReason.NOT_STOPPED
            self.stopping_reason_message = ""
            self.restart_patience()

    def outcome(self) -> str:
        """When and why it stopped."""
        if not self.stopped_epoch:
            return f"not stopped, {self.monitor_name}"
        return f"stopped at epoch {self.stopped_epoch}, {self.stopping_reason_message}"

    def state_dict(self) -> dict[str, Any]:
        """The stop."""
        return {
            **super().state_dict(),
            "stopped_epoch": self.stopped_epoch,
            "stopping_reason": self.stopping_reason.value,
            "stopping_message": self.stopping_reason_message,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the stop."""
        found = read_fields(
            state,
            {
                "stopped_epoch": Field(whole(maximum=last_checked_epoch(state))),
                "stopping_reason": Field(one_of(*(reason.value for reason in StoppingReason))),
                "stopping_message": Field(text, ""),
            },
        )
        reason = StoppingReason(found["stopping_reason"])
        if (reason is StoppingReason.NOT_STOPPED) != (found["stopped_epoch"] == 0):
            raise StateError(f"stopped_epoch is {found['stopped_epoch']}, stopping_reason {reason.value}")
        super().load_state_dict(state)
        self.stopped_epoch, self.stopping_reason = found["stopped_epoch"], reason
        self.stopping_reason_message = found["stopping_message"]
