"""What every callback that decides by a monitor shares: when an epoch is a check, and with which value."""

from __future__ import annotations

from typing import Any

from yolo_callbacks.adaptor import TrainerAdaptor
from yolo_callbacks.callback import Callback
from yolo_callbacks.checks import check_bool, check_float, check_int
from yolo_callbacks.decisions import Mode
from yolo_callbacks.files import LOGGER
from yolo_callbacks.monitor import Monitor, MonitorLike
from yolo_callbacks.record import EpochRecord

__all__ = ["MonitorCallback"]


class MonitorCallback(Callback):
    """Base class of callbacks that decide by one value an epoch: override `decide`.

    Args:
        monitor: What to read each epoch. Defaults to `None`, the task's main metric.
        mode: `"min"`, `"max"` or `"auto"`. Defaults to `"auto"`.
        min_delta: By how much a value must be better to count. Defaults to `0.0`.
        start_epoch: Epochs up to this one are not checks. Defaults to `0`.
        training_phases: Whether epochs before the warm-up ends are no checks, and `restart_patience` is called when
            mosaic closes. Defaults to `False`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `min_delta` or `start_epoch` is negative, or the monitor cannot be one.
    """

    def __init__(
        self,
        monitor: MonitorLike = None,
        mode: str = "auto",
        *,
        min_delta: float = 0.0,
        start_epoch: int = 0,
        training_phases: bool = False,
    ) -> None:
        self.monitor = Monitor(monitor, mode)
        self.min_delta = check_float("min_delta", min_delta, minimum=0.0)
        self.start_epoch = check_int("start_epoch", start_epoch, minimum=0)
        self.training_phases = check_bool("training_phases", training_phases)
        self._task = "detect"
        self._checked_epoch = 0
        self._mosaic_closed = False

    @property
    def mode(self) -> Mode:
        """Whether lower or higher is better; known from the start of a run on."""
        return self.monitor.known_mode

    @property
    def monitor_name(self) -> str:
        """The monitor's name on the console and in files; with `monitor=None` that of the last run's task."""
        return self.monitor.name(self._task)

    def decide(self, run: TrainerAdaptor, record: EpochRecord, value: float) -> None:
        """Take the value of an epoch and act on it."""
        raise NotImplementedError

    def restart_patience(self) -> None:
        """Count from nothing again; the best value stays."""

    def finish(self, run: TrainerAdaptor) -> None:
        """Training is over. May be called twice."""

    def publish(self, record: EpochRecord, key: str, value: float) -> None:
        """Publish a scalar; where another callback took the key, with the monitor's name, then a number, behind it."""
        name, number = key, 1
        while name in record.published or name in record.metrics:
            name = f"{key}({self.monitor_name})" + (f"#{number}" if number > 1 else "")
            number += 1
        record.publish(name, value)

    def reset(self) -> None:
        """Forget the last run."""
        self._checked_epoch, self._mosaic_closed = 0, False
        self.monitor.unbind()

    def check(self, run: TrainerAdaptor) -> bool:
        """Whether the monitor exists in this run; False while only a loss of that name could."""
        self._task = run.task
        return not run.is_main or self.monitor.bind(run.catalog())

    def key(self, task: str) -> str:
        """The class and the monitor."""
        return f"{type(self).__name__}({self.monitor.name(task)})"

    def on_fit_epoch_end(self, trainer: Any) -> None:
        """Decide on the epoch, unless it is none, was decided already, or has no value."""
        run = self.enter(trainer)
        if not run.is_main:
            return
        record = run.record()
        if record.final:
            self.finish(run)
        elif record.epoch > self._checked_epoch:
            if not self.monitor.bound:
                self.check(run)
            self._checked_epoch = record.epoch
            value = self.monitor.value(record) if self._counts(record) else None
            if value is not None:
                self.decide(run, record, value)

    def on_train_end(self, trainer: Any) -> None:
        """Finish, also where there was no final evaluation."""
        self.finish(self.enter(trainer))

    def state_dict(self) -> dict[str, Any]:
        """The last epoch decided on, how, and whether mosaic was closed."""
        return {
            "task": self._task,
            "checked_epoch": self._checked_epoch,
            "monitor": self.monitor_name,
            "mode": self.monitor.mode,
            "mosaic_closed": self._mosaic_closed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the last epoch decided on; ValueError if it was decided by another monitor or mode."""
        self._task = str(state.get("task", self._task))
        modes = {self.monitor.mode, state["mode"]} - {"auto"}
        if state["monitor"] != self.monitor_name or len(modes) > 1:
            raise ValueError(f"it is that of monitor={state['monitor']!r}, mode={state['mode']!r}")
        if self.monitor.mode == "auto":
            self.monitor.mode = state["mode"]
        self._checked_epoch = int(state.get("checked_epoch", 0))
        self._mosaic_closed = bool(state.get("mosaic_closed", False))

    def _counts(self, record: EpochRecord) -> bool:
        """Whether the epoch is one to decide on."""
        if not self.training_phases:
            return record.epoch > self.start_epoch
        if record.mosaic_closed and not self._mosaic_closed:
            self._mosaic_closed = True
            if record.epoch > 1:
                self.restart_patience()
                LOGGER.info(f"{type(self).__name__}: mosaic closed with epoch {record.epoch}, patience starts again")
        return record.epoch > self.start_epoch and not record.warming_up
