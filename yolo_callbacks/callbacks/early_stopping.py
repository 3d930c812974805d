"""Stop a training that no longer improves."""

from __future__ import annotations

from typing import Any

from yolo_callbacks.callbacks.monitor_callback import MonitorCallback
from yolo_callbacks.callbacks.monitor_parts.forwarding import forwarded
from yolo_callbacks.callbacks.monitor_parts.patience import read_patience
from yolo_callbacks.callbacks.monitor_parts.stop import Stop, read_stop
from yolo_callbacks.decisions.comparison import counted, never_above_zero
from yolo_callbacks.decisions.stopping import StopDecision, StoppingReason, StopRule
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.monitor import MonitorLike
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_bool, validate_int, validate_optional_float
from yolo_callbacks.utils.deprecation import renamed

__all__ = ["EarlyStopping"]


class EarlyStopping(MonitorCallback):
    """Stop the training when a monitor has not improved for `patience` checks in a row.

    Ultralytics' own stopper reads fitness only. This callback reads any monitor and gives a reason. Both are active,
    and the first one to stop ends the training. Train with `patience=0` and give this callback a patience of its own
    to leave the decision to it alone.

    A check is an epoch after `start_epoch` in which the monitor has a value: an epoch with `val=False` is no check, nor
    is one where the class of the monitor has no box in the validation set. The counting is Lightning's: the values
    6 5 5 5 5 5 in `min` mode with `patience=3` stop at the fifth. Without arguments this callback reads what
    Ultralytics' own stopper reads, and never stops a run that this stopper lets continue; it keeps the count on resume,
    which Ultralytics before 8.4.190 forgets.

    Epochs before the first one that detects something are no checks (all mAP are 0, as at the start of a training from
    scratch). A later epoch that detects nothing is a check without improvement, since a loss may be 0 in it only
    because no anchor is matched.

    Args:
        monitor: The value to read each epoch. Defaults to `None`, Ultralytics' `fitness`.
        mode: `"min"` if lower is better, `"max"` if higher is better. Defaults to `"auto"`: the name says it.
        patience: Checks in a row without improvement after which to stop; 0 means never. Defaults to `None`, the
            run's own `patience=` argument.
        min_delta: By how much a value must be better to count, in the unit of the monitor. Defaults to `0.0`.
        start_epoch: Epochs up to this one are not checks. Defaults to `0`.
        stopping_threshold: Stop as soon as the value is better than this. Defaults to `None`, no threshold.
        divergence_threshold: Stop as soon as the value is worse than this. Defaults to `None`, no threshold. Before the
            first epoch that detects something, it applies to losses only.
        check_finite: Whether to stop at the first value that is NaN or infinite. Defaults to `True`.
        training_phases: Whether epochs before the end of the warm-up are no checks, and patience starts again when
            mosaic closes. Defaults to `False`.
        skip_untrained: Whether an epoch that detects nothing is no check. Defaults to `True`.

    Monitors:
        - `None`: Ultralytics' `fitness`.
        - `"mAP50"`, `"precision"`, `"recall"`, `"fitness"`; `"mAP50(M)"` of masks, `"mAP50(P)"` of poses; `"top1"`.
        - `"val/loss"`, `"train/loss"`: the sum of the losses. `"val/box_loss"`: one of them.
        - `"mAP50-95/person"`, `"recall/3"`: one class, by name or index. `"min(mAP50-95)"`: the worst class.
        - `{"mAP50": 0.1, "mAP50-95": 0.9}`: a weighted sum.
        - A function of the epoch's metrics, or any other key of `trainer.metrics`: both need a `mode`.

    Attributes:
        stopped_epoch: The epoch that ended with the stop, counted from 1; 0 if this callback did not stop the run.
        stopping_reason: A `StoppingReason`.
        stopping_reason_message: The reason in words, `""` if this callback did not stop the run.
        best_score: The best value so far, None before the first one.
        best_epoch: The epoch of `best_score`, 0 before the first one.
        wait_count: Checks in a row without improvement.
        patience_left: The further checks without improvement after which it stops; None where it never does.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `patience`, `min_delta` or `start_epoch` is negative, a threshold is not finite, or the monitor
            cannot be one; before the first epoch, if the monitor does not exist in the run.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import EarlyStopping, attach
        >>> model = YOLO("yolo11n-cls.yaml")
        >>> suite = attach(model, EarlyStopping("val/loss", patience=10))

    Logs `early_stopping/wait`; with several in one suite, the later ones log `early_stopping/wait(<monitor>)`. Writes
    no file.
    """

    best_score: float | None = forwarded("_rule.best_score")
    best_epoch: int = forwarded("_rule.best_epoch")
    wait_count: int = forwarded("_rule.wait_count")
    stopped_epoch: int = forwarded("_stop.epoch")
    stopping_reason: StoppingReason = forwarded("_stop.reason")
    stopping_reason_message: str = forwarded("_stop.message")
    wait = renamed("wait", "wait_count")
    stopping_message = renamed("stopping_message", "stopping_reason_message")

    def __init__(
        self,
        monitor: MonitorLike = None,
        mode: str = "auto",
        *,
        patience: int | None = None,
        min_delta: float = 0.0,
        start_epoch: int = 0,
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
        check_finite: bool = True,
        training_phases: bool = False,
        skip_untrained: bool = True,
    ) -> None:
        super().__init__(
            "fitness" if monitor is None else monitor,
            mode,
            min_delta=min_delta,
            start_epoch=start_epoch,
            training_phases=training_phases,
            skip_untrained=skip_untrained,
        )
        self._monitor_argument = monitor
        self.patience = None if patience is None else validate_int("patience", patience, minimum=0)
        self.stopping_threshold = validate_optional_float("stopping_threshold", stopping_threshold)
        self.divergence_threshold = validate_optional_float("divergence_threshold", divergence_threshold)
        self.check_finite = validate_bool("check_finite", check_finite)
        self.reset()

    def reset(self) -> None:
        """Forget the last run."""
        super().reset()
        self._stop = Stop(type(self).__name__)
        self._rule = StopRule(
            mode="min",  # until the run says it, see `_prepare`
            patience=self.patience or None,
            min_delta=self.min_delta,
            stopping_threshold=self.stopping_threshold,
            divergence_threshold=self.divergence_threshold,
            check_finite=self.check_finite,
        )

    def decide(self, run: TrainingRun, record: EpochRecord, value: float) -> None:
        """Count the check, and stop if the rule says so."""
        self._prepare(run)
        self._act(self._rule.check(record.epoch, value), run, record)

    def decide_undetected(self, run: TrainingRun, record: EpochRecord, value: float | None) -> None:
        """Count a check without improvement, and stop if the rule says so."""
        self._prepare(run)
        self._act(self._rule.check_undetected(value, counts=True, is_loss=self.monitor.is_loss), run, record)

    def skip(self, run: TrainingRun, record: EpochRecord, value: float | None) -> None:
        """Stop if the value is not finite or is a loss that has diverged; count nothing."""
        if value is not None:
            self._prepare(run)
            decision = self._rule.check_undetected(value, counts=False, is_loss=self.monitor.is_loss)
            self._stop.carry_out(decision, run, record, self.monitor_words)

    def change_patience(self, patience: int) -> None:
        """Change the patience of a training that runs; the count of checks without improvement goes on.

        Args:
            patience: Checks without improvement after which to stop; 0 for never.

        Raises:
            TypeError: If `patience` is no integer.
            ValueError: If it is negative.
        """
        self.patience = validate_int("patience", patience, minimum=0)
        self._rule.patience = self.patience or None

    @property
    def patience_left(self) -> int | None:
        """The checks without improvement after which it stops; None where it never does."""
        return None if self._rule.patience is None else max(self._rule.patience - self.wait_count, 0)

    def restart_patience(self) -> None:
        """Set the count of checks without improvement to 0; the best value stays."""
        self._rule.restart_patience()

    def resume(self, run: TrainingRun) -> None:
        """Forget the stop, and start patience again, where the stopped run has been extended."""
        super().resume(run)
        if self._stop.withdraw(run):
            self.restart_patience()

    def outcome(self) -> str:
        """Return when and why it stopped, or how many checks were without improvement."""
        outcome = self._stop.outcome(self.monitor_words)
        if self.stopped_epoch:
            return outcome
        if no_check := self.no_check():
            return f"{outcome}: {no_check}"
        best = f"best {self.best_score:g} at epoch {self.best_epoch}" if self.best_epoch else "no value"
        if never_above_zero(self.best_score, self.mode, self.min_delta):
            best = "0 in every epoch"
        return f"{outcome}: {best}, {counted(self.wait_count, 'check')} without improvement"

    def state_dict(self) -> dict[str, Any]:
        """Return the checks, the counts of the rule and the stop."""
        return {**super().state_dict(), **self._rule.state_dict(), **self._stop.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the checks, the counts of the rule and the stop."""
        counts, stop = read_patience(state), read_stop(state)
        super().load_state_dict(state)
        self._rule.load_state_dict(counts)
        self._stop.load_state_dict(stop)

    def _argument(self, name: str) -> Any:
        return self._monitor_argument if name == "monitor" else super()._argument(name)

    def _prepare(self, run: TrainingRun) -> None:
        """Give the rule what is known only in a run."""
        self._rule.mode = self.mode
        self._rule.exempt_zero = self.skip_untrained and self.monitor.monitor == "fitness" and self.mode == "max"
        if self.patience is None:
            self._rule.patience = run.patience

    def _act(self, decision: StopDecision, run: TrainingRun, record: EpochRecord) -> None:
        self._stop.carry_out(decision, run, record, self.monitor_words)
        self.log(record, "early_stopping/wait", self.wait_count)
