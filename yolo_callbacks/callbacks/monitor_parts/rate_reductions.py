"""Reduce the learning rates of a run, and keep when they were reduced."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from yolo_callbacks.callbacks.monitor_parts.patience import last_checked_epoch
from yolo_callbacks.decisions.plateau import RateReduction
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.fields import Field, StateError, listing, number, read_fields, whole
from yolo_callbacks.utils.files import LOGGER

__all__ = ["RateReductions", "listed", "read_reductions"]

_MAX_RATE = 1e6  # more than any base rate


class RateReductions:
    """Reduce the learning rates of a run by one factor, several times.

    Args:
        owner: The name of the callback for messages.
        factor: The factor of each reduction.
        min_lr: No reduction makes a base rate lower than this.

    Attributes:
        epochs: The epochs that ended with a reduction, counted from 1.
        scale: The factor from the next epoch on.
        obstacle: Why the rates of this run cannot be reduced, `""` if they can.
    """

    def __init__(self, owner: str, factor: float, min_lr: float) -> None:
        self._owner, self._factor, self._min_lr = owner, factor, min_lr
        self._name = uuid.uuid4().hex  # several callbacks may reduce the rates of one run, each on its own
        self._base_rates: list[float] = []
        self.epochs: list[int] = []
        self.scale = 1.0
        self.obstacle = ""

    def prepare(self, run: TrainingRun) -> None:
        """Take part in the learning rates of a run; find out whether they can be reduced."""
        if run.learning_rate.prepare(self._name, self._reduction(len(self.epochs))) and run.is_main:
            self._base_rates = run.learning_rate.base_rates
        self.obstacle = run.learning_rate.obstacle

    def switch_off(self, run: TrainingRun, obstacle: str) -> None:
        """Leave the rates of a run as they are, and warn once."""
        if not self.obstacle:
            self.obstacle = obstacle
            if run.is_main:
                LOGGER.warning(f"{self._owner} is off for this run: {obstacle}")

    def reduce(self, run: TrainingRun, epoch: int, why: str) -> None:
        """Reduce the rates from the next epoch on.

        Args:
            run: The training.
            epoch: The epoch that was decided on.
            why: The reason for the message.
        """
        before, after = run.learning_rate.reduce(self._name, self._reduction(len(self.epochs) + 1))
        if before != after:
            self.epochs.append(epoch)
            LOGGER.info(
                f"{self._owner}: epoch {epoch}, learning rate reduced to {listed(run.learning_rate.factors)} of its "
                "schedule "
                f"(base rate {listed(before)} to {listed(after)}), {why}"
            )

    def update(self, run: TrainingRun) -> float:
        """Read the factor from the next epoch on, and whether the rates can still be reduced."""
        self.scale = run.learning_rate.factor_of(self._name)
        self.obstacle = self.obstacle or run.learning_rate.obstacle
        return self.scale

    def resume(self, run: TrainingRun) -> None:
        """Repeat the reductions of the first part of a resumed run."""
        run.learning_rate.prepare(self._name, self._reduction(len(self.epochs)), self._base_rates)
        self.scale = run.learning_rate.factor_of(self._name)

    def state_dict(self) -> dict[str, Any]:
        """Return the reductions."""
        return {"cuts": list(self.epochs), "scale": self.scale, "base_rates": self._base_rates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the reductions from a validated state, see `read_reductions`."""
        self.epochs, self.scale = state["cuts"], state["scale"]
        if state["base_rates"] is not None:
            self._base_rates = state["base_rates"]

    def _reduction(self, times: int) -> RateReduction:
        return RateReduction(self._factor, times, self._min_lr)


def read_reductions(state: dict[str, Any]) -> dict[str, Any]:
    """Return `cuts`, `scale` and `base_rates` of a state, as `RateReductions` takes them.

    Raises:
        StateError: If one of them is wrong.
    """
    last = last_checked_epoch(state)
    found = read_fields(
        state,
        {
            "cuts": Field(listing(whole(1, last), most=last)),
            "scale": Field(number(0.0, 1.0), 1.0),
            "base_rates": Field(listing(number(0.0, _MAX_RATE)), None),
        },
    )
    if found["cuts"] != sorted(set(found["cuts"])):
        raise StateError(f"cuts: expected epochs in their order, found {listed(found['cuts'])}")
    return found


def listed(numbers: Iterable[float]) -> str:
    """Return numbers for a message, equal ones once."""
    return ", ".join(f"{each:g}" for each in dict.fromkeys(numbers))
