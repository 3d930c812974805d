"""Read and control one training: `TrainingRun` is what callbacks get.

Only the folder of this module knows Ultralytics' internals and its versions (8.3.200 to 8.4.x). Its modules import
ultralytics and torch inside the functions that need them, so that decisions and their tests need neither.
"""

from __future__ import annotations

import itertools
import math
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from yolo_callbacks.metrics.epoch_record import EpochRecord, MetricNames
from yolo_callbacks.trainer.batches import BatchInFlight, watch_batches
from yolo_callbacks.trainer.distributed import is_single_process, process_rank
from yolo_callbacks.trainer.epoch_progress import current_epoch
from yolo_callbacks.trainer.known_names import class_names, metric_names
from yolo_callbacks.trainer.leaving import LeaveRequest, Leaving
from yolo_callbacks.trainer.method_patches import MethodPatches
from yolo_callbacks.trainer.stop_reason import OUTSIDE, epochs_before_stop, find_stop_reason, time_limit
from yolo_callbacks.trainer.supervision import Supervision
from yolo_callbacks.trainer.teardown import release
from yolo_callbacks.utils.control_flow import is_pruned, is_stopped
from yolo_callbacks.utils.files import stamp
from yolo_callbacks.utils.redaction import clean_text

__all__ = ["TrainingRun"]


