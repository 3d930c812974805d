"""Control one training for a suite: follow its events, share decisions between ranks, end it, clean up after it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.checkpoint_writer import CheckpointWriter
from yolo_callbacks.trainer.contexts import TrainingContexts
from yolo_callbacks.trainer.distributed import SharedDecisions, gather, is_single_process, process_rank
from yolo_callbacks.trainer.epoch_progress import EpochProgress
from yolo_callbacks.trainer.epoch_reader import EpochReader
from yolo_callbacks.trainer.layer_freezing import LayerFreezing
from yolo_callbacks.trainer.learning_rate import LearningRate
from yolo_callbacks.trainer.leaving import LeaveRequest, watch_leaving
from yolo_callbacks.trainer.method_patches import MethodPatches
from yolo_callbacks.trainer.observer import TrainingObserver
from yolo_callbacks.trainer.rank_store import RankServer
from yolo_callbacks.trainer.replay import replay_epoch, restore_record
from yolo_callbacks.trainer.resume import watch_resume
from yolo_callbacks.trainer.size_metrics import SizeMetrics
from yolo_callbacks.trainer.teardown import TrainingEnd, TrainingOver, finish_training, watch_end, watch_training
from yolo_callbacks.trainer.validation_skips import ValidationSkips
from yolo_callbacks.trainer.validation_watch import watch_validation
from yolo_callbacks.utils.files import LOGGER

__all__ = ["EventCount", "Supervision"]


@dataclass
class EventCount:
    """Count the events of a training that a suite handles: where the number stands still, the training does too.

    Attributes:
        number: The number of events. The thread of the training counts, others read it.
    """

    number: int = 0


class Supervision:
    """Supervise one training: what a suite does with it, and a single callback does not.

    Args:
        trainer: The trainer.
        methods: Its methods.

    Attributes:
        members: The callbacks of the suite; none before `follow`.
        progress: Which part of an epoch the training is in. The suite reports the events to it.
        reader: Reads the records of the epochs.
        checkpoints: Writes and copies the checkpoints.
        end: How the training ends.
        shared: The decisions of rank 0 that every rank carries out.
        learning_rate: Schedules, reduces and holds the learning rate.
        skips: Leaves out validations.
        layers: Freezes layers of the model.
        contexts: What is entered while the training runs.
        request: What this rank asks for at the end of the epoch: to leave the training. None where it does not.
        agreed: The request of the first rank that has one, after the exchange.
        kill_time: When a scheduler ends this process, as `time.monotonic()`; None where that is unknown.
        events: The events so far.
        offered: What callbacks of this rank give to rank 0 with the next exchange, by key.
        offers: What each rank has offered with the last exchange, that of rank 0 first.
    """

    def __init__(self, trainer: Any, methods: MethodPatches) -> None:
        self.members: Collection[object] = ()
        self._observers: list[TrainingObserver] = []  # the present suite last, after those that it has replaced
        self.progress = EpochProgress(trainer)
        self.reader = EpochReader(trainer, self.progress)
        self.checkpoints = CheckpointWriter(trainer)
        self.end = TrainingEnd()
        self.contexts = TrainingContexts()
        self.request: LeaveRequest | None = None
        self.agreed: LeaveRequest | None = None
        self.kill_time: float | None = None
        self.events = EventCount()
        self.offered: dict[str, Any] = {}
        self.offers: list[dict[str, Any]] = []
        self.shared = SharedDecisions()
        self.learning_rate = LearningRate(trainer, methods, self.shared)
        self.skips = ValidationSkips(trainer, methods, self.progress)
        self.layers = LayerFreezing(trainer)
        self._trainer, self._methods = trainer, methods

    def follow(self, members: Collection[object], observer: TrainingObserver, *, keep_resumable: bool = False) -> None:
        """Start to receive the events of this training.

        Args:
            members: The callbacks of the suite.
            observer: What is called besides the events.
            keep_resumable: Whether last.pt is not stripped at the end. A suite that replaces another one during the
                training does not change it.
        """
        self.members, self.progress.is_reported = members, True
        self._observers.append(observer)
        if len(self._observers) > 1:  # the methods of the trainer are wrapped already
            return
        methods, is_main = self._methods, process_rank() == 0
        watch_training(methods, self.end, self._finish, self._report_exit, self.contexts, is_main=is_main)
        watch_end(methods, self.end, self.report_end)
        watch_leaving(methods, lambda: self.shared.leaving, is_main=is_main)
        watch_validation(methods, self.progress, self._before_validation)
        if is_main:
            before, on_saved = self._before_checkpoint, self.progress.model_saved
            self.checkpoints.watch(methods, before, on_saved, keep_resumable=keep_resumable)
        watch_resume(methods, single_process=is_single_process())

    @property
    def has_checkpoint(self) -> bool:
        """Whether this process has written a checkpoint of the run."""
        return bool(self.progress.saved_epoch or self.checkpoints.has_written)

    def exchange(self, message: str) -> list[str]:
        """Give every rank the shared decisions of rank 0 and a request of any rank; return the messages of all ranks.

        Every rank must call this, outside code that may raise on one rank only: the others would wait forever.
        """
        received = gather(self._trainer, (self.shared, message, self.request, self.offered))
        self.shared.replace_by(received[0][0])
        self.agreed = next((request for _, _, request, _ in received if request is not None), None)
        self.offers, self.offered = [offered for _, _, _, offered in received], {}
        return [text for _, text, _, _ in received]

    def restore_records(self, contents: Iterable[Mapping[str, Any]]) -> list[EpochRecord]:
        """Return the records of the epochs before a resume, as the journal has stored them."""
        return [restore_record(self._trainer, content) for content in contents]

    def replay_epoch(self, content: Mapping[str, Any]) -> AbstractContextManager[None]:
        """Show the run as at the end of its last epoch before the resume, for decisions that a kill has prevented.

        Args:
            content: The record of that epoch, as the journal has stored it.
        """
        return replay_epoch(self._trainer, self.reader, content)

    def open_rank_store(self) -> None:
        """Open a store for the threads of all ranks, in `on_train_start`; they know its address from the next event on.

        Where no port can be opened, there is none, and a warning says so.
        """
        if self.shared.rank_store is not None or process_rank() or is_single_process():
            return
        try:
            self.shared.rank_store = RankServer().address
        except (OSError, RuntimeError, ValueError) as error:
            LOGGER.warning(f"Callbacks: the ranks have no store to exchange their progress: {error}")

    def end_before_next_epoch(self) -> None:
        """End a resumed training that had reached its end, when its first epoch is about to start.

        With several processes all ranks must leave the loop together: there it ends after a batch, or after an epoch
        before 8.4.29.
        """
        if is_single_process():
            raise TrainingOver
        self._trainer.stop = True

    def report_end(self) -> None:
        """Report the end of the training, and close: the last step of a run."""
        failure = self.end.failure
        try:
            for observer in self._observers:
                observer.on_end()
        finally:  # `on_run_end` of a callback may raise SystemExit, which is no failure of the training
            self.close(failure)

    def close(self, failure: BaseException | None = None) -> None:
        """Strip last.pt where the run is over, and restore the methods of the trainer.

        Args:
            failure: The error that has ended the training. Defaults to `None`.
        """
        self.checkpoints.close(failure)
        self.contexts.close()
        self.learning_rate.close()
        self.layers.close()
        if self.reader.sizes is not None:
            self.reader.sizes.forget()
        self._methods.undo()
        self.end.forget()
        self._observers.clear()

    def _report_exit(self) -> None:
        for observer in self._observers:
            observer.on_exit()

    def measure_sizes(self) -> None:
        """Measure mAP by the size of objects in each validation from now on."""
        self.reader.sizes = self.reader.sizes or SizeMetrics()

    def _before_validation(self) -> None:
        if self.reader.sizes is not None:
            self.reader.sizes.listen(self._trainer.validator)

    def _before_checkpoint(self) -> None:
        self._observers[-1].before_checkpoint()

    def _finish(self) -> None:
        finish_training(self._trainer, self.progress.last_epoch)
