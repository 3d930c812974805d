"""Define the base class of callbacks that decide by a monitor: it finds the epochs that count, and their values."""

from __future__ import annotations

import math
from typing import Any

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.callbacks.monitor_parts.check_log import LEFT_OUT, CheckLog
from yolo_callbacks.callbacks.monitor_parts.patience import last_checked_epoch
from yolo_callbacks.decisions.comparison import Mode
from yolo_callbacks.decisions.untrained import NOTHING_DETECTED, EpochKind, UntrainedRule
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.monitor import Monitor, MonitorLike
from yolo_callbacks.metrics.words import in_words
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_bool, validate_float, validate_int
from yolo_callbacks.utils.fields import Field, StateError, flag, mapping, one_of, read_fields, text, whole
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.origins import origins_of

__all__ = ["MonitorCallback"]


class MonitorCallback(Callback):
    """Base class of callbacks that decide by one value an epoch: override `decide`.

    `decide` is called once for each check: an epoch after `start_epoch` in which the monitor has a value. It is called
    on rank 0 only, never for the final evaluation, and once for an epoch that is repeated or resumed.

    Override these too where the callback needs them: `decide_undetected`, `skip` and `restart_patience` for special
    epochs, `finish` for the end of the training. A callback with state of its own overrides `reset`, `state_dict` and
    `load_state_dict`, and calls the method of this class in each.

    Args:
        monitor: The value to read each epoch. Defaults to `None`, the task's main metric.
        mode: `"min"` if lower is better, `"max"` if higher is better. Defaults to `"auto"`: the name says it.
        min_delta: By how much a value must be better to count, in the unit of the monitor. Stored for `decide`.
            Defaults to `0.0`.
        start_epoch: Epochs up to this one are not checks. Defaults to `0`.
        training_phases: Whether epochs before the end of the warm-up are no checks, and `restart_patience` is called
            when mosaic closes. Defaults to `False`.
        skip_untrained: Whether epochs before the first one that detects something are no checks, and later epochs that
            detect nothing never improve. Defaults to `True`.

    Monitors:
        - `None`: the task's main metric, such as `mAP50-95`.
        - `"mAP50"`, `"precision"`, `"recall"`, `"fitness"`; `"mAP50(M)"` of masks, `"mAP50(P)"` of poses; `"top1"`.
        - `"val/loss"`, `"train/loss"`: the sum of the losses. `"val/box_loss"`: one of them.
        - `"mAP50-95/person"`, `"recall/3"`: one class, by name or index. `"min(mAP50-95)"`: the worst class.
        - `{"mAP50": 0.1, "mAP50-95": 0.9}`: a weighted sum.
        - A function of the epoch's metrics, or any other key of `trainer.metrics`: both need a `mode`.

    Attributes:
        monitor: The `Monitor` made of the first two arguments.
        mode: `"min"` or `"max"`; with `mode="auto"` it is known from the start of a run on.
        monitor_name: The name of the monitor on the console and in files; with `monitor=None` it is that of the last
            run's task.
        shown_name: The same for a message about a fault: the name of the environment variable where the monitor came
            from one.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `min_delta` or `start_epoch` is negative, or the monitor cannot be one; before the first epoch,
            if the monitor does not exist in the run.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import MonitorCallback, attach
        >>> class CountDrops(MonitorCallback):
        ...     def reset(self):
        ...         super().reset()
        ...         self.last, self.drops = None, 0
        ...
        ...     def decide(self, run, record, value):
        ...         self.drops += self.last is not None and value < self.last
        ...         self.last = value
        ...         self.log(record, "drops/count", self.drops)
        ...
        ...     def outcome(self):
        ...         return f"{self.monitor_name} has dropped {self.drops} times"
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, CountDrops("recall", start_epoch=3))

    Logs nothing. Writes no file.
    """

    def __init__(
        self,
        monitor: MonitorLike = None,
        mode: str = "auto",
        *,
        min_delta: float = 0.0,
        start_epoch: int = 0,
        training_phases: bool = False,
        skip_untrained: bool = True,
    ) -> None:
        self.monitor, self.__mode_argument = Monitor(monitor, mode), mode
        self.min_delta = validate_float("min_delta", min_delta, minimum=0.0)
        self.start_epoch = validate_int("start_epoch", start_epoch, minimum=0)
        self.training_phases = validate_bool("training_phases", training_phases)
        self.skip_untrained = validate_bool("skip_untrained", skip_untrained)
        # Attributes with two underscores, or with this prefix, do not meet those of a subclass.
        self._yolo_callbacks_task = "detect"
        MonitorCallback.reset(self)  # not that of a subclass, whose arguments are not set yet

    @property
    def mode(self) -> Mode:
        """Whether lower or higher is better."""
        return self.monitor.known_mode

    @property
    def monitor_name(self) -> str:
        """The name of the monitor on the console and in files."""
        return self.monitor.name(self._yolo_callbacks_task)

    @property
    def shown_name(self) -> str:
        """The name of the monitor in a message about a fault."""
        names = origins_of(self).variables.get("monitor", ())
        return " ".join(f"${{{name}}}" for name in names) or self.monitor_name

    @property
    def monitor_words(self) -> str:
        """The monitor in words, such as `"mAP50 of class person"`."""
        return in_words(self.monitor_name)

    @property
    def shown_words(self) -> str:
        """The monitor in words, in a message about a fault."""
        return in_words(self.monitor_name) if self.shown_name == self.monitor_name else self.shown_name

    def _argument(self, name: str) -> Any:
        value = self.__mode_argument if name == "mode" else super()._argument(name)
        return value.monitor if isinstance(value, Monitor) else value

    # What a subclass overrides ----------------------------------------------------------------------------------------

    def decide(self, run: TrainingRun, record: EpochRecord, value: float) -> None:
        """Act on the value of a check; it may be NaN or infinite."""
        raise NotImplementedError(f"{type(self).__name__} must override decide(run, record, value)")

    def decide_undetected(self, run: TrainingRun, record: EpochRecord, value: float | None) -> None:
        """Act on a check without improvement: the epoch detects nothing, but an earlier one did."""
        self.decide(run, record, math.nan)  # never an improvement

    def skip(self, run: TrainingRun, record: EpochRecord, value: float | None) -> None:
        """React to an epoch that is no check, because nothing has been detected in this run yet."""

    def restart_patience(self) -> None:
        """Set counts of checks without improvement to 0; the best value stays."""

    def finish(self, run: TrainingRun) -> None:
        """React to the end of the training. May be called twice."""

    def log(self, record: EpochRecord, key: str, value: float) -> None:
        """Log a scalar; if its key is in use, add the name of the monitor, then a number."""
        name, number = key, 1
        while name in record.scalars or name in record.metrics:
            name = f"{key}({self.monitor_name})" + (f"#{number}" if number > 1 else "")
            number += 1
        record.log(name, value)

    def no_check(self) -> str | None:
        """Return why the run has had no check so far, or None if it has had one."""
        return self.__check_log.no_check()

    # From epochs to checks --------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget the last run."""
        self.__checked_epoch, self.__mosaic_closed = 0, False
        self.__untrained = UntrainedRule(skip=self.skip_untrained)
        self.__check_log = CheckLog(type(self).__name__)
        self.monitor.unbind()

    def validate(self, run: TrainingRun) -> bool:
        """Check that the monitor exists in this run; return False while it may be a loss without a name yet."""
        self._yolo_callbacks_task = run.task
        names = run.metric_names(before=self)
        if self.monitor.reads_sizes(names):
            run.measure_sizes()
        return not run.is_main or self.monitor.bind(names)

    def state_key(self, task: str) -> str:
        """Return the class and the monitor."""
        return f"{type(self).__name__}({self.monitor.name(task)})"

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Decide on the epoch, unless it was decided on before or is no check."""
        if run.is_main and record.epoch > self.__checked_epoch:
            if not self.monitor.bound:
                self.validate(run)
            self.__checked_epoch = record.epoch
            self.__decide_if_check(run, record)

    def on_final_evaluation(self, run: TrainingRun, record: EpochRecord) -> None:
        """Finish: the training is over."""
        if run.is_main:
            self.__finish(run)

    def on_train_end(self, trainer: Any) -> None:
        """Finish, also where there was no final evaluation."""
        self.__finish(TrainingRun.of(trainer))

    def __decide_if_check(self, run: TrainingRun, record: EpochRecord) -> None:
        """Find out what the epoch is, and decide on it if it is a check."""
        affected = self._measures_detection(record)
        kind = self.__untrained.judge(record.metrics, validated=record.validated, affected=affected)
        if not self.__takes_part(record):
            self.__check_log.miss(LEFT_OUT)
            return
        value = self.monitor.value(record)
        if kind is EpochKind.NO_CHECK:
            self.__check_log.miss(NOTHING_DETECTED)
            self.skip(run, record, value)
        elif value is None and (kind is EpochKind.CHECK or not self.__check_log.checks):
            self.__check_log.miss_value(record, self.shown_name, self.__why_no_value(record))
        else:
            self.__check_log.checks += 1
            if kind is EpochKind.CHECK and value is not None:
                self.decide(run, record, value)
            else:
                self.decide_undetected(run, record, value)

    def _measures_detection(self, record: EpochRecord) -> bool:
        """Return whether the value means nothing in an epoch that detects nothing."""
        return self.monitor.measures_detection(record)

    def __takes_part(self, record: EpochRecord) -> bool:
        """Return whether `start_epoch` and `training_phases` let the epoch be a check."""
        if not self.training_phases:
            return record.epoch > self.start_epoch
        if record.mosaic_closed and not self.__mosaic_closed:
            self.__mosaic_closed = True
            if record.epoch > 1:
                self.restart_patience()
                LOGGER.info(f"{type(self).__name__}: mosaic closed with epoch {record.epoch}, patience starts again")
        return record.epoch > self.start_epoch and not record.warming_up

    def __why_no_value(self, record: EpochRecord) -> str:
        """Return why the monitor has no value in an epoch."""
        if not record.validated:
            return "validation did not run"
        absent = self.monitor.absent_class(record)
        if absent is None:
            return "it has no value"
        named = self.shown_name == self.monitor_name  # else the class is a part of an environment variable
        return f"the validation set has no object of {f'class {absent!r}' if named else 'its class'}"

    def __finish(self, run: TrainingRun) -> None:
        if not any(member is self for member in run.supervision.members):  # the table of a suite says it
            self.__check_log.finish(self.shown_name)
        self.finish(run)

    # State ------------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the last epoch decided on, the monitor, and the counts of checks."""
        return {
            "task": self._yolo_callbacks_task,
            "checked_epoch": self.__checked_epoch,
            "monitor": self.monitor_name,
            "mode": self.monitor.mode,
            "mosaic_closed": self.__mosaic_closed,
            **self.__untrained.state_dict(),
            **self.__check_log.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state; raise ValueError if it is that of another monitor or mode."""
        until = whole(maximum=last_checked_epoch(state))
        found = read_fields(
            state,
            {
                "task": Field(text, self._yolo_callbacks_task),
                "checked_epoch": Field(until, 0),
                "monitor": Field(text),
                "mode": Field(one_of("min", "max", "auto"), self.monitor.mode),
                "mosaic_closed": Field(flag, False),
                # Version 0.1 did not store it: it decided as if something had been detected.
                "learned": Field(flag, True),
                "checks": Field(until, None),
                "missed": Field(mapping(until), {}),
            },
        )
        name = self.monitor.name(found["task"])
        modes = {self.monitor.mode, found["mode"]} - {"auto"}
        if found["monitor"] != name or len(modes) > 1:
            raise ValueError(f"it is that of monitor={found['monitor']!r}, mode={found['mode']!r}")
        if found["checks"] is None:  # version 0.1 did not store it either
            found["checks"] = found["checked_epoch"]
        self._yolo_callbacks_task = found["task"]
        if self.monitor.mode == "auto":
            self.monitor.mode = found["mode"]
        self.__checked_epoch, self.__mosaic_closed = found["checked_epoch"], found["mosaic_closed"]
        self.__untrained.load_state_dict(found)
        self.__check_log.load_state_dict(found)

    def resume(self, run: TrainingRun) -> None:
        """Refuse a state of later epochs than the run has had: the next epochs would not be decided on."""
        if self.__checked_epoch > run.completed_epochs:
            raise StateError(f"it is of epoch {self.__checked_epoch}, the run has completed {run.completed_epochs}")
