"""Stop a training by the decision of a rule, and keep when and why it was stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yolo_callbacks.callbacks.monitor_parts.patience import last_checked_epoch
from yolo_callbacks.decisions.stopping import StopDecision, StoppingReason
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.fields import Field, StateError, one_of, read_fields, text, whole
from yolo_callbacks.utils.files import LOGGER

__all__ = ["Stop", "read_stop"]


class Stop:
    """Stop a training once, and keep when and why.

    Args:
        owner: The name of the callback for messages.

    Attributes:
        epoch: The epoch that ended with the stop, counted from 1; 0 if there was none.
        reason: A `StoppingReason`.
        message: The reason in words, `""` if there was no stop.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self.epoch, self.reason, self.message = 0, StoppingReason.NOT_STOPPED, ""

    def carry_out(self, decision: StopDecision, run: TrainingRun, record: EpochRecord, monitor: str) -> None:
        """Stop the training if the decision says so and it was not stopped before.

        Args:
            decision: The decision of a rule.
            run: The training.
            record: The epoch that was decided on.
            monitor: The name of the monitor for the message.
        """
        if not decision.stop or self.epoch:
            return
        self.epoch, self.reason, self.message = record.epoch, decision.reason, f"{monitor}: {decision.message}"
        LOGGER.info(f"{self._owner}: stopped at epoch {self.epoch}, {self.message}")
        run.stop(record)

    def withdraw(self, run: TrainingRun) -> bool:
        """Forget the stop if the stopped run has been extended; return whether it was forgotten."""
        if not (run.extended and self.epoch):
            return False
        self.epoch, self.reason, self.message = 0, StoppingReason.NOT_STOPPED, ""
        return True

    def outcome(self, monitor: str) -> str:
        """Return when and why the training was stopped, for the table at the end of a run."""
        return f"stopped at epoch {self.epoch}, {self.message}" if self.epoch else f"not stopped, {monitor}"

    def state_dict(self) -> dict[str, Any]:
        """Return the stop."""
        return {
            "stopped_epoch": self.epoch,
            "stopping_reason": self.reason.value,
            "stopping_message": self.message,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the stop from a validated state, see `read_stop`."""
        self.epoch, self.message = state["stopped_epoch"], state["stopping_message"]
        self.reason = StoppingReason(state["stopping_reason"])


def read_stop(state: dict[str, Any]) -> dict[str, Any]:
    """Return `stopped_epoch`, `stopping_reason` and `stopping_message` of a state, as `Stop` takes them.

    Raises:
        StateError: If one of them is missing or wrong, or if they contradict each other.
    """
    found = read_fields(
        state,
        {
            "stopped_epoch": Field(whole(maximum=last_checked_epoch(state))),
            "stopping_reason": Field(one_of(*(reason.value for reason in StoppingReason))),
            "stopping_message": Field(text, ""),
        },
    )
    if (found["stopping_reason"] == StoppingReason.NOT_STOPPED.value) != (found["stopped_epoch"] == 0):
        raise StateError(f"stopped_epoch is {found['stopped_epoch']}, stopping_reason {found['stopping_reason']}")
    return found
