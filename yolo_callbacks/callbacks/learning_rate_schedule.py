"""Let the learning rate follow a schedule of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.decisions.rate_schedule import RateSchedule, ScheduleError
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.files import LOGGER

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LearningRateSchedule"]


class LearningRateSchedule(Callback):
    """Let the learning rate follow your own schedule instead of Ultralytics' linear or cosine one.

    A schedule gives a factor of the base rate, `lr0`, for each epoch; `lrf` and `cos_lr` have no effect then. It is a
    name, or a function of the epoch, counted from 0 as in the schedulers of torch, and the number of epochs. The factor
    must depend on nothing else: a resumed run asks for it again.

    Everything else stays in force: the warm-up rises to the rate of the schedule, `time=` changes the number of epochs,
    `ReduceLROnPlateau` multiplies the rate, parameter groups keep their ratio, and every rank has the same rate.
    `yolo-callbacks extend` holds the last rate of the schedule, or with `lr=stretch` follows it to the new end.

    If the scheduler of the training is not Ultralytics' own, one warning says so, and the callback is off.

    Args:
        schedule: `"constant"`, `"step"`, `"exponential"`, `"cosine_restarts"` or `"one_cycle"`; or a function
            `(epoch, epochs)` that returns the factor.
        every: Epochs of a step (`"step"`), or of the first cycle (`"cosine_restarts"`). Defaults to `None`: these two
            need it.
        gamma: The factor of each step (`"step"`) or epoch (`"exponential"`), at most 1. Defaults to `None`: 0.1 for
            `"step"`; `"exponential"` needs it.
        growth: How many times longer each cycle is than the one before (`"cosine_restarts"`). Defaults to `None`: 1.
        lowest: The lowest factor (`"cosine_restarts"`, `"one_cycle"`). Defaults to `None`: 0 and 0.000004.
        rise: The share of the epochs in which the rate rises (`"one_cycle"`). Defaults to `None`: 0.3.
        start: The factor of the first epoch (`"one_cycle"`). Defaults to `None`: 0.04.

    Attributes:
        factor: The factor of the present epoch; 1.0 before the first one.

    Raises:
        TypeError: If an argument is of the wrong kind, or the function does not take two arguments.
        ValueError: If no schedule has that name, or it does not take an argument, needs another one, or refuses its
            value; before the first epoch, if the function raises or returns no number of at least 0.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import LearningRateSchedule, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, LearningRateSchedule("step", every=30, gamma=0.1))
        >>> suite = attach(YOLO("yolo11n.yaml"), LearningRateSchedule(lambda epoch, epochs: (1 - epoch / epochs) ** 2))

    Logs `lr/schedule`, the highest base rate times the factor, in every epoch; the report draws it beside the rates
    that were used. Writes no file.
    """

    every_rank = True

    def __init__(
        self,
        schedule: str | Callable[[int, int], float],
        *,
        every: int | None = None,
        gamma: float | None = None,
        growth: int | None = None,
        lowest: float | None = None,
        rise: float | None = None,
        start: float | None = None,
    ) -> None:
        self.schedule, self.every, self.gamma, self.growth = schedule, every, gamma, growth
        self.lowest, self.rise, self.start = lowest, rise, start
        arguments = {"every": every, "gamma": gamma, "growth": growth, "lowest": lowest, "rise": rise, "start": start}
        self._schedule = RateSchedule(schedule, arguments)
        self.reset()

    def reset(self) -> None:
        """Forget the last run."""
        self.factor = 1.0
        self._follows, self._obstacle, self._warned = False, "", False
        self._factors: dict[int, float] = {}  # of the epochs so far, by their number from 1

    def in_epochs(self, epochs: str | int) -> Self:
        """Refuse: a run has one schedule in all its epochs.

        Raises:
            ValueError: Always.
        """
        raise ValueError("epochs cannot be chosen for LearningRateSchedule: give a function that knows the epoch")

    def validate(self, run: TrainingRun) -> bool:
        """Replace the schedule of the run, whose factors of all epochs must be right."""
        for epoch in range(run.planned_epochs):
            self._schedule.factor(epoch, run.planned_epochs)
        self._follows = True
        self._obstacle = run.learning_rate.follow_schedule(self._factor_or_last)
        if self._obstacle and run.is_main:
            LOGGER.warning(f"{type(self).__name__} is off for this run: {self._obstacle}")
        return True

    def on_train_epoch_start(self, trainer: Any) -> None:
        """Note the factor of the epoch, which depends on the number of epochs that is planned now."""
        run = TrainingRun.of(trainer)
        if not self._follows:  # without a suite
            self.validate(run)
        if not self._obstacle:
            self.factor = self._factors[run.epoch] = self._factor_or_last(run.epoch - 1, run.planned_epochs)

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Log the rate of the schedule, without warm-up and reductions."""
        if not run.is_main or self._obstacle:
            return
        if record.epoch not in self._factors:  # after a kill, a suite calls this before the first epoch
            self._factors[record.epoch] = self._factor_or_last(record.epoch - 1, record.epochs)
        record.log("lr/schedule", max(run.learning_rate.base_rates) * self._factors[record.epoch])

    def logged_scalars(self, task: str) -> tuple[str, ...]:
        """Return the key of the rate."""
        return ("lr/schedule",)

    def outcome(self) -> str:
        """Return the schedule and its last factor."""
        if self._obstacle:
            return f"off: {self._obstacle}"
        return f"{self._schedule.describe()}: {self.factor:.3g} of the base rate in the last epoch"

    def _factor_or_last(self, epoch: int, epochs: int) -> float:
        """Return the factor; that of the last epoch where a function fails, which must not end a training."""
        try:
            return self._schedule.factor(epoch, epochs)
        except ScheduleError as error:
            if not self._warned:
                self._warned = True
                LOGGER.warning(f"{type(self).__name__}: {error}. The last factor, {self.factor:g}, is kept")
            return self.factor
