"""End a training before its time is up, so that it can be resumed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.decisions.remaining_time import EpochTimes, deadline_margin, next_epoch_fits
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_bool, validate_float
from yolo_callbacks.utils.durations import process_start, validate_duration, validate_moment
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.slurm import job_end_time, requeue_job, shown_end_time

__all__ = ["Deadline"]


class Deadline(Callback):
    """End the training before its time is up: do not start an epoch that would not end in time.

    An epoch is expected to take as long as the slowest of the last five, and its validation as long as the slowest of
    the last five validations. The run is left without its final evaluation, `last.pt` keeps its optimizer, W&B marks
    the run as preempting, and `model.train()` returns. A resume continues it, with the decisions of an uninterrupted
    run. The first epoch is always trained: nobody knows yet how long it takes.

    Without an argument the time is that of the SLURM job, from `SLURM_JOB_END_TIME` or `scontrol`. Outside SLURM it
    then does nothing, and a warning says so.

    Args:
        duration: The time from the start of the process that makes the callback, not of the training: `"11:50:00"`
            (hours, minutes, seconds), `"1-00:00:00"` with days, `"1h30m"`, or seconds as a number. Defaults to `None`.
        until: The time of day: `"2026-11-27 18:00"`, or a `datetime`; in the time zone of the machine, unless it names
            one. With a duration, the earlier one holds. Defaults to `None`.
        margin: How long before that the last epoch must have ended, as a duration or in seconds. Defaults to `"auto"`:
            a minute, or a twentieth of the time if that is less; with `final` also the time of two validations.
        final: Whether best.pt is evaluated and plots are drawn when the training is left. Defaults to `False`.
        requeue: Whether SLURM starts the job again when the training is left. Defaults to `False`.

    Attributes:
        left_epoch: The epoch with which the training was left; 0 if it was not.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `duration` or `margin` is no duration, or `until` no date with a time.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import Deadline, SaveBest, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, SaveBest("mAP50-95"), Deadline("11:50:00", final=True))

    Logs nothing. Writes no file. It needs a suite: as plain functions of `model.add_callback` it does nothing.
    """

    needs_start: ClassVar[bool] = False

    def __init__(
        self,
        duration: float | str | None = None,
        *,
        until: str | datetime | None = None,
        margin: float | str = "auto",
        final: bool = False,
        requeue: bool = False,
    ) -> None:
        self.duration, self.until, self.margin = duration, until, margin
        ends = [] if duration is None else [process_start() + validate_duration("duration", duration)]
        ends += [] if until is None else [validate_moment("until", until)]
        self._given_end = min(ends, default=None)
        self._given_margin = _validate_margin(margin)
        self.final = validate_bool("final", final)
        self.requeue = validate_bool("requeue", requeue)
        self.reset()

    def reset(self) -> None:
        """Forget the last run."""
        self.left_epoch = 0
        self._end: float | None = None
        self._times = EpochTimes()
        self._train_start = self._epoch_start = 0.0
        self._validation_start = self._validation = 0.0

    def on_train_start(self, trainer: Any) -> None:
        """Find out when the time is up."""
        self._train_start = time.time()
        self._end = self._given_end
        if self._end is None:
            self._end = job_end_time() or shown_end_time()
        if self._end is None:
            LOGGER.warning("Deadline does nothing in this run: give a duration or until=, SLURM says no end time here")
        elif self._end <= self._train_start:
            LOGGER.warning(f"Deadline: {_shown(self._end)} is over, the training is left with its first epoch")

    def on_train_epoch_start(self, trainer: Any) -> None:
        """Start to measure the first epoch; the others are measured from end to end."""
        self._epoch_start = self._epoch_start or time.time()
        self._validation = 0.0

    def on_val_start(self, validator: Any) -> None:
        """Start to measure the validation."""
        self._validation_start = time.time()

    def on_val_end(self, validator: Any) -> None:
        """Measure the validation."""
        self._validation = time.time() - self._validation_start

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Ask to leave the training with this epoch if the next one would not end in time."""
        now = time.time()
        if self._epoch_start:
            self._times.add(now - self._epoch_start, self._validation if record.validated else None)
        self._epoch_start = now
        longest = self._times.longest
        if self._end is None or longest is None or record.epoch >= run.planned_epochs:
            return
        if not next_epoch_fits(now, self._end - self._margin_seconds(), longest):
            reason = f"an epoch of {longest:.0f} s does not end before {_shown(self._end)}"
            run.request_end(reason, evaluate=self.final)

    def on_train_end(self, trainer: Any) -> None:
        """Note with which epoch the training was left."""
        run = TrainingRun.of(trainer)
        if self._has_left(run):
            self.left_epoch = run.last_epoch

    def on_run_end(self, run: TrainingRun, summary: Mapping[str, Any]) -> None:
        """Let SLURM start the job again."""
        if self.requeue and self._has_left(run):
            requeue_job("Deadline")

    def outcome(self) -> str:
        """Return whether the training was left."""
        if self._end is None:
            return "no deadline"
        return f"left with epoch {self.left_epoch}" if self.left_epoch else f"not reached: {_shown(self._end)}"

    def _margin_seconds(self) -> float:
        if self._given_margin is not None or self._end is None:
            return self._given_margin or 0.0
        evaluation = 2 * max(self._times.validation, default=0.0) if self.final else 0.0
        return deadline_margin(self._end - self._train_start, evaluation)

    def _has_left(self, run: TrainingRun) -> bool:
        agreed = run.supervision.agreed
        return run.left is not None and agreed is not None and agreed.by == type(self).__name__


def _validate_margin(margin: object) -> float | None:
    """Return `margin` in seconds; None for "auto"."""
    if margin == "auto":
        return None
    if isinstance(margin, str):
        return validate_duration("margin", margin)
    return validate_float("margin", margin, minimum=0)


def _shown(moment: float) -> str:
    return datetime.fromtimestamp(moment).strftime("%Y-%m-%d %H:%M:%S")
