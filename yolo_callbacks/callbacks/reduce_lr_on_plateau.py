"""Reduce the learning rate when a monitor no longer improves."""

from __future__ import annotations

from typing import Any

from yolo_callbacks.callbacks.monitor_callback import MonitorCallback
from yolo_callbacks.callbacks.monitor_parts.forwarding import forwarded
from yolo_callbacks.callbacks.monitor_parts.patience import read_patience
from yolo_callbacks.callbacks.monitor_parts.rate_reductions import RateReductions, listed, read_reductions
from yolo_callbacks.decisions.comparison import counted
from yolo_callbacks.decisions.plateau import PlateauRule
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.monitor import MonitorLike
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_float, validate_int
from yolo_callbacks.utils.deprecation import renamed
from yolo_callbacks.utils.fields import Field, read_fields, whole

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(MonitorCallback):
    """Multiply the learning rate by `factor` when a monitor has not improved for more than `patience` checks.

    The decision is that of `torch.optim.lr_scheduler.ReduceLROnPlateau` with `threshold_mode="abs"`. The reduction
    multiplies the rate of the run's schedule, be it Ultralytics' own (linear, cosine, warm-up, `time=`), any scheduler
    of torch or a class of yours. It lasts from the next epoch to the end of the run, also after a recovery from NaN, a
    retry after running out of memory, and a resume. On several GPUs every rank reduces the rate.

    If the rate cannot be reduced, one warning gives the reason, and the callback is off for the run: the `step()` of
    the scheduler cannot be wrapped, or other code writes rates into the optimizer after `scheduler.step()`.

    A check is an epoch in which the monitor has a value; a value that is not finite is no improvement.

    Args:
        monitor: The value to read each epoch. Defaults to `None`, the task's main metric.
        mode: `"min"` if lower is better, `"max"` if higher is better. Defaults to `"auto"`: the name says it.
        factor: The factor of each reduction, between 0 and 1. Defaults to `0.1`.
        patience: Checks without improvement that are allowed; the next one reduces. Defaults to `10`.
        min_delta: By how much a value must be better to count, in the unit of the monitor. Defaults to `0.0001`.
        cooldown: Checks after a reduction that are not counted. Defaults to `0`.
        min_lr: No reduction makes the base rate of a parameter group lower than this. Defaults to `0.0`.
        training_phases: Whether epochs before the end of the warm-up are no checks, and patience starts again when
            mosaic closes. Defaults to `False`.
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
        reductions: The epochs that ended with a reduction, counted from 1.
        scale: The factor from the next epoch on, for the parameter group with the highest base rate; 1.0
            before the first reduction.
        best_score: The best value so far, None before the first one.
        best_epoch: The epoch of `best_score`, 0 before the first one.
        wait_count: Checks in a row without improvement.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `factor` is not between 0 and 1, another number is negative, or the monitor cannot be one;
            before the first epoch, if the monitor does not exist in the run.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import ReduceLROnPlateau, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, ReduceLROnPlateau("mAP50", factor=0.5, patience=5, min_lr=1e-5))

    Logs `lr/scale`, the factor from the next epoch on, in every epoch. With several in one suite, their
    factors multiply, and the later ones log `lr/scale(<monitor>)`. Writes no file.
    """

    reductions: list[int] = forwarded("_reductions.epochs")
    scale: float = forwarded("_reductions.scale")
    best_score: float | None = forwarded("_rule.best_score")
    best_epoch: int = forwarded("_rule.best_epoch")
    wait_count: int = forwarded("_rule.wait_count")
    wait = renamed("wait", "wait_count")
    cuts = renamed("cuts", "reductions")

    def __init__(
        self,
        monitor: MonitorLike = None,
        mode: str = "auto",
        *,
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        training_phases: bool = False,
        skip_untrained: bool = True,
    ) -> None:
        super().__init__(
            monitor, mode, min_delta=min_delta, training_phases=training_phases, skip_untrained=skip_untrained
        )
        self.factor = validate_float("factor", factor)
        if not 0.0 < self.factor < 1.0:
            raise ValueError(f"factor must be between 0 and 1, received {factor!r}")
        self.patience = validate_int("patience", patience, minimum=0)
        self.cooldown = validate_int("cooldown", cooldown, minimum=0)
        self.min_lr = validate_float("min_lr", min_lr, minimum=0.0)
        self.reset()

    def reset(self) -> None:
        """Forget the last run."""
        super().reset()
        self._rule = PlateauRule("min", self.patience, self.min_delta, self.cooldown)  # the mode follows in `decide`
        self._reductions = RateReductions(type(self).__name__, self.factor, self.min_lr)
        self._logged_epoch = self._last_epoch = 0

    def validate(self, run: TrainingRun) -> bool:
        """Check that the monitor exists, and whether the learning rate of this run can be reduced."""
        monitor_exists = super().validate(run)
        if run.single_process or run.in_suite(self):
            self._reductions.prepare(run)
        else:
            obstacle = "on several GPUs a reduction reaches every rank only in a suite, attach(model, …)"
            self._reductions.switch_off(run, obstacle)
        return monitor_exists

    def decide(self, run: TrainingRun, record: EpochRecord, value: float) -> None:
        """Count the check, and reduce the rate if the rule says so."""
        if self._reductions.obstacle:
            return
        self._rule.mode = self.mode
        decision = self._rule.check(record.epoch, value)
        if decision.reduce:
            self._reductions.reduce(run, record.epoch, f"{self.monitor_words}: {decision.reason}")

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Decide on the epoch, and log the factor from the next epoch on."""
        super().on_epoch(run, record)
        if run.is_main and record.epoch > self._logged_epoch:
            self._logged_epoch = record.epoch
            self.log(record, "lr/scale", self._reductions.update(run))

    def restart_patience(self) -> None:
        """Set the count of checks without improvement to 0; the best value stays."""
        self._rule.restart_patience()

    def finish(self, run: TrainingRun) -> None:
        """Note with which epoch the training has ended; stop reducing rates, unless the suite does it."""
        self._last_epoch = run.last_epoch
        if not run.in_suite(self):
            run.learning_rate.close()

    def resume(self, run: TrainingRun) -> None:
        """Repeat the reductions of the run's first part."""
        super().resume(run)
        self._reductions.resume(run)

    def outcome(self) -> str:
        """Return when it reduced the rate, and how far."""
        off = f"; off: {self._reductions.obstacle}" if self._reductions.obstacle else ""
        if not self.reductions:
            reason = self.no_check() or f"no reduction, {counted(self.wait_count, 'check')} without improvement"
            return f"{self.monitor_words}: {reason}{off}"
        epochs = "epoch" if len(self.reductions) == 1 else "epochs"
        reduced = f"learning rate reduced to {self.scale:g} of its schedule, at {epochs} {listed(self.reductions)}"
        if self.reductions[-1] == self._last_epoch:
            reduced += "; the last one came too late, the training ended with that epoch"
        return f"{self.monitor_words}: {reduced}{off}"

    def state_dict(self) -> dict[str, Any]:
        """Return the checks, the counts of the rule and the reductions."""
        return {**super().state_dict(), **self._rule.state_dict(), **self._reductions.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the checks, the counts of the rule and the reductions."""
        counts = read_patience(state) | read_fields(state, {"resting": Field(whole())})
        reductions = read_reductions(state)
        super().load_state_dict(state)
        self._rule.load_state_dict(counts)
        self._reductions.load_state_dict(reductions)
