"""Stop a training that no longer improves."""

from __future__ import annotations

from yolo_callbacks.callbacks.patience_callback import PatienceCallback
from yolo_callbacks.callbacks.stopping_callback import StoppingCallback
from yolo_callbacks.decisions import StopDecision, StopRule, counted
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.monitor import MonitorLike
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_bool, validate_int, validate_optional_float

__all__ = ["EarlyStopping"]


class EarlyStopping(PatienceCallback, StoppingCallback):
    """Stop the training when a monitor has not improved for `patience` checks in a row.

    Ultralytics stops by fitness alone. This one stops by any monitor, and says why. It acts beside Ultralytics' own
    stopper; whichever comes first stops. To leave the decision to this one, train with `patience=0` and give it a
    patience of its own.

    A check is an epoch after `start_epoch` in which the monitor has a value: with `val=False`, or a class without
    boxes in the validation set, nothing counts. The counting is Lightning's: values 6 5 5 5 5 5 in `min` mode with
    `patience=3` end at the fifth. Without arguments it reads what Ultralytics' own stopper reads, and never stops a
    run that this stopper lets go on; on resume it keeps the count, which Ultralytics before 8.4.190 forgets.

    Epochs before the first one that detects something are no checks (all mAP 0, as at the start of a training from
    scratch). An epoch that detects nothing later is a check without improvement: a loss may read 0 in it only because
    no anchor is matched.

    Args:
        monitor: What to read each epoch. Defaults to `None`, Ultralytics' `fitness`.
        mode: `"min"` if lower is better, `"max"` if higher is better. Defaults to `"auto"`, told by the name.
        patience: Checks in a row without improvement after which to stop; 0 means never. Defaults to `None`, the
            run's own `patience=` argument.
        min_delta: By how much a value must be better to count, in the unit of the monitor. Defaults to `0.0`.
        start_epoch: Epochs up to this one are not checks. Defaults to `0`.
        stopping_threshold: Stop as soon as the value is better than this. Defaults to `None`, not used.
        divergence_threshold: Stop as soon as the value is worse than this. Defaults to `None`, not used.
            A monitor that is no loss cannot diverge before the first epoch that detects something.
        check_finite: Stop at the first value that is NaN or infinite. Defaults to `True`.
        training_phases: Whether epochs before the warm-up ends are no checks, and patience starts again when mosaic
            closes. Defaults to `False`.
        skip_untrained: Whether the rule for epochs that detect nothing is on. Defaults to `True`.

    Attributes:
        stopped_epoch: The epoch that it stopped with, counted from 1; 0 if it did not stop.
        stopping_reason: A `StoppingReason`.
        stopping_reason_message: The reason in words, `""` if it did not stop.
        best_score: The best value so far, None before there is one.
        best_epoch: The epoch of `best_score`, 0 before there is one.
        wait_count: Checks in a row without improvement.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `patience`, `min_delta` or `start_epoch` is negative, a threshold is not finite, or the monitor
            cannot be one; before the first epoch, if the monitor does not exist in the run.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import EarlyStopping, attach
        >>> model = YOLO("yolo11n-cls.yaml")
        >>> suite = attach(model, EarlyStopping("val/loss", patience=10))

    Publishes `early_stopping/wait`; with several in one suite, the later ones `early_stopping/wait(<monitor>)`.
    Writes no file.
    """

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
        self.patience = None if patience is None else validate_int("patience", patience, minimum=0)
        self.stopping_threshold = validate_optional_float("stopping_threshold", stopping_threshold)
        self.divergence_threshold = validate_optional_float("divergence_threshold", divergence_threshold)
        self.check_finite = validate_bool("check_finite", check_finite)
        self.reset()

    def reset(self) -> None:
        """Forget the last run."""
        super().reset()
        self._rule: StopRule = StopRule(
            mode="min",  # until the run tells
            patience=self.patience or None,
            min_delta=self.min_delta,
            stopping_threshold=self.stopping_threshold,
            divergence_threshold=self.divergence_threshold,
            check_finite=self.check_finite,
        )

    def decide(self, run: TrainingRun, record: EpochRecord, value: float) -> None:
        """Count the check, and stop if it was the last."""
        self._prepare(run)
        self._close(self._rule.check(record.epoch, value), run, record)

    def decide_undetected(self, run: TrainingRun, record: EpochRecord, value: float | None) -> None:
        """Count a check without improvement, and stop if it was the last."""
        self._prepare(run)
        decision = self._rule.check_undetected(value, counts=True, is_loss=self.monitor.is_loss)
        self._close(decision, run, record)

    def skip(self, run: TrainingRun, record: EpochRecord, value: float | None) -> None:
        """Stop if the value is not finite, or a loss that has diverged; count nothing."""
        if value is not None:
            self._prepare(run)
            decision = self._rule.check_undetected(value, counts=False, is_loss=self.monitor.is_loss)
            self.carry_out(decision, run, record)

    def _prepare(self, run: TrainingRun) -> None:
        """Give the rule what only the run can say."""
        self._rule.mode = self.mode
        self._rule.exempt_zero = self.skip_untrained and self.monitor.monitor == "fitness" and self.mode == "max"
        if self.patience is None:
            self._rule.patience = run.patience

    def _close(self, decision: StopDecision, run: TrainingRun, record: EpochRecord) -> None:
        self.carry_out(decision, run, record)
        self.log(record, "early_stopping/wait", self.wait_count)

    def outcome(self) -> str:
        """When and why it stopped, or how far it was from it."""
        if self.stopped_epoch:
            return super().outcome()
        if no_check := self.no_check():
            return f"{super().outcome()}: {no_check}"
        best = f"best {self.best_score:g} at epoch {self.best_epoch}" if self.best_epoch else "no value"
        return f"{super().outcome()}: {best}, {counted(self.wait_count, 'check')} without improvement"
