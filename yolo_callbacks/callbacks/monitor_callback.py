"""What every callback that decides by a monitor shares: when an epoch is a check, and with which value."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.decisions import EpochKind, Mode, UntrainedRule, counted
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.monitor import Monitor, MonitorLike
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_bool, validate_float, validate_int
from yolo_callbacks.utils.fields import MAX_COUNT, Field, StateError, flag, mapping, one_of, read_fields, text, whole
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.origins import origins_of

__all__ = ["MonitorCallback", "last_checked_epoch"]


def last_checked_epoch(state: object) -> int:
    """Return the last epoch that a state may name: the one that it was stored after, where it says so.

    Raises:
        StateError: If the state is no mapping, or that is no epoch.
    """
    return int(read_fields(state, {"checked_epoch": Field(whole(), MAX_COUNT)})["checked_epoch"])


class MonitorCallback(Callback):
    """Base class of callbacks that decide by one value an epoch: override `decide`.

    Args:
        monitor: What to read each epoch. Defaults to `None`, the task's main metric.
        mode: `"min"`, `"max"` or `"auto"`. Defaults to `"auto"`.
        min_delta: By how much a value must be better to count. Defaults to `0.0`.
        start_epoch: Epochs up to this one are not checks. Defaults to `0`.
        training_phases: Whether epochs before the warm-up ends are no checks, and `restart_patience` is called when
            mosaic closes. Defaults to `False`.
        skip_untrained: Whether epochs before the first one that detects something are no checks, and later ones that
            detect nothing never improve; see `UntrainedRule`. Defaults to `True`.

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
        skip_untrained: bool = True,
    ) -> None:
        self.monitor = Monitor(monitor, mode)
        self.min_delta = validate_float("min_delta", min_delta, minimum=0.0)
        self.start_epoch = validate_int("start_epoch", start_epoch, minimum=0)
        self.training_phases = validate_bool("training_phases", training_phases)
        self.skip_untrained = validate_bool("skip_untrained", skip_untrained)
        self._task = "detect"
        MonitorCallback.reset(self)

    @property
    def mode(self) -> Mode:
        """Whether lower or higher is better; known from the start of a run on."""
        return self.monitor.known_mode

    @property
    def monitor_name(self) -> str:
        """The monitor's name on the console and in files; with `monitor=None` that of the last run's task."""
        return self.monitor.name(self._task)

    @property
    def shown_name(self) -> str:
        """The monitor's name in a message about a fault; the variable where it came from the environment."""
        names = origins_of(self).variables.get("monitor", ())
        return " ".join(f"${{{name}}}" for name in names) or self.monitor_name

    def decide(self, run: TrainingRun, record: EpochRecord, value: float) -> None:
        """Take the value of an epoch and act on it."""
        raise NotImplementedError

    def decide_undetected(self, run: TrainingRun, record: EpochRecord, value: float | None) -> None:
        """Count a check without improvement: the epoch detects nothing, but an earlier one did."""
        self.decide(run, record, math.nan)  # never an improvement

    def skip(self, run: TrainingRun, record: EpochRecord, value: float | None) -> None:
        """Pass an epoch that is no check, because nothing has been detected in this run yet."""

    def restart_patience(self) -> None:
        """Count from nothing again; the best value stays."""

    def finish(self, run: TrainingRun) -> None:
        """Training is over. May be called twice."""

    def log(self, record: EpochRecord, key: str, value: float) -> None:
        """Log a scalar; where another callback took the key, with the monitor's name, then a number, behind it."""
        name, number = key, 1
        while name in record.scalars or name in record.metrics:
            name = f"{key}({self.monitor_name})" + (f"#{number}" if number > 1 else "")
            number += 1
        record.log(name, value)

    def reset(self) -> None:
        """Forget the last run."""
        self._checked_epoch, self._mosaic_closed = 0, False
        self._untrained = UntrainedRule(skip=self.skip_untrained)
        self._checks = 0
        self._missed: Counter[str] = Counter()
        self._reported: set[str] = set()
        self.monitor.unbind()

    def validate(self, run: TrainingRun) -> bool:
        """Whether the monitor exists in this run; False while only a loss of that name could."""
        self._task = run.task
        return not run.is_main or self.monitor.bind(run.metric_names())

    def state_key(self, task: str) -> str:
        """The class and the monitor."""
        return f"{type(self).__name__}({self.monitor.name(task)})"

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Decide on the epoch, unless it was decided already or is no check."""
        if run.is_main and record.epoch > self._checked_epoch:
            if not self.monitor.bound:
                self.validate(run)
            self._checked_epoch = record.epoch
            self._take(run, record)

    def on_final_evaluation(self, run: TrainingRun, record: EpochRecord) -> None:
        """Finish: the training is over."""
        if run.is_main:
            self._finish(run)

    def on_train_end(self, trainer: Any) -> None:
        """Finish, also where there was no final evaluation."""
        self._finish(TrainingRun.of(trainer))

    def no_check(self) -> str | None:
        """Return why the run had no check so far, None if it had one."""
        if self._checks or not self._missed:
            return None
        reason, epochs = self._missed.most_common(1)[0]
        return f"no check in {counted(epochs, 'epoch')}: {reason}"

    def state_dict(self) -> dict[str, Any]:
        """The last epoch decided on, how it was decided, what has happened before it, and what was no check."""
        return {
            "task": self._task,
            "checked_epoch": self._checked_epoch,
            "monitor": self.monitor_name,
            "mode": self.monitor.mode,
            "mosaic_closed": self._mosaic_closed,
            "learned": self._untrained.learned,
            "checks": self._checks,
            "missed": dict(self._missed),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the last epoch decided on; ValueError if it was decided by another monitor or mode."""
        until = whole(maximum=last_checked_epoch(state))
        found = read_fields(
            state,
            {
                "task": Field(text, self._task),
                "checked_epoch": Field(until, 0),
                "monitor": Field(text),
                "mode": Field(one_of("min", "max", "auto"), self.monitor.mode),
                "mosaic_closed": Field(flag, False),
                # A state of an older version does not say it: it decided as if something had been detected.
                "learned": Field(flag, True),
                "checks": Field(until, None),
                "missed": Field(mapping(until), {}),
            },
        )
        name = self.monitor.name(found["task"])
        modes = {self.monitor.mode, found["mode"]} - {"auto"}
        if found["monitor"] != name or len(modes) > 1:
            raise ValueError(f"it is that of monitor={found['monitor']!r}, mode={found['mode']!r}")
        self._task = found["task"]
        if self.monitor.mode == "auto":
            self.monitor.mode = found["mode"]
        self._checked_epoch, self._mosaic_closed = found["checked_epoch"], found["mosaic_closed"]
        self._untrained.learned = found["learned"]
        self._checks = self._checked_epoch if found["checks"] is None else found["checks"]
        self._missed = Counter(found["missed"])
        self._reported = set(self._missed)

    def resume(self, run: TrainingRun) -> None:
        """Refuse a state of epochs that the run has not had: none of the next ones would be decided on."""
        if self._checked_epoch > run.completed_epochs:
            raise StateError(f"it is of epoch {self._checked_epoch}, the run has {run.completed_epochs} behind it")

    def _take(self, run: TrainingRun, record: EpochRecord) -> None:
        """Find out what the epoch is, and decide on it if it is a check."""
        kind = self._untrained.judge(record.metrics, validated=record.validated, affected=self._affected(record))
        if not self._counts(record):
            self._missed["start_epoch or training_phases leaves them out"] += 1
            return
        value = self.monitor.value(record)
        if kind is EpochKind.NO_CHECK:
            self._missed["nothing was detected"] += 1
            self.skip(run, record, value)
        elif value is None and (kind is EpochKind.CHECK or not self._checks):
            self._miss(record)
        else:
            self._checks += 1
            if kind is EpochKind.CHECK and value is not None:
                self.decide(run, record, value)
            else:
                self.decide_undetected(run, record, value)

    def _affected(self, record: EpochRecord) -> bool:
        """Return whether the value means nothing in an epoch that detects nothing."""
        return self.monitor.measures_detection(record)

    def _miss(self, record: EpochRecord) -> None:
        """Count an epoch in which the monitor has no value, and say why, once for each reason."""
        absent = self.monitor.absent_class(record)
        if not record.validated:
            reason = "validation did not run (val=False)"
        elif absent is not None:
            named = self.shown_name == self.monitor_name
            reason = f"the validation set has no object of {f'class {absent!r}' if named else 'its class'}"
        else:
            reason = "it has no value"
        self._missed[reason] += 1
        # Where earlier epochs were validated, somebody switches validation on and off on purpose.
        on_purpose = not record.validated and "nothing was detected" in self._missed
        if reason not in self._reported and not self._checks and not on_purpose:
            self._reported.add(reason)
            LOGGER.warning(f"{type(self).__name__}: epoch {record.epoch} is no check for {self.shown_name!r}: {reason}")

    def _finish(self, run: TrainingRun) -> None:
        reason = self.no_check()
        if reason and "finished" not in self._reported and not self._reported.intersection(self._missed):
            LOGGER.info(f"{type(self).__name__}: {self.shown_name!r} had {reason}")
        self._reported.add("finished")
        self.finish(run)

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
