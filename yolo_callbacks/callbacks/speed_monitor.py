"""Measure how fast a training is, how long it waits for data, and how long it still takes."""

from __future__ import annotations

import math
from time import perf_counter
from typing import Any, ClassVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.callbacks.early_stopping import EarlyStopping
from yolo_callbacks.decisions.loading_advice import advise
from yolo_callbacks.decisions.training_speed import EpochTime, EpochTimer, SlowRank, TimeLeft, slowest_rank
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.event_edges import EventEdges
from yolo_callbacks.trainer.forward_time import ForwardTime
from yolo_callbacks.trainer.loading import cores_of_rank, describe_loading, images_in
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.usage import AcceleratorUse, processor_seconds

__all__ = ["SpeedMonitor"]

_OWN_SECONDS = "speed/own_seconds"


class SpeedMonitor(Callback):
    """Measure images per second, the share of time that waits for data, and the time to the end.

    It reads a clock at the start and at the end of each batch, and never waits for the device. Training waits for data
    between the last callback of a batch's end and the first one of the next start, also where they were added by
    `model.add_callback` after this one. Ultralytics reads the losses at the end of each batch for
    its progress bar, which waits for a GPU: so the GPU has nothing to do in that time, and it is lost. On ranks without
    a progress bar, and in a trainer of your own without one, the GPU may still compute: there the share is the most
    that faster loading can win.

    Where waiting for data costs more than 20 %, one line a run says what makes loading faster: more workers, a cache, a
    faster disk. It depends on the arguments of the run and on the machine. It comes with the second epoch, since the
    first one starts the workers and fills the caches.

    Attributes:
        speed: The scalars of the last epoch by key, without `speed/`.
        advice: The line of advice, `""` without one.
        slowest: The rank whose own work took longest in the last epoch but one, its seconds, and those of the others;
            None with one process.

    Raises:
        TypeError: If an argument is given: it takes none.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import SpeedMonitor, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, SpeedMonitor())

    Logs `speed/images_per_second` of all ranks, without validation; `speed/data_share`, the share of the training time
    that waits for data (0 to 1); `speed/validation_share`, the share of the epoch; `speed/seconds_left` to the planned
    end or the end of `time=`; `speed/seconds_left_at_least`, if nothing improves from now on and a stopper with
    patience ends the run; on CUDA `speed/accelerator_use` (0 to 1), in epochs of some seconds; with several processes
    `speed/slowest_rank`, `speed/slowest_rank_seconds` and `speed/other_ranks_seconds`, of the epoch before. Writes no
    file.
    """

    every_rank: ClassVar[bool] = True
    needs_start: ClassVar[bool] = False

    def __init__(self) -> None:
        self._use: AcceleratorUse | None = None
        self._forward: ForwardTime | None = None
        self._edges: EventEdges | None = None
        self.reset()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a worker gets: threads and hooks belong to their process."""
        return {**self.__dict__, "_use": None, "_forward": None, "_edges": None}

    def reset(self) -> None:
        """Forget the last run."""
        self._close()
        self.speed: dict[str, float] = {}
        self.advice = ""
        self.slowest: SlowRank | None = None
        self._timer, self._remaining = EpochTimer(), TimeLeft()
        self._measured = 0
        self._total: EpochTime | None = None
        self._processor = (0.0, 0.0)  # the moment, and the seconds of the processor until then
        self._busy: float | None = None

    def logged_scalars(self, task: str) -> tuple[str, ...]:
        """Return the keys that are there in every epoch."""
        names = ("images_per_second", "data_share", "validation_share", "seconds_left", "seconds_left_at_least")
        return tuple(f"speed/{name}" for name in names)

    # Each epoch -------------------------------------------------------------------------------------------------------

    def on_train_epoch_start(self, trainer: Any) -> None:
        """Start to measure the batches of an epoch."""
        run = TrainingRun.of(trainer)
        if self._use is None and run.is_main and run.device.type == "cuda":
            self._use = AcceleratorUse(run.device)
        if self._forward is None and not run.single_process:
            self._forward = ForwardTime(trainer.model, run.device)
        if self._edges is None:
            # All that a batch costs: two reads of a clock. As events of the suite they would take 80 µs more.
            self._edges = EventEdges(
                trainer,
                before={"on_train_batch_start": lambda: self._timer.start_batch(perf_counter())},
                after={
                    "on_train_epoch_start": lambda: self._timer.start_waiting(perf_counter()),
                    "on_train_batch_end": lambda: self._timer.end_batch(perf_counter()),
                },
            )
        self._find_slowest(run)
        self._processor = (perf_counter(), processor_seconds())
        if self._use is not None:
            self._use.take()
        if self._forward is not None:
            self._forward.take()
        self._timer.start_training(perf_counter())

    def on_train_epoch_end(self, trainer: Any) -> None:
        """End the batches of the epoch."""
        now, run = perf_counter(), TrainingRun.of(trainer)
        self._timer.end_training(now)
        since, used = self._processor
        self._busy = (processor_seconds() - used) / max(now - since, 1e-9) / cores_of_rank(trainer)
        if self._forward is not None:
            run.offer(_OWN_SECONDS, self._timer.waiting + self._forward.take())
        self.speed = {}
        use = self._use.take() if self._use is not None else None
        if use is not None:
            self.speed["accelerator_use"] = use

    def on_val_start(self, validator: Any) -> None:
        """Start to measure the validation of an epoch."""
        if getattr(validator, "training", True):
            self._timer.start_validation(perf_counter())

    def on_val_end(self, validator: Any) -> None:
        """End the validation of an epoch."""
        self._timer.end_validation(perf_counter())

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Log the speed of the epoch, and advise once."""
        images = images_in(run.trainer, self._timer.batches)
        epoch = self._timer.end_epoch(perf_counter(), images)
        if epoch is None or not run.is_main:
            return
        self._measured += 1
        self._total = epoch if self._total is None or self._measured == 2 else self._total + epoch
        self._remaining.add(epoch, validated=record.validated)
        self.speed |= {
            "images_per_second": epoch.images_per_second,
            "data_share": epoch.data_share,
            "validation_share": epoch.validation_share,
            **self._time_left(run, record),
        }
        if self.slowest is not None:
            self.speed["slowest_rank"] = self.slowest.rank
            self.speed["slowest_rank_seconds"] = self.slowest.seconds
            self.speed["other_ranks_seconds"] = self.slowest.others
        for name, value in self.speed.items():
            record.log(f"speed/{name}", value)
        if self._measured > 1 or run.stopping or record.epoch >= run.planned_epochs:
            self._advise(run, record, epoch)

    def on_train_end(self, trainer: Any) -> None:
        """Take over what the ranks have measured in the last epoch."""
        self._find_slowest(TrainingRun.of(trainer))

    def finalize(self, run: TrainingRun) -> None:
        """Stop to measure."""
        self._close()

    def outcome(self) -> str | None:
        """Return the speed of the run in this process, without its first epoch where there are more."""
        total = self._total
        if total is None:
            return "nothing measured: no epoch was complete"
        parts = [
            f"{total.images_per_second:.3g} images/s",
            f"{100 * total.data_share:.0f} % of training waits for data",
            f"validation {100 * total.validation_share:.0f} % of the time",
        ]
        if self.slowest is not None and self.slowest.stands_out:
            parts.append(str(self.slowest))
        if self.advice:
            parts.append(self.advice.partition(": ")[2])
        return ", ".join(parts)

    # Parts ------------------------------------------------------------------------------------------------------------

    def _time_left(self, run: TrainingRun, record: EpochRecord) -> dict[str, float]:
        epochs: float = 0 if run.stopping else max(run.planned_epochs - record.epoch, 0)
        checks = [
            member.patience_left / max(self._remaining.share_validated, 1 / max(epochs, 1))
            for member in run.supervision.members
            if isinstance(member, EarlyStopping) and member.patience_left is not None
        ]
        own = run.epochs_before_stop
        earliest = min(epochs, *checks, math.inf if own is None else own)
        return {
            "seconds_left": self._remaining.seconds(epochs, limit=run.time_limit, final=run.validates),
            "seconds_left_at_least": self._remaining.seconds(earliest, limit=run.time_limit, final=run.validates),
        }

    def _advise(self, run: TrainingRun, record: EpochRecord, epoch: EpochTime) -> None:
        if self.advice:
            return
        loading = describe_loading(run.trainer, self._busy, mosaic=not record.mosaic_closed)
        self.advice = advise(epoch.data_share, loading) if loading is not None else ""
        if self.advice:
            LOGGER.info(f"SpeedMonitor: {self.advice}")

    def _find_slowest(self, run: TrainingRun) -> None:
        found = slowest_rank(run.offers(_OWN_SECONDS))
        if found is not None and run.is_main:
            if found.stands_out and (self.slowest is None or not self.slowest.stands_out):
                LOGGER.info(f"SpeedMonitor: {found}")
            self.slowest = found

    def _close(self) -> None:
        if self._use is not None:
            self._use.close()
        if self._forward is not None:
            self._forward.close()
        if self._edges is not None:
            self._edges.close()
        self._use = self._forward = self._edges = None