class TrainingRun:
    """One training, as callbacks read and control it.

    Each trainer has one, which is freed together with the trainer. Callbacks get it as the argument `run`, or from
    `TrainingRun.of(trainer)`.

    Attributes:
        trainer: The Ultralytics trainer.
        id: Identifies this training among all others, also those of other processes.
        ended: Whether a resumed training had reached its end before; callbacks decide nothing any more.
        extended: Whether a resumed run continues here for more epochs than it was planned to have.
        past: The records of the epochs before a resume, as far as they are known.
        moved_from: The folder from which the state of a resumed run was read, where that is not its own folder.
        failures: The last line that `FailingImages` has written, for loggers; None where there is none.
        choice: Monitor and score of the checkpoint that has replaced best.pt; None where best.pt is Ultralytics' own.
        learning_rate: Schedules, reduces and holds the learning rate.
        layers: Freezes layers of the model.
        checkpoints: Finds, writes and copies checkpoints.
        shared: The decisions of rank 0 that every rank carries out.
        supervision: What only a suite does with the training.
        caller: The name of the callback that a suite is calling; `""` between the calls, and without a suite.

    Raises:
        AttributeError: If a value is read that the trainer does not have yet. It has metrics, optimizer and loaders
            from `on_pretrain_routine_end` on.

    Example:
        >>> from yolo_callbacks import Callback, EpochRecord, TrainingRun
        >>> class StopWhenGoodEnough(Callback):
        ...     def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        ...         if run.is_main and record.metrics.get("metrics/mAP50(B)", 0.0) > 0.9:
        ...             run.stop(record)
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.id = uuid.uuid4().hex
        self.ended = self.extended = False
        self.past: list[EpochRecord] = []
        self.moved_from: Path | None = None
        self.failures: Mapping[str, Any] | None = None
        self.choice: dict[str, Any] | None = None
        self._methods = MethodPatches(trainer)
        self.supervision = Supervision(trainer, self._methods)
        self.learning_rate = self.supervision.learning_rate
        self.layers = self.supervision.layers
        self.shared = self.supervision.shared
        self.checkpoints = self.supervision.checkpoints
        self._progress = self.supervision.progress
        self._stopped_by = ""
        self.caller = ""

    @classmethod
    def of(cls, trainer: Any) -> TrainingRun:
        """Return the run of a trainer; make it at the first call."""
        run = vars(trainer).get("_yolo_callbacks")
        if run is None:
            # On the trainer itself rather than in a registry, so that both are freed together.
            run = trainer._yolo_callbacks = cls(trainer)
        return run  # type: ignore[no-any-return]

    # The process --------------------------------------------------------------------------------------------------

    @property
    def rank(self) -> int:
        """The number of this process; 0 where there is only one."""
        return process_rank()

    @property
    def is_main(self) -> bool:
        """Whether this process decides and writes: the only process, or rank 0 of several."""
        return process_rank() == 0

    @property
    def single_process(self) -> bool:
        """Whether this is the only process of the training."""
        return is_single_process()

    @property
    def ranks(self) -> int:
        """The number of processes that train together."""
        return 1 if is_single_process() else max(int(self.trainer.world_size), 1)

    @property
    def device(self) -> Any:
        """The `torch.device` on which this process trains."""
        return self.trainer.device

    def offer(self, key: str, value: float) -> None:
        """Give a number of this rank to the other ranks, with the exchange at the end of the epoch; in a suite."""
        self.supervision.offered[key] = value

    def offers(self, key: str) -> list[float | None]:
        """Return what each rank has offered in the last epoch, rank 0 first; None for a rank that has not."""
        return [offered.get(key) for offered in self.supervision.offers]

    # The settings -------------------------------------------------------------------------------------------------

    @property
    def task(self) -> str:
        """Ultralytics' name of the task."""
        return str(self.trainer.args.task)

    @property
    def patience(self) -> int | None:
        """The argument `patience=` of the training; None where it is off."""
        return int(self.trainer.args.patience) or None

    @property
    def epochs_before_stop(self) -> int | None:
        """After how many epochs without improvement Ultralytics' own stopper ends the run; None where it is off."""
        return epochs_before_stop(self.trainer)

    @property
    def time_limit(self) -> float:
        """The seconds of training that `time=` still allows; infinite without that argument."""
        return time_limit(self.trainer)

    def change_patience(self, patience: int) -> None:
        """Change the patience of Ultralytics' own stopper, and the argument that a checkpoint stores; 0 for never."""
        self.trainer.args.patience = patience
        stopper = getattr(self.trainer, "stopper", None)
        if stopper is not None:  # only on rank 0 before 8.3.218
            stopper.patience = patience or math.inf

    @property
    def draws_plots(self) -> bool:
        """Whether Ultralytics draws plots in this run."""
        return bool(self.trainer.args.plots)

    @property
    def validates(self) -> bool:
        """Whether the training has `val=True`."""
        return bool(self.trainer.args.val)

    @property
    def image_size(self) -> int:
        """The argument `imgsz=` of the training, in pixels."""
        return int(self.trainer.args.imgsz)

    @property
    def batch_size(self) -> int:
        """The batch size of all processes together; Ultralytics halves it where the first epoch ran out of memory."""
        return int(self.trainer.batch_size)

    @property
    def names(self) -> dict[int, str]:
        """The class names by index."""
        return class_names(self.trainer)

    def metric_names(self, before: object = None) -> MetricNames:
        """Return the metric names known now; from `on_pretrain_routine_end` on only the losses may be missing.

        Args:
            before: A callback of the suite: the scalars that the callbacks before it log are among the names. Defaults
                to `None`, which adds none.
        """
        names = metric_names(self.trainer)
        if before is None:
            return names
        earlier = itertools.takewhile(lambda member: member is not before, self.supervision.members)
        scalars = (key for member in earlier for key in member.logged_scalars(names.task))  # type: ignore[attr-defined]
        return replace(names, scalars=tuple(dict.fromkeys(scalars)))

    def measure_sizes(self) -> None:
        """Measure mAP by the size of objects in each validation from now on; every rank must call it."""
        self.supervision.measure_sizes()

    def in_suite(self, callback: object) -> bool:
        """Return whether a suite runs this callback in this training."""
        return any(callback is member for member in self.supervision.members)

    # The files ----------------------------------------------------------------------------------------------------

    @property
    def save_dir(self) -> Path:
        """The folder of the run."""
        return Path(self.trainer.save_dir)

    @property
    def weights_dir(self) -> Path:
        """The folder of the run's checkpoints."""
        return Path(self.trainer.wdir)

    @property
    def last(self) -> Path:
        """The checkpoint of the last epoch."""
        return Path(self.trainer.last)

    @property
    def best(self) -> Path:
        """The checkpoint that Ultralytics validates and loads after training."""
        return Path(self.trainer.best)

    @property
    def best_stamp(self) -> tuple[int, int]:
        """The time and the size of `best`, which change with every write of that file."""
        return stamp(self.best)

    @property
    def results_file(self) -> Path | None:
        """The results.csv of the run; None for a trainer that writes none."""
        path = getattr(self.trainer, "csv", None)
        return Path(path) if path else None

    @property
    def resumed_checkpoint(self) -> Path | None:
        """The checkpoint from which the run is resumed; None for a run that is not resumed."""
        checkpoint = getattr(self.trainer.args, "resume", None)
        return Path(checkpoint) if self.completed_epochs and isinstance(checkpoint, (str, Path)) else None

    # The epochs ---------------------------------------------------------------------------------------------------

    @property
    def planned_epochs(self) -> int:
        """The planned number of epochs; `time=` changes it."""
        return int(self.trainer.epochs)

    @property
    def completed_epochs(self) -> int:
        """The number of epochs before a resume; 0 for a run that is not resumed."""
        return int(self.trainer.start_epoch) if getattr(self.trainer, "resume", False) else 0

    @property
    def epoch(self) -> int:
        """The epoch that the trainer is in, counted from 1; 0 before the first."""
        return current_epoch(self.trainer)

    @property
    def first_epoch_without_mosaic(self) -> int:
        """The first epoch in which Ultralytics trains without mosaic, counted from 1; 0 where it trains with it."""
        arguments = self.trainer.args
        closed = int(arguments.close_mosaic) if getattr(arguments, "mosaic", 0) else 0
        return self.planned_epochs - closed + 1 if closed else 0

    @property
    def last_epoch(self) -> int:
        """The last epoch whose batches are done, counted from 1; 0 before that."""
        return self._progress.last_epoch

    @property
    def final(self) -> bool:
        """Whether the run is in its final evaluation, whose `on_fit_epoch_end` ends no epoch."""
        return self._progress.final

    @property
    def validator(self) -> Any:
        """The validator of the training; None before it is made, and on rank > 0 before 8.3.218."""
        return getattr(self.trainer, "validator", None)

    @property
    def memory_retries(self) -> int:
        """How often Ultralytics has restarted the first epoch because memory ran out; from 8.4.29 on."""
        return int(getattr(self.trainer, "_oom_retries", 0))

    def record(self) -> EpochRecord:
        """Return the record of the epoch: in a suite one object for all callbacks, from `on_model_save` on.

        Earlier in the epoch, each call in a suite returns a new record of what is known. A callback that runs without a
        suite must not call it earlier than `on_fit_epoch_end`.
        """
        return self.supervision.reader.record()

    def skip_validation(self) -> None:
        """Leave out the validation of this epoch; every rank must call it, in `on_train_epoch_end`.

        Its row in results.csv has `nan` for each metric, its record is not `validated`, and best.pt is not written.
        """
        self.supervision.skips.skip()

    def watch_batches(self) -> BatchInFlight:
        """Return an object that holds the size of the present batch, from now on."""
        return watch_batches(self._methods)

    # The end ------------------------------------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """Whether the training ends with this epoch, whoever decided it."""
        return bool(self.trainer.stop)

    @property
    def stopped_by(self) -> str:
        """Who stops the training with this epoch; `""` if it goes on, ends with its last epoch, or had ended before."""
        if self.ended or not self.stopping or self._stopped_by:
            return self._stopped_by
        return find_stop_reason(self.trainer)

    @property
    def concluded(self) -> bool:
        """Whether the run ends with this epoch by a decision that a resume must respect.

        A stop by code outside the callbacks is no such decision: a resume continues the run, as after an interruption.
        Nor is an end that is to be resumable.
        """
        resumable = self.left is not None and self.left.resumable
        return self.stopping and self.stopped_by != OUTSIDE and not resumable

    @property
    def left(self) -> Leaving | None:
        """What `end` has decided: how the training ends early. None if `end` was not called."""
        return self.shared.leaving

    @property
    def failure(self) -> BaseException | None:
        """The error that is ending the training, to be read in `teardown`; None where there is none.

        A trial that Optuna prunes or W&B's agent stops has no error.
        """
        failure = self.supervision.end.failure
        return None if is_pruned(failure) or is_stopped(failure) else failure

    def stop(self, record: EpochRecord, reason: str = "") -> None:
        """End the training with this epoch, on all ranks. A resume respects it, as a stop by Ultralytics' own stopper.

        With `save=False`, write a checkpoint where there is none, because `Model.train` raises after a training without
        one. Not where the training ends with this epoch anyway: then it raises without a suite too.

        Args:
            record: The record of the epoch.
            reason: Why, for the table at the end and the report. Defaults to `""`.

        Raises:
            TypeError: If `record` is no `EpochRecord`, or `reason` no string.
        """
        if not isinstance(record, EpochRecord):
            raise TypeError(f"record must be an EpochRecord, received {record!r}: call run.stop(record, reason)")
        if not isinstance(reason, str):
            raise TypeError(f"reason must be a string, received {reason!r}")
        stops_anyway = self.stopping
        by = self.caller or "a callback"
        self.trainer.stop, self._stopped_by = True, f"{by}: {clean_text(reason)}" if reason else by
        # Do not look for the file: an earlier run in the same folder may have written it (exist_ok=True).
        if not (stops_anyway or self.trainer.args.save or self._progress.saved_epoch or self.completed_epochs):
            self.trainer.save_model()

    def end(
        self,
        record: EpochRecord,
        *,
        raising: BaseException | None = None,
        evaluate: bool = True,
        resumable: bool = False,
        reason: str = "",
    ) -> None:
        """Leave the training with this epoch, on all ranks, with everything closed.

        The callbacks and loggers of the epoch run to their end. Then the training ends as with `stop`, and the summary
        has a status of its own: `pruned` for `optuna.TrialPruned`, `left early` where it can be resumed.

        Args:
            record: The record of the epoch.
            raising: An exception that `model.train()` raises after all that. Defaults to `None`, which raises none.
            evaluate: Whether best.pt is evaluated and the plots are drawn. Defaults to `True`.
            resumable: Whether last.pt keeps its optimizer, and a resume continues the run. Defaults to `False`.
            reason: Why, for the table at the end and the report. Defaults to `""`.

        Raises:
            TypeError: If `record` is no `EpochRecord`, `raising` no exception, or `reason` no string.
            BaseException: `raising` at once, where no suite runs the callback or it was attached during the training.
        """
        if raising is not None and not isinstance(raising, BaseException):
            raise TypeError(f"raising must be an exception, received {raising!r}")
        self.stop(record, reason)
        end = self.supervision.end
        if not end.is_reported:
            if raising is not None:
                raise raising
            return
        status = "left early" if resumable else "finished"
        if raising is not None:
            status = "pruned" if is_pruned(raising) else f"ended by {type(raising).__name__}"
        self.shared.leaving = Leaving(evaluate=evaluate, resumable=resumable, status=status)
        end.raising = raising
        if resumable:
            self.checkpoints.keep_resumable()
            if (
                self._progress.in_epoch and self._progress.saved_epoch != self.epoch
            ):  # as with save=False: a resume would repeat epochs
                self.trainer.save_model()

    def request_end(self, reason: str, *, evaluate: bool = False) -> None:
        """Ask to leave the training at the end of the present epoch, so that a resume continues it; on any rank.

        All callbacks of the epoch decide first. If the run ends with that epoch anyway, by a decision that a resume
        respects, it finishes as ever. It needs a suite: without one, nothing happens.

        Args:
            reason: Why, for the table at the end and the report.
            evaluate: Whether best.pt is evaluated and the plots are drawn. Defaults to `False`.
        """
        if self.supervision.request is None:
            self.supervision.request = LeaveRequest(self.caller or "a callback", reason, evaluate)

    def leave_as_requested(self) -> None:
        """Leave the training with this epoch where a rank has asked for it; every rank must call it."""
        request = self.supervision.agreed
        if request is None or self.shared.concluding or self.left is not None:
            return
        if not self.is_main:
            self.shared.leaving = Leaving(evaluate=request.evaluate, resumable=True, status="left early")
            return
        self.caller = request.by
        try:
            self.end(self.record(), evaluate=request.evaluate, resumable=True, reason=request.reason)
        finally:
            self.caller = ""

    @property
    def seconds_left(self) -> float:
        """The seconds until a scheduler ends this process; infinite where that is unknown."""
        kill_time = self.supervision.kill_time
        return math.inf if kill_time is None else kill_time - time.monotonic()

    def release(self) -> None:
        """Free what only training needs: optimizer, EMA, gradients, loaders with their workers and data sets.

        After an error, keep what `save_model()` needs, unless memory ran out.
        """
        release(self.trainer, self.failure)

    # The background thread --------------------------------------------------------------------------------------------

    def run_in_background(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function that must not raise; in a suite a thread calls it, before the next checkpoint is written."""
        self.checkpoints.run_in_background(function, *arguments)

    def wait_for_background(self) -> None:
        """Return when the thread has done all its work."""
        self.checkpoints.wait_for_background()
