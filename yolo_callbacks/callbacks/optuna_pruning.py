"""Report a training to a trial of Optuna, and end it where the trial is not promising."""

from __future__ import annotations

import math
from typing import Any

from yolo_callbacks.callbacks.monitor_callback import MonitorCallback
from yolo_callbacks.callbacks.monitor_parts.patience import last_checked_epoch
from yolo_callbacks.decisions.comparison import counted
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.monitor import MonitorLike
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.fields import Field, listing, number, optional, pair, read_fields, whole

__all__ = ["OptunaPruning"]

_DIRECTIONS = {"max": "MAXIMIZE", "min": "MINIMIZE"}


class OptunaPruning(MonitorCallback):
    """Report each epoch to a trial of Optuna, and end the training at once where its pruner says so.

    The step of a report is the epoch, counted from 1. A pruned training has no final evaluation and draws no plots; its
    checkpoints are stripped, its loggers are closed, and the status in its summary is `pruned`. Then `model.train()`
    raises `optuna.TrialPruned`. The final evaluation of a training that reaches its end is not reported.

    While nothing is detected, a metric is reported with its value 0, and a loss, which says nothing then, is not.

    Args:
        trial: The `optuna.Trial` that the objective gets.
        monitor: The value to report; give the objective's own. Defaults to `None`, the task's main metric.
        mode: `"min"` if lower is better, `"max"` if higher is better. Defaults to `"auto"`: the name says it.

    Monitors:
        - `None`: the task's main metric, such as `mAP50-95`.
        - `"mAP50"`, `"precision"`, `"recall"`, `"fitness"`; `"mAP50(M)"` of masks, `"mAP50(P)"` of poses; `"top1"`.
        - `"val/loss"`, `"train/loss"`: the sum of the losses. `"val/box_loss"`: one of them.
        - A function of the epoch's metrics, or any other key of `trainer.metrics`: both need a `mode`.

    Attributes:
        pruned_epoch: The epoch that ended with the pruning, counted from 1; 0 if the trial was not pruned.
        reported: The values reported in this run by epoch, those before a resume included.

    Raises:
        TypeError: If `trial` is no trial.
        ValueError: Before the first epoch, if the study has several objectives, if its direction is not that of the
            monitor, or if its storage is in memory and the training has several processes.
        optuna.TrialPruned: From `model.train()`, if the trial is pruned.

    Example:
        >>> import optuna
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import OptunaPruning, attach
        >>> def objective(trial):
        ...     model, lr0 = YOLO("yolo11n.yaml"), trial.suggest_float("lr0", 1e-4, 1e-1, log=True)
        ...     attach(model, OptunaPruning(trial, "mAP50-95"))
        ...     results = model.train(data="coco8.yaml", epochs=20, lr0=lr0, optimizer="SGD")
        ...     return results.box.map
        >>> study = optuna.create_study(direction="maximize", pruner=optuna.pruners.HyperbandPruner(max_resource=20))

    Logs nothing. Writes no file. The steps are those of Optuna's integrations with a first epoch of 1.
    """

    def __init__(self, trial: Any, monitor: MonitorLike = None, mode: str = "auto") -> None:
        if not all(callable(getattr(trial, name, None)) for name in ("report", "should_prune", "suggest_float")):
            raise TypeError(f"trial must be an optuna.Trial, received {trial!r}")
        super().__init__(monitor, mode)
        self.trial = trial
        self.reset()

    def reset(self) -> None:
        """Forget the last run."""
        super().reset()
        self.pruned_epoch = 0
        self.reported: dict[int, float] = {}

    def validate(self, run: TrainingRun) -> bool:
        """Check that the study can prune by this monitor."""
        complete = super().validate(run)
        study = getattr(self.trial, "study", None)  # an optuna.trial.FixedTrial has none
        if study is None or not run.is_main:
            return complete
        directions = [direction.name for direction in study.directions]
        if len(directions) > 1:
            raise ValueError(f"Optuna prunes no study of several objectives, and this one has {len(directions)}")
        if complete and directions[0] != _DIRECTIONS[self.mode]:
            raise ValueError(
                f"the study has direction={directions[0].lower()!r}, but {self.monitor_name} is better when it is "
                f"{'higher' if self.mode == 'max' else 'lower'}: create the study with "
                f"direction={_DIRECTIONS[self.mode].lower()!r}, or give mode="
            )
        storage = type(getattr(self.trial, "storage", None)).__name__
        if not run.single_process and storage == "InMemoryStorage":
            raise ValueError(
                "the study is in the memory of one process, and this training has several: create it with storage=, "
                "such as 'sqlite:///study.db'"
            )
        return complete

    def decide(self, run: TrainingRun, record: EpochRecord, value: float) -> None:
        """Report the value, and leave the training where the trial is to be pruned."""
        self.reported[record.epoch] = value
        self.trial.report(value, record.epoch)
        if self.trial.should_prune():
            from optuna import TrialPruned

            self.pruned_epoch = record.epoch
            reason = f"{self.monitor_words} {value:.4g} at epoch {record.epoch}"
            run.end(record, raising=TrialPruned(f"pruned: {reason}"), evaluate=False, reason=reason)

    def decide_undetected(self, run: TrainingRun, record: EpochRecord, value: float | None) -> None:
        """Report a metric of an epoch that detects nothing."""
        if value is not None and self.mode == "max":
            self.decide(run, record, value)

    def skip(self, run: TrainingRun, record: EpochRecord, value: float | None) -> None:
        """Report a metric of an epoch in which nothing has been detected yet."""
        self.decide_undetected(run, record, value)

    def outcome(self) -> str:
        """Return what was reported, and whether the trial was pruned."""
        if self.pruned_epoch:
            return f"pruned at epoch {self.pruned_epoch} by {self.monitor_words} {self.reported[self.pruned_epoch]:.4g}"
        if not self.reported:
            return self.no_check() or "nothing reported"
        return f"{counted(len(self.reported), 'value')} of {self.monitor_words} reported, not pruned"

    # A resume ---------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the checks and the reported values."""
        return {**super().state_dict(), "reported": list(self.reported.items()), "pruned_epoch": self.pruned_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the checks and the reported values."""
        until = whole(maximum=last_checked_epoch(state))
        reported = listing(pair(until, optional(number())))  # JSON has no NaN: it is null there
        found = read_fields(state, {"reported": Field(reported, []), "pruned_epoch": Field(until, 0)})
        super().load_state_dict(state)
        self.reported = {epoch: math.nan if value is None else value for epoch, value in found["reported"]}
        self.pruned_epoch = found["pruned_epoch"]

    def resume(self, run: TrainingRun) -> None:
        """Report what the trial lacks: one that Optuna retries has no reports of the trial that was killed."""
        super().resume(run)
        study = getattr(self.trial, "study", None)
        if study is None or not run.is_main:
            return
        known: Any = {}
        for trial in study.get_trials(deepcopy=False):
            if trial.number == self.trial.number:
                known = trial.intermediate_values
        for epoch, value in self.reported.items():
            if epoch not in known:
                self.trial.report(value, epoch)
