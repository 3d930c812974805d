"""Store the state of the callbacks while a run trains, and restore it in a resumed run. On rank 0 only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yolo_callbacks.state.run_state import RunState
from yolo_callbacks.suite.error_policy import ErrorPolicy
from yolo_callbacks.suite.guarded_callback import GuardedCallback
from yolo_callbacks.suite.late_decisions import catch_up
from yolo_callbacks.suite.restoring import Restored, restore
from yolo_callbacks.trainer.run_description import describe_training
from yolo_callbacks.trainer.training_run import TrainingRun

__all__ = ["StateStore"]


class StateStore:
    """Write callbacks.json and the journal of one run.

    The journal gets its line before Ultralytics writes the checkpoint of an epoch, callbacks.json after the callbacks
    have decided on the epoch. A resumed run needs both: a kill may come between them.

    Args:
        run: The training.
        members: The callbacks of the run.
        errors: Handles the exceptions.
        keep_resumable: Whether last.pt keeps its optimizer at the end of the run.
    """

    def __init__(
        self, run: TrainingRun, members: Sequence[GuardedCallback], errors: ErrorPolicy, *, keep_resumable: bool
    ) -> None:
        self._run, self._members, self._errors = run, members, errors
        self._state = RunState(run.save_dir, run.run_in_background, keep_resumable=keep_resumable)
        self._restored: Restored | None = None
        self._journalled_epoch = self._decided_epoch = 0
        self._deciding = False

    @property
    def seconds_before(self) -> float:
        """The seconds that a resumed run had trained before it was resumed; 0 for a new run."""
        return self._restored.recovery.seconds if self._restored else 0.0

    def states(self) -> dict[str, Any]:
        """Return the state of each callback by its key."""
        return {member.key: member.state() for member in self._members}

    def written_files(self) -> list[Path]:
        """Return the files that the callbacks have written and keep."""
        return [path for member in self._members for path in member.written_files()]

    # Before the first epoch -------------------------------------------------------------------------------------------

    def find_leftovers(self) -> None:
        """Find the files that an earlier run has left in the folder of a new run."""
        self._state.find_leftovers()

    def restore(self) -> None:
        """Restore the states of the callbacks that the resumed run had before and has again."""
        self._restored = restore(self._members, self._run)
        extension = self._restored.recovery.extension if self._restored else None
        self._state.extension = extension
        if extension is not None and extension["hold"]:
            self._errors.attempt("holding the learning rate", self._run.learning_rate.hold_schedule, extension)

    def catch_up(self) -> None:
        """Let the callbacks of a resumed run decide on its last epoch, where a kill came before their decision."""
        catch_up(self._run, self._restored)

    def begin(self, states: Mapping[str, Any]) -> None:
        """Write the states with which the run starts."""
        scalars = self._restored.scalars if self._restored else {}
        self._state.training = describe_training(self._run)
        self._state.seconds = self.seconds_before
        self._state.begin(self._run.completed_epochs, states, scalars, ended=self._run.ended)

    # In each epoch ----------------------------------------------------------------------------------------------------

    def journal(self) -> None:
        """Journal the epoch before its checkpoint is written."""
        if self._deciding or not self._run.supervision.progress.in_epoch or self._run.ended:
            return
        try:
            record = self._run.supervision.reader.read()
            self._state.open_epoch(record, self.states(), ended=self._run.concluded)
            self._journalled_epoch = record.epoch
        except Exception as error:  # in the middle of Ultralytics' loop: it must never end the training
            self._errors.log("the journal could not be written", error)

    def start_decisions(self) -> None:
        """Journal the epoch where it has no checkpoint; from now on the callbacks decide on it."""
        if not self._run.final and self._journalled_epoch != self._run.last_epoch:
            self.journal()
        self._deciding = True

    def end_decisions(self) -> None:
        """Note that all callbacks have decided on the epoch."""
        self._deciding = False
        self._decided_epoch = self._journalled_epoch

    @property
    def undecided_epoch(self) -> int | None:
        """The epoch that is in the journal, and that the callbacks have not decided on; None if there is none."""
        return self._journalled_epoch if self._journalled_epoch != self._decided_epoch else None

    def store(self, states: Mapping[str, Any], files: list[Path], seconds: float) -> None:
        """Write the states after an epoch, the files that the callbacks keep, and how long the run has trained."""
        run = self._run
        self._state.files, self._state.seconds = files, seconds
        if run.supervision.has_checkpoint:
            self._state.remove_leftovers()
        self._state.close_epoch(run.last_epoch, states, run.record().scalars, ended=run.concluded)

    # At the end -------------------------------------------------------------------------------------------------------

    def conclude(self, summary: Mapping[str, Any], *, finished: bool) -> None:
        """Write the summary; the states too, where the training has finished."""
        self._state.conclude(summary, self.states() if finished else None)
