"""The only code that reads Ultralytics' internals and knows its versions (8.3.200 to 8.4.x).

Parts of it stand in modules of their own: `installation` (what is known without a training), `results` (numbers out of
its results), `loop` (what is put around a trainer's methods), `run_description` (what loggers tell of a run).
ultralytics and torch are imported inside the functions that need them: a decision or a test of one pays for neither.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.decisions import RateReduction
from yolo_callbacks.metrics.epoch_record import EpochRecord, MetricNames
from yolo_callbacks.trainer.extension import held_factor, hold_factor
from yolo_callbacks.trainer.installation import late_metric_keys
from yolo_callbacks.trainer.learning_rate import LearningRate, warmup_iterations
from yolo_callbacks.trainer.linked_copies import LinkedCopies
from yolo_callbacks.trainer.loop import (
    SAVED,
    BatchInFlight,
    Methods,
    TrainingOver,
    as_of_epoch,
    release,
    stamp,
    watch_batches,
    watch_checkpoints,
    watch_end,
    watch_training,
    watch_validation,
    write_checkpoint,
)
from yolo_callbacks.trainer.observer import TrainingObserver
from yolo_callbacks.trainer.results import best_confidence, numbers, per_class, transforms
from yolo_callbacks.trainer.resume import watch_resume
from yolo_callbacks.trainer.stripping import LastCheckpoint
from yolo_callbacks.utils.background import Background
from yolo_callbacks.utils.files import LOGGER, copy_atomic
from yolo_callbacks.utils.memory import is_out_of_memory

__all__ = ["OUTSIDE", "TrainingRun"]

OUTSIDE = "code outside the callbacks, which set trainer.stop"


class TrainingRun:
    """One training, as callbacks see and steer it.

    There is one for each trainer, made by the first callback that asks; it lives and dies with the trainer.

    Attributes:
        trainer: The Ultralytics trainer.
        id: Tells this training from every other one, in this process or not.
        last_epoch: The last epoch, counted from 1; 0 before the first.
        ended: Whether a resumed training has reached its end before; nothing is decided any more.
        past: The records of the epochs that a resumed run has behind it, as far as they are known.
        moved_from: The folder from which the state of a resumed run was taken, where that is not the run's own.
        choice: Monitor and score of what best.pt was replaced with, None where it is Ultralytics' own.
        shared: What rank 0 decided and every rank carries out; a suite hands it round once an epoch.
        plugged: What the plug-in gave to this training; None without it.
        extended: Whether a resumed run goes on here for more epochs than it was to have.
        tells_end: Whether the end of the training, after every `teardown`, will be told.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.id = uuid.uuid4().hex
        self.last_epoch = 0
        self.ended = False
        self.past: list[EpochRecord] = []
        self.moved_from: Path | None = None
        self.choice: dict[str, Any] | None = None
        self.shared: dict[str, Any] = {}
        self.plugged: Any = None
        self.extended = False
        self.tells_end = False
        self._failure: BaseException | None = None
        self._callers_error = id(sys.exc_info()[1])
        self._methods = Methods(trainer)
        self._learning_rate = LearningRate(trainer, self._methods)
        self._members: Collection[object] = ()
        self._background = Background()
        self._linked_copies = LinkedCopies(self._background)
        self._writes_whole = False
        self._last_checkpoint: LastCheckpoint | None = None
        self._in_suite = False
        self._epoch_open = False
        self._epoch_complete = False
        self._validated = False
        self._final_eval = False
        self._stopped_by = ""
        self._saved_epoch = 0
        self._serialised: tuple[int, Path] = (0, Path())
        self._last_metrics: object = None
        self._record: EpochRecord | None = None
        self._record_key: tuple[int, bool] | None = None

    @classmethod
    def of(cls, trainer: Any) -> TrainingRun:
        """The adaptor of a trainer."""
        adaptor = vars(trainer).get("_yolo_callbacks")
        if adaptor is None:
            # On the trainer itself rather than in a registry, so that it is freed together with it.
            adaptor = trainer._yolo_callbacks = cls(trainer)
        return adaptor  # type: ignore[no-any-return]

    # What the run is ----------------------------------------------------------------------------------------------

    @property
    def is_main(self) -> bool:
        """Whether this process decides and writes: the only one, or rank 0 of several."""
        return self.rank == 0

    @property
    def rank(self) -> int:
        """The number of this process; 0 where there is only one."""
        from ultralytics.utils import RANK

        return max(int(RANK), 0)

    @property
    def device(self) -> Any:
        """The `torch.device` that this process trains on."""
        return self.trainer.device

    def in_suite(self, callback: object) -> bool:
        """Whether a suite runs this callback in this training."""
        return any(callback is member for member in self._members)

    @property
    def single_process(self) -> bool:
        """Whether this is the only process of the training."""
        from ultralytics.utils import RANK

        return bool(RANK == -1)

    @property
    def task(self) -> str:
        """Ultralytics' name of the task."""
        return str(self.trainer.args.task)

    @property
    def save_dir(self) -> Path:
        """The run's folder."""
        return Path(self.trainer.save_dir)

    @property
    def weights_dir(self) -> Path:
        """The folder of the run's checkpoints."""
        return Path(self.trainer.wdir)

    @property
    def resumed_checkpoint(self) -> Path | None:
        """The checkpoint from which a run is resumed; None for a run that is not resumed."""
        checkpoint = getattr(self.trainer.args, "resume", None)
        return Path(checkpoint) if self.completed_epochs and isinstance(checkpoint, (str, Path)) else None

    @property
    def results_file(self) -> Path | None:
        """Where Ultralytics writes its rows; None for a trainer that writes none."""
        path = getattr(self.trainer, "csv", None)
        return Path(path) if path else None

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
        """Changes with every write of `best`, whoever writes it."""
        return stamp(self.best)

    @property
    def patience(self) -> int | None:
        """The run's own `patience=`, None where it is off."""
        return int(self.trainer.args.patience) or None

    @property
    def draws_plots(self) -> bool:
        """Whether Ultralytics draws plots in this run."""
        return bool(self.trainer.args.plots)

    @property
    def planned_epochs(self) -> int:
        """How many epochs the run is to have; `time=` changes it."""
        return int(self.trainer.epochs)

    @property
    def epoch(self) -> int:
        """The epoch that the loop is in, counted from 1; 0 before the first."""
        return int(getattr(self.trainer, "epoch", -1)) + 1

    @property
    def completed_epochs(self) -> int:
        """How many epochs a resumed run has behind it; 0 for a run that is not resumed."""
        return int(self.trainer.start_epoch) if getattr(self.trainer, "resume", False) else 0

    @property
    def validator(self) -> Any:
        """The validator of the training; None on rank > 0 before 8.3.218, and before it is made."""
        return getattr(self.trainer, "validator", None)

    @property
    def names(self) -> dict[int, str]:
        """Class names by index."""
        # A `get_dataset` of the user's own may give data without names; the model has them too.
        names = (getattr(self.trainer, "data", None) or {}).get("names")
        if names is None:
            names = getattr(getattr(self.trainer, "model", None), "names", None) or {}
        named = names.items() if isinstance(names, Mapping) else enumerate(names)
        return {int(index): str(name) for index, name in named}

    def metric_names(self) -> MetricNames:
        """The names that the run knows by now; complete from `on_pretrain_routine_end` on, but for the losses."""
        trainer = self.trainer
        # () until the first batch from 8.4.104 on, known from the start before that
        losses: tuple[str, ...] | None = tuple(map(str, getattr(trainer, "loss_names", None) or ()))
        if not losses and getattr(trainer, "tloss", None) is None:
            losses = None
        known = late_metric_keys(self.task) or trainer.metrics or {}
        metrics = [key for key in map(str, known) if not key.startswith("val/")]
        rates = [f"lr/pg{index}" for index in range(len(getattr(trainer.optimizer, "param_groups", ())))]
        return MetricNames(self.task, (*metrics, *rates), losses, self.names)

    # Where the loop stands: told by the suite, so that nothing has to be inferred ---------------------------------

    def follow(
        self,
        members: Collection[object],
        observer: TrainingObserver,
        *,
        keep_resumable: bool = False,
    ) -> None:
        """Start to receive the events of this training.

        Args:
            members: The callbacks of the suite that hands on the events.
            observer: What is called beside the events.
            keep_resumable: Whether last.pt is not stripped at the end.
        """
        self._in_suite, self._members = True, members
        watch_training(self._methods, self._finish, self._failed, observer.on_exit, is_main=self.is_main)
        watch_end(self._methods, self._started, self._failed, observer.on_end)
        watch_validation(self._methods, self._validation_done, self._final_evaluation)
        if self.is_main:
            self._last_checkpoint = LastCheckpoint(Path(self.trainer.last), keep=keep_resumable)
            self._writes_whole = watch_checkpoints(
                self._methods, observer.before_checkpoint, self.model_saved, self._linked_copies, self._last_checkpoint
            )
        watch_resume(self._methods, single_process=self.single_process)

    def _started(self) -> None:
        self.tells_end = True
        self._callers_error = id(sys.exc_info()[1])

    def _failed(self, error: BaseException) -> None:
        self._failure = error

    @property
    def failure(self) -> BaseException | None:
        """The error that is ending the training, None where there is none; to be read in `teardown`."""
        # Where the training had begun before anyone watched it, only Python tells of it: what is being handled, unless
        # the caller was handling it from the start, as who trains again in an `except`.
        handled = sys.exc_info()[1]
        return self._failure or (handled if id(handled) != self._callers_error else None)

    @property
    def has_checkpoint(self) -> bool:
        """Whether a checkpoint was written in this part of the run."""
        return bool(self._saved_epoch or self._serialised[0])

    @property
    def in_epoch(self) -> bool:
        """Whether an epoch's batches are done and its `on_fit_epoch_end` is not."""
        return self._epoch_open

    @property
    def stopping(self) -> bool:
        """Whether the training ends with this epoch, whoever decided it."""
        return bool(self.trainer.stop)

    @property
    def concluded(self) -> bool:
        """Whether the run ends with this epoch by a decision that a resume has to respect.

        Not where code outside the callbacks has set `trainer.stop`: to a resume such a run is an interrupted one.
        """
        return self.stopping and self.stopped_by != OUTSIDE

    @property
    def stopped_by(self) -> str:
        """Who stops the training with this epoch; `""` if it goes on, ends with its last epoch, or had ended before."""
        trainer = self.trainer
        if self.ended or not self.stopping or self._stopped_by:
            return self._stopped_by
        if self.epoch >= self.planned_epochs:
            return ""
        if _out_of_patience(getattr(trainer, "stopper", None), self.epoch, trainer.fitness):
            return f"Ultralytics' own stopper, patience={trainer.stopper.patience}"
        limit = trainer.args.time
        if limit and time.time() - trainer.train_time_start > 3600 * limit:
            return f"time={limit:g}"
        return OUTSIDE

    def epoch_trained(self) -> None:
        """Take note of `on_train_epoch_end`, which NaN recovery repeats for the same epoch."""
        self._epoch_open, self._epoch_complete, self._validated = True, False, False
        self.last_epoch = self.epoch

    def validation_started(self) -> None:
        """Tell of `on_val_start`: after the last epoch it begins the final evaluation."""
        self._final_eval = not self._epoch_open and bool(self.trainer.stop)

    def model_saved(self) -> None:
        """Take note that last.pt was written in this epoch.

        Seen by the file: 8.4.190 calls `on_model_save` only if `save_model()` returns something true.
        """
        self._saved_epoch = self.epoch
        self.epoch_complete()

    def _validation_done(self) -> None:
        self._validated = True

    def _final_evaluation(self, running: bool) -> None:
        self._final_eval = running

    def epoch_complete(self) -> None:
        """Tell that metrics and checkpoint of the epoch are there: from now on its record is kept."""
        if not self._epoch_complete:
            self._epoch_complete, self._record = True, None

    def epoch_fitted(self) -> None:
        """Tell that `on_fit_epoch_end` is over."""
        self._epoch_open, self._last_metrics = False, self.trainer.metrics

    # What an epoch brought ----------------------------------------------------------------------------------------

    @property
    def final(self) -> bool:
        """Whether the loop is in the evaluation after training, whose `on_fit_epoch_end` is no epoch.

        Not told by `trainer.epoch`, which is the last one again up to 8.4.51 and one more from 8.4.52 on.
        """
        return self._final_eval or getattr(self.validator, "training", True) is False

    def record(self) -> EpochRecord:
        """The record of the epoch, one object for all callbacks from `on_model_save` on.

        Earlier it holds what is known by then, and each call makes a new one; in a suite, that is: alone a callback
        must not read it earlier.
        """
        key = (int(self.trainer.epoch), self.final)
        if self._in_suite and not (self._epoch_complete or key[1]):
            return self.read()
        if self._record is None or self._record_key != key:
            self._record, self._record_key = self._read(final=key[1]), key
        return self._record

    def read(self) -> EpochRecord:
        """A new record of the epoch, of what is known by now."""
        return self._read(final=False)

    def _read(self, *, final: bool) -> EpochRecord:
        trainer = self.trainer
        metrics = trainer.metrics or {}
        # Each validation makes a new dict. With val=False the old one stays, zeros at first; fitness is None till then.
        new = metrics is not self._last_metrics and (trainer.fitness is not None or any(numbers(metrics).values()))
        validated = final or (self._validated if self._in_suite and self._epoch_open else new)
        if not self._in_suite:  # a suite knows when an epoch is over
            self._last_metrics = metrics
        values = {} if final else self._training_values()
        if validated:
            values |= numbers(metrics)
            if not final:
                values |= numbers({"fitness": trainer.fitness})
        if not final:
            self.last_epoch = self.epoch
        results = getattr(self.validator, "metrics", None) if validated else None
        return EpochRecord(
            epoch=self.last_epoch,
            epochs=int(trainer.epochs),
            metrics=values,
            per_class=per_class(results),
            best_confidence=best_confidence(results),
            names=self.names,
            validated=validated,
            final=final,
            checkpoint=None if final else self._written_checkpoint(),
            warming_up=self._warming_up(),
            mosaic_closed=self._mosaic_closed(),
        )

    def _training_values(self) -> dict[str, float]:
        trainer = self.trainer
        values: dict[str, float] = {}
        if trainer.tloss is not None:
            # a tensor up to 8.4.103, a dict from 8.4.104 on; Ultralytics labels either
            labelled = trainer.label_loss_items(trainer.tloss, prefix="train")
            values |= numbers(labelled)
        return values | numbers(getattr(trainer, "lr", {}))

    def _written_checkpoint(self) -> Path | None:
        trainer = self.trainer
        if self._in_suite:
            # 8.4.29 to 8.4.60 skip the save, and this event, for a NaN in the EMA
            written = self._saved_epoch == self.epoch
        else:
            written = bool(trainer.args.save) or self.epoch >= trainer.epochs
        last = Path(trainer.last)
        return last if written and last.is_file() else None

    def _warming_up(self) -> bool:
        batches = len(self.trainer.train_loader)
        return bool(batches * self.epoch - 1 < warmup_iterations(self.trainer, batches))

    def _mosaic_closed(self) -> bool:
        # What happened rather than when it should: up to 8.4.103 mosaic closes only in the very epoch
        # `epochs - close_mosaic`, so never in a shorter run, nor where time= moves the number.
        trainer = self.trainer
        if not (trainer.args.close_mosaic and getattr(trainer.args, "mosaic", 0)):
            return False
        dataset = getattr(trainer.train_loader, "dataset", None)
        mosaics = list(transforms(getattr(dataset, "transforms", None), "Mosaic"))
        return not any(mosaic.p for mosaic in mosaics) if mosaics else False

    @property
    def batch_size(self) -> int:
        """The batch size of this process and all others; halved where the first epoch ran out of memory."""
        return int(self.trainer.batch_size)

    @property
    def image_size(self) -> int:
        """The run's `imgsz=`, in pixels."""
        return int(self.trainer.args.imgsz)

    @property
    def memory_retries(self) -> int:
        """How often Ultralytics has started the first epoch again because memory ran out; from 8.4.29 on."""
        return int(getattr(self.trainer, "_oom_retries", 0))

    def watch_batches(self) -> BatchInFlight:
        """What is known of the batch in flight, from now on."""
        return watch_batches(self._methods)

    # Effects on the trainer ---------------------------------------------------------------------------------------

    def checkpoint(self, record: EpochRecord, target: Path) -> Path | None:
        """Return a file with the checkpoint of an epoch.

        Where Ultralytics wrote none, as with `save=False`, the training is serialised to `target`, once an epoch;
        Ultralytics' own files stay as they are.

        Raises:
            OSError, RuntimeError: If the checkpoint cannot be written. `target` is as it was then.
        """
        if record.checkpoint is not None:
            return record.checkpoint if record.checkpoint.is_file() else None
        epoch, path = self._serialised
        if epoch != record.epoch or not path.is_file():
            if not write_checkpoint(self.trainer, target):  # 8.4.29 to 8.4.60 write nothing while the EMA holds a NaN
                return None
            self._serialised = (record.epoch, target)
        return self._serialised[1]

    def copy(self, source: Path, target: Path) -> None:
        """Copy a checkpoint, in a suite without waiting for the disk.

        Raises:
            OSError: If the disk or the folder does not allow it. `target` is as it was then.
        """
        (self._linked_copies.take if self._writes_whole else copy_atomic)(source, target)

    def later(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function that must not raise: in a suite by the thread, done before the next checkpoint is written.

        For small files that replace others: their renaming waits for a disk that is busy with the checkpoint (ext4).
        """
        if self._writes_whole:
            self._background.submit(function, *arguments)
        else:
            function(*arguments)

    def wait(self) -> None:
        """Return when all that was to be done later is done."""
        self._background.wait()

    def freed_later(self, path: Path) -> contextlib.AbstractContextManager[None]:
        """In the block a checkpoint is removed; a suite does not wait for the disk there either."""
        return self._linked_copies.freed_later(path) if self._writes_whole else contextlib.nullcontext()

    def stop(self, record: EpochRecord) -> None:
        """End the training with this epoch; Ultralytics carries the stop from rank 0 to the others.

        A resume respects it, as it does a stop by Ultralytics' own stopper.

        With `save=False` a checkpoint is written, since `Model.train` raises after a training without any; not where
        the training stops with this epoch anyway, as it does without a suite.
        """
        stops_anyway = self.stopping
        self.trainer.stop, self._stopped_by = True, "a callback"
        # A file may be there nevertheless, of an earlier run with exist_ok=True.
        if not (stops_anyway or self.trainer.args.save or self._saved_epoch or self.completed_epochs):
            self.trainer.save_model()

    def remove_fresh_folder(self) -> None:
        """Remove the run's folder if it holds nothing but what Ultralytics puts there before the first batch."""
        fresh = {"args.yaml", "weights", "labels.jpg", "labels_correlogram.jpg"}
        found = list(self.save_dir.iterdir()) if self.is_main and self.save_dir.is_dir() else []
        if not found or not fresh.issuperset(path.name for path in found) or any(self.weights_dir.glob("*")):
            return
        shutil.rmtree(self.save_dir, ignore_errors=True)

    @contextlib.contextmanager
    def replay_epoch(self, content: Mapping[str, Any]) -> Iterator[None]:
        """Stand at the end of the last epoch of a resumed run, for what the callbacks have still to decide.

        Args:
            content: The record of that epoch, as the journal has it.
        """
        trainer = self.trainer
        with as_of_epoch(trainer, content["epoch"], content["metrics"]):
            self._record = self._restored(content)
            self._record_key = (int(trainer.epoch), False)
            self._epoch_complete = True
            yield
        self._record, self._epoch_complete = None, False

    def restore_history(self, past: Iterable[Mapping[str, Any]]) -> None:
        """Take the records of the epochs that a resumed run has behind it."""
        self.past = [self._restored(content) for content in past]

    def _restored(self, content: Mapping[str, Any]) -> EpochRecord:
        return EpochRecord.restore(content, names=self.names, checkpoint=Path(str(self.trainer.args.resume)))

    def end_before_next_epoch(self) -> None:
        """End a resumed training that had come to its end, now that its first epoch is about to start.

        On several GPUs the loop cannot be left on every rank: it ends after a batch, or an epoch before 8.4.29.
        """
        if self.single_process:
            raise TrainingOver
        self.trainer.stop = True

    def _finish(self) -> None:
        """What follows the last epoch."""
        trainer = self.trainer
        trainer.epoch, trainer.stop = self.last_epoch - 1, True
        trainer.final_eval()
        if trainer.args.plots:
            trainer.plot_metrics()
        trainer.run_callbacks("on_train_end")
        for loader in (trainer.train_loader, trainer.test_loader):
            if hasattr(loader, "close"):
                loader.close()

    def prepare_reductions(self, who: str, reduction: RateReduction, base_rates: list[float] | None = None) -> bool:
        """Take part in the learning rate of the run, before the first reduction or with those of a resumed run.

        Args:
            who: Tells the reductions of one callback from those of another: their factors multiply.
            reduction: All reductions of this callback so far; none in a new run.
            base_rates: The base rates at the beginning of a resumed run, for every rank. A scheduler of the user's own
                may not know them any more.

        Returns:
            Whether the learning rate of this run can be reduced; a warning says once why not.
        """
        possible = self._learning_rate.follow()
        if possible:
            self.shared.setdefault("rate_cuts", {})[who] = reduction
            if base_rates:
                self.shared["base_rates"] = base_rates
            self.apply_reductions()
        return possible

    def reduce_rates(self, who: str, reduction: RateReduction) -> tuple[list[float], list[float]]:
        """Reduce the learning rate of all parameter groups, from the next epoch on and on every rank.

        Args:
            who: Tells the reductions of one callback from those of another: their factors multiply.
            reduction: All reductions of this callback so far, not only the last one.

        Returns:
            The base rates before and after; both are the same where the learning rate cannot be reduced.
        """
        rates = self._learning_rate
        before = rates.reduced_rates
        rates.observe()
        if rates.overwritten:
            rates.give_up(rates.overwriting)
        if not rates.obstacle:
            self.prepare_reductions(who, reduction)
        return before, rates.reduced_rates

    def hold_schedule(self, extension: dict[str, Any]) -> None:
        """Keep the schedule of an extended run where it was, on every rank from the first epoch on.

        Args:
            extension: The entry in callbacks.json. It gets the factor, which another resume needs.
        """
        if extension["held"] is None:
            extension["held"] = held_factor(self.trainer, epoch=extension["after"], planned=extension["planned"])
        if extension["held"] is None:
            LOGGER.warning("The learning rate cannot be held: the scheduler of this training is not Ultralytics' own")
        else:
            self.shared["held_factor"] = extension["held"]

    def apply_held_schedule(self) -> None:
        """Apply what `hold_schedule` has found, on every rank."""
        if "held_factor" in self.shared:
            hold_factor(self._methods, self.shared.pop("held_factor"))

    def apply_reductions(self) -> None:
        """Let the next step of the scheduler apply all reductions; to be repeated before each epoch, on every rank."""
        if "rate_cuts" in self.shared:
            self._learning_rate.follow()
            self._learning_rate.reduce(self.shared["rate_cuts"].values(), self.shared.get("base_rates", ()))

    def stop_reducing(self) -> None:
        """Give the scheduler its own `step` again: training is over. A suite needs no call of this."""
        self._learning_rate.close()

    @property
    def base_rates(self) -> list[float]:
        """The rate that the schedule of each parameter group starts from, without reductions."""
        return self._learning_rate.base_rates

    @property
    def rate_obstacle(self) -> str:
        """Why no further reduction of the learning rate is made in this run; empty where reductions work."""
        return self._learning_rate.obstacle

    @property
    def rate_factors(self) -> list[float]:
        """What all reductions multiply the rate of each parameter group with, from the next epoch on."""
        return self._learning_rate.factors

    def reduction_of(self, who: str) -> float:
        """What the reductions of one callback multiply the highest base rate with, from the next epoch on.

        1.0 where other code overwrites the rates. The factors of several callbacks multiply, in their order: a floor
        is one for the rate that the callbacks before have left.
        """
        self._learning_rate.observe()
        reductions = self.shared.get("rate_cuts", {})
        if who not in reductions or not self._learning_rate.in_force:
            return 1.0
        rate = max(self._learning_rate.base_rates)
        for name, reduction in reductions.items():
            before, rate = rate, reduction.apply(rate)
            if name == who:
                break
        return rate / before if before else 1.0

    def release(self) -> None:
        """Drop what only training needs.

        After a failure, not what `save_model()` needs: users rescue their weights with it. Unless memory ran out: then
        all of it goes, and what the error's traceback holds, so that the next attempt has room.
        """
        failed = self.failure
        out_of_memory = is_out_of_memory(failed)
        if failed is not None and out_of_memory:
            traceback.clear_frames(failed.__traceback__)
        release(self.trainer, self.validator, keep=() if failed is None or out_of_memory else SAVED)

    def close(self) -> None:
        """Strip last.pt where the run is over, the very last step of a run; then let go of the trainer."""
        self._linked_copies.wait()
        # `failure`, not `_failure`: that of a training that had begun before the suite was attached is seen only there
        if self._last_checkpoint and self.failure is None:
            self._last_checkpoint.strip()
        elif self._last_checkpoint:
            self._last_checkpoint.discard()
        self._learning_rate.close()
        self._methods.put_back()
        self._failure = None  # its traceback holds the last batch and its loss

    def gather(self, value: Any) -> list[Any]:
        """What every rank has, rank 0 first. Every rank must call it, outside anything that may raise on one only."""
        if self.trainer.world_size < 2:
            return [value]
        from torch import distributed

        if not distributed.is_initialized():
            return [value]
        values = [None] * distributed.get_world_size()
        distributed.all_gather_object(values, value)
        return values


def _out_of_patience(stopper: Any, epoch: int, fitness: object) -> bool:
    """Return whether Ultralytics' stopper has decided to stop with an epoch, without asking it once more."""
    best_epoch, patience = getattr(stopper, "best_epoch", None), getattr(stopper, "patience", None)
    if fitness is None or not isinstance(best_epoch, int) or not isinstance(patience, (int, float)):
        return False
    return epoch - best_epoch >= patience
