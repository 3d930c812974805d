"""Report the epochs of a training to Ray Tune."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from yolo_callbacks.callbacks.monitor_callback import MonitorCallback
from yolo_callbacks.callbacks.monitor_parts.patience import last_checked_epoch
from yolo_callbacks.decisions.comparison import counted
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.monitor import MonitorLike
from yolo_callbacks.state.trial_files import Origin, copy_to_trial
from yolo_callbacks.trainer.integrations import RAY_TUNE, drop_integration
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_bool, validate_int
from yolo_callbacks.utils.control_flow import TrialStopped
from yolo_callbacks.utils.fields import Field, listing, read_fields, whole
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.ray_trial import Trial, current_trial

__all__ = ["RayTuneReporter"]


class RayTuneReporter(MonitorCallback):
    """Report each epoch to the trial of Ray Tune that runs the training, with a checkpoint.

    A trial that Ray Tune stops ends with its epoch, without a final evaluation; its checkpoints are stripped, its
    loggers are closed, and the status in its summary is `pruned`. The last epoch is reported when the run is concluded,
    so a scheduler whose `max_t` is the number of epochs cuts nothing short. A trial that is restored goes on from its
    last checkpoint with the same decisions, and reports no epoch twice.

    Use it in a function for `ray_trainable`, or in `YOLO_CALLBACKS` for `model.tune(use_ray=True)`. It takes the place
    of Ultralytics' own reporter, and does nothing outside of a trial.

    While nothing is detected, metrics are reported with their value 0. Losses of the validation, which say nothing
    then, are left out, and with a loss as the monitor such an epoch is not reported at all.

    Args:
        monitor: The value that is reported under its own name beside the metrics: `metric=` of Ray Tune's `TuneConfig`.
            Defaults to `None`, the task's main metric.
        mode: `"min"` if lower is better, `"max"` if higher is better. Defaults to `"auto"`: the name says it.
        checkpoint: Whether each report has a checkpoint. Without one, a trial that is killed begins again. Defaults to
            `True`.
        every: Report each n-th epoch, and the last one. Defaults to `1`.

    Monitors:
        - `None`: the task's main metric, such as `mAP50-95`.
        - `"mAP50"`, `"precision"`, `"recall"`, `"fitness"`; `"mAP50(M)"` of masks, `"mAP50(P)"` of poses; `"top1"`.
        - `"val/loss"`, `"train/loss"`: the sum of the losses. `"val/box_loss"`: one of them.
        - A function of the epoch's metrics, or any other key of `trainer.metrics`: both need a `mode`.

    Attributes:
        reported_epochs: The epochs reported in this run, those before a resume included.
        stopped_epoch: The epoch that ended with a stop by Ray Tune, counted from 1; 0 if it stopped nothing.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `every` is less than 1; before the first epoch, if the monitor does not exist in the run.
        SystemExit: From `model.train()`, if Ray Tune has stopped the trial. Its code is 0, as where Ray itself leaves
            the function of a trial.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import RayTuneReporter, SaveBest, attach
        >>> def train(config):
        ...     model = YOLO("yolo11n.yaml")
        ...     attach(model, SaveBest("mAP50"), RayTuneReporter("mAP50"))
        ...     model.train(data="coco8.yaml", epochs=20, optimizer="SGD", **config)

    Logs nothing. Reports `epoch`, the monitor by its name, all metrics, and all scalars of the other callbacks. Writes
    checkpoints to the storage of Ray Tune: last.pt, best.pt, kept checkpoints, state, and rows of results.
    """

    is_logger: ClassVar[bool] = True  # it reports what the others log, and stops when they have decided

    def __init__(
        self, monitor: MonitorLike = None, mode: str = "auto", *, checkpoint: bool = True, every: int = 1
    ) -> None:
        super().__init__(monitor, mode)
        self.checkpoint = validate_bool("checkpoint", checkpoint)
        self.every = validate_int("every", every, minimum=1)
        self.reset()

    def reset(self) -> None:
        """Forget the last run."""
        super().reset()
        self.reported_epochs: list[int] = []
        self.stopped_epoch = 0
        self._trial: Trial | None = None
        self._why_off = ""
        self._last: tuple[EpochRecord, dict[str, Any]] | None = None

    def validate(self, run: TrainingRun) -> bool:
        """Check the monitor, and find the trial."""
        complete = super().validate(run)
        if run.is_main and self._trial is None and not self._why_off:
            self._find_trial(run)
        return complete

    def _find_trial(self, run: TrainingRun) -> None:
        self._trial = current_trial() if run.single_process else None
        if self._trial is not None:
            self._trial.start()
            if drop_integration(run, RAY_TUNE):
                LOGGER.info("RayTuneReporter: Ultralytics' own reporter is off in this training, this one reports")
            return
        self._why_off = "this is no trial of Ray Tune"
        if not run.single_process:
            self._why_off = "Ray Tune does not know the processes of a training on several GPUs; give a trial one GPU"
        LOGGER.warning(f"RayTuneReporter: nothing is reported, because {self._why_off}")

    # In each epoch ----------------------------------------------------------------------------------------------------

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Report the epoch, unless it was reported before, is no check, or there is no trial."""
        if not self._why_off:
            super().on_epoch(run, record)

    def decide(self, run: TrainingRun, record: EpochRecord, value: float) -> None:
        """Report the epoch."""
        self._take(run, record, {**record.metrics, **record.scalars, self.monitor_name: value})

    def decide_undetected(self, run: TrainingRun, record: EpochRecord, value: float | None) -> None:
        """Report an epoch that detects nothing, without the losses of its validation."""
        if value is not None and self.mode == "max":
            metrics = {key: number for key, number in record.metrics.items() if not key.startswith("val/")}
            self._take(run, record, {**metrics, **record.scalars, self.monitor_name: value})

    def skip(self, run: TrainingRun, record: EpochRecord, value: float | None) -> None:
        """Report an epoch in which nothing has been detected yet."""
        self.decide_undetected(run, record, value)

    def _take(self, run: TrainingRun, record: EpochRecord, values: Mapping[str, float]) -> None:
        """Report an epoch now; the last one when the run is concluded."""
        trial, epoch = self._trial, record.epoch
        if trial is None:
            return
        is_last = run.stopping or epoch >= run.planned_epochs
        if epoch % self.every and not is_last:
            return
        self.reported_epochs.append(epoch)
        if epoch <= trial.restored_epoch:  # the checkpoint was made with this report
            return
        metrics = {**{key: float(value) for key, value in values.items()}, "epoch": epoch}
        if is_last and run.in_suite(self):
            self._last = (record, metrics)
        elif not self._report(trial, run, metrics, last=False):
            self.stopped_epoch = epoch
            reason = f"Ray Tune stopped the trial at epoch {epoch}"
            run.end(record, raising=TrialStopped(reason), evaluate=False, reason=reason)

    def _report(self, trial: Trial, run: TrainingRun, metrics: dict[str, Any], *, last: bool) -> bool:
        run.wait_for_background()
        origin = Origin(trial=trial.id, epoch=metrics["epoch"], folder=str(run.save_dir))
        write = partial(copy_to_trial, run.save_dir, origin=origin)
        return trial.report(metrics, write, checkpoint=self.checkpoint, last=last)

    # At the end -------------------------------------------------------------------------------------------------------

    def on_run_end(self, run: TrainingRun, summary: Mapping[str, Any]) -> None:
        """Report the last epoch."""
        last, self._last = self._last, None
        if last is None or self._trial is None or run.failure is not None:
            return
        record, metrics = last
        if not self._report(self._trial, run, metrics, last=True):
            run.end(record, raising=TrialStopped(f"Ray Tune ended the trial after epoch {record.epoch}"))

    def finalize(self, run: TrainingRun) -> None:
        """Keep the trial until the last epoch is reported: `on_run_end` comes after this."""

    def outcome(self) -> str:
        """Return what was reported, and whether Ray Tune stopped the trial."""
        if self._why_off:
            return f"nothing: {self._why_off}"
        if self.stopped_epoch:
            return f"stopped by Ray Tune at epoch {self.stopped_epoch}"
        if not self.reported_epochs:
            return self.no_check() or "nothing reported"
        return f"{counted(len(self.reported_epochs), 'epoch')} reported by {self.monitor_words}"

    # A resume ---------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the checks and the reported epochs."""
        return {**super().state_dict(), "reported": self.reported_epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the checks and the reported epochs."""
        until = whole(maximum=last_checked_epoch(state))
        found = read_fields(state, {"reported": Field(listing(until), [])})
        super().load_state_dict(state)
        self.reported_epochs = found["reported"]
