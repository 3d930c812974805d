"""Count the epochs that are checks of a monitor and those that are not, and report why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from yolo_callbacks.decisions.comparison import counted
from yolo_callbacks.decisions.untrained import NOTHING_DETECTED
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.utils.files import LOGGER

__all__ = ["LEFT_OUT", "CheckLog"]

LEFT_OUT = "start_epoch or training_phases leaves them out"


class CheckLog:
    """Count the checks of a run and the epochs that are none; warn once for each reason.

    Args:
        owner: The name of the callback for messages.

    Attributes:
        checks: How many epochs were checks.
        missed: How many epochs were no checks, by the reason.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self.checks = 0
        self.missed: Counter[str] = Counter()
        self._reported: set[str] = set()
        self._finished = False

    def miss(self, reason: str) -> None:
        """Count an epoch that is no check, without a warning: the reason is an expected one."""
        self.missed[reason] += 1

    def miss_value(self, record: EpochRecord, monitor: str, reason: str) -> None:
        """Count an epoch in which the monitor has no value; warn once for each reason, before the first check.

        Args:
            record: The epoch.
            monitor: The name of the monitor for the message.
            reason: Why it has no value.
        """
        self.missed[reason] += 1
        # Where earlier epochs were validated, somebody switches validation on and off on purpose.
        on_purpose = not record.validated and NOTHING_DETECTED in self.missed
        if reason not in self._reported and not self.checks and not on_purpose:
            self._reported.add(reason)
            LOGGER.warning(f"{self._owner}: epoch {record.epoch} is no check for {monitor!r}: {reason}")

    def no_check(self) -> str | None:
        """Return why the run has had no check so far, or None if it has had one."""
        if self.checks or not self.missed:
            return None
        reason, epochs = self.missed.most_common(1)[0]
        return f"no check in {counted(epochs, 'epoch')}: {reason}"

    def finish(self, monitor: str) -> None:
        """Report a run without any check, unless a warning has said so already."""
        reason = self.no_check()
        if reason and not self._finished and not self._reported.intersection(self.missed):
            hint = " (skip_untrained=False counts these epochs)" if reason.endswith(NOTHING_DETECTED) else ""
            LOGGER.info(f"{self._owner}: {monitor!r} had {reason}{hint}")
        self._finished = True

    def state_dict(self) -> dict[str, Any]:
        """Return the counts."""
        return {"checks": self.checks, "missed": dict(self.missed)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the counts from a validated state; a reason in it was reported before."""
        self.checks, self.missed = state["checks"], Counter(state["missed"])
        self._reported = set(self.missed)
