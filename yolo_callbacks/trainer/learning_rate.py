"""Schedule, reduce and hold the learning rate of one training, on every rank."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from yolo_callbacks.decisions.plateau import RateReduction
from yolo_callbacks.trainer.distributed import SharedDecisions
from yolo_callbacks.trainer.extension import held_factor, hold_factor
from yolo_callbacks.trainer.method_patches import MethodPatches
from yolo_callbacks.trainer.own_schedule import replace_schedule, schedule_obstacle
from yolo_callbacks.trainer.rate_scaling import RateScaler
from yolo_callbacks.utils.files import LOGGER

__all__ = ["LearningRate"]


class LearningRate:
    """Schedule, reduce and hold the learning rate of one training, on every rank.

    Several callbacks may reduce it. Each of them has a key; the factors of all keys multiply.

    Args:
        trainer: The trainer.
        methods: Its methods.
        shared: The decisions of rank 0. The reductions are stored there, so that every rank gets them.
    """

    def __init__(self, trainer: Any, methods: MethodPatches, shared: SharedDecisions) -> None:
        self._trainer, self._methods, self._shared = trainer, methods, shared
        self._scaler = RateScaler(trainer, methods)
        self._own_schedule: Callable[[int, int], float] | None = None

    @property
    def base_rates(self) -> list[float]:
        """The rate from which the schedule of each parameter group starts, without reductions."""
        return self._scaler.base_rates

    @property
    def factors(self) -> list[float]:
        """The factor of all reductions for each parameter group, from the next epoch on."""
        return self._scaler.factors

    @property
    def obstacle(self) -> str:
        """Why the learning rate of this run is not reduced any more; empty where reductions work."""
        return self._scaler.obstacle

    def prepare(self, key: str, reduction: RateReduction, base_rates: list[float] | None = None) -> bool:
        """Register the reductions of a callback, before its first one or with those of a resumed run.

        Args:
            key: Identifies the callback.
            reduction: All reductions of this callback so far; none in a new run.
            base_rates: The base rates at the beginning of a resumed run, for every rank. A scheduler written by the
                user may not know them any more.

        Returns:
            Whether the learning rate of this run can be reduced. Where it cannot, one warning has said why.
        """
        possible = self._scaler.follow()
        if possible:
            self._shared.rate_reductions[key] = reduction
            if base_rates:
                self._shared.base_rates = base_rates
            self.apply()
        return possible

    def reduce(self, key: str, reduction: RateReduction) -> tuple[list[float], list[float]]:
        """Reduce the rates of all parameter groups, from the next epoch on and on every rank.

        Args:
            key: Identifies the callback.
            reduction: All reductions of this callback so far, not only the last one.

        Returns:
            The base rates before and after; both are the same where the learning rate cannot be reduced.
        """
        before = self._scaler.reduced_rates
        self._scaler.observe()
        if self._scaler.overwritten:
            self._scaler.give_up(self._scaler.overwriting)
        if not self.obstacle:
            self.prepare(key, reduction)
        return before, self._scaler.reduced_rates

    def apply(self) -> None:
        """Let the next `scheduler.step()` apply the reductions of all callbacks.

        A suite calls this on every rank in `on_train_epoch_start`, right before Ultralytics calls `scheduler.step()`.
        """
        if self._shared.rate_reductions:
            self._scaler.follow()
            self._scaler.set_reductions(self._shared.rate_reductions.values(), self._shared.base_rates)

    def factor_of(self, key: str) -> float:
        """Return the factor of one callback for the highest base rate, from the next epoch on.

        It is 1.0 where other code overwrites the rates. The callbacks reduce one after the other: the minimum rate of
        a callback limits what the callbacks before it have left.
        """
        self._scaler.observe()
        reductions = self._shared.rate_reductions
        if key not in reductions or not self._scaler.is_effective:
            return 1.0
        rate = max(self.base_rates)
        for name, reduction in reductions.items():
            before, rate = rate, reduction.apply(rate)
            if name == key:
                break
        return rate / before if before else 1.0

    def follow_schedule(self, factor: Callable[[int, int], float]) -> str:
        """Let the learning rate follow a function instead of Ultralytics' schedule, under warm-up and reductions.

        Every rank calls this, before its first epoch.

        Args:
            factor: Returns the factor of the base rates for an epoch, counted from 0, and the number of epochs.

        Returns:
            Why that is not possible in this run; empty where it is.
        """
        obstacle = schedule_obstacle(self._trainer)
        if not obstacle:
            self._own_schedule = factor
            replace_schedule(self._methods, lambda epoch: factor(int(epoch), int(self._trainer.epochs)))
        return obstacle

    def hold_schedule(self, extension: dict[str, Any]) -> None:
        """Decide to keep the schedule of an extended run at the factor that it had reached.

        Args:
            extension: The entry in callbacks.json. The factor is added to it, because another resume needs it.
        """
        if extension["held"] is None and self._own_schedule is not None:
            extension["held"] = self._own_schedule(extension["after"] - 1, extension["planned"])
        if extension["held"] is None:
            extension["held"] = held_factor(self._trainer, epoch=extension["after"], planned=extension["planned"])
        if extension["held"] is None:
            LOGGER.warning("The learning rate cannot be held: the scheduler of this training is not Ultralytics' own")
        else:
            self._shared.held_factor = extension["held"]

    def apply_held_schedule(self) -> None:
        """Keep the schedule where rank 0 has decided it in `hold_schedule`. Every rank calls this, before training."""
        factor, self._shared.held_factor = self._shared.held_factor, None
        if factor is not None:
            hold_factor(self._methods, factor)

    def close(self) -> None:
        """Give the scheduler its own `step` again: training is over. A suite does this for its callbacks."""
        self._scaler.close()
