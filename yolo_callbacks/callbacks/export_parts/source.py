"""Choose the checkpoint that is exported, and know whether it is to be exported at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yolo_callbacks.callbacks.export_parts.publication import published_names
from yolo_callbacks.callbacks.optuna_pruning import OptunaPruning
from yolo_callbacks.callbacks.save_best import SaveBest
from yolo_callbacks.trainer.search import current_search
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.control_flow import is_trial_of_sweep
from yolo_callbacks.utils.ray_trial import current_trial
from yolo_callbacks.utils.unknown_arguments import hint

__all__ = ["ExportSource", "reason_for_no_export", "trial_of"]

_OF_ULTRALYTICS = ("best", "best.pt")


@dataclass
class ExportSource:
    """The checkpoint that is exported: the best one of a `SaveBest`, or Ultralytics' best.pt.

    Attributes:
        saver: The `SaveBest`; None for Ultralytics' best.pt.
        folder: The folder of the checkpoints.
        has_begun: Whether epochs of the run had been trained before, so that best.pt may be of this run. One that an
            earlier run has left in the folder is not exported.
    """

    saver: SaveBest | None
    folder: Path | None = None
    has_begun: bool = False

    @classmethod
    def of(cls, run: TrainingRun, name: str | None) -> ExportSource:
        """Find the checkpoint of a run.

        Args:
            run: The training.
            name: The monitor or the `filename` of a `SaveBest`, or `"best.pt"`; None for the first `SaveBest`.

        Raises:
            ValueError: If the suite has no such `SaveBest`.
        """
        savers = [member for member in run.supervision.members if isinstance(member, SaveBest)]
        has_begun = bool(run.completed_epochs or run.epoch)
        if name in _OF_ULTRALYTICS or (name is None and not savers):
            return cls(None, run.weights_dir, has_begun)
        for saver in savers:
            if name is None or name in (saver.monitor_name, saver.filename, saver.monitor.name(run.task)):
                return cls(saver, run.weights_dir, has_begun)
        known = [*(str(saver.filename or saver.monitor.name(run.task)) for saver in savers), "best.pt"]
        near = hint(str(name), known)
        raise ValueError(
            f"of must name a SaveBest of the suite, received {name!r}{near} (there are {', '.join(known)})"
        )

    def check(self, run: TrainingRun) -> None:
        """Check that the run will have the checkpoint.

        Raises:
            ValueError: If it will not.
        """
        if self.saver is None and not run.trainer.args.save:
            raise ValueError("with save=False there is no best.pt; a SaveBest in the suite saves its own")

    def checkpoint(self, run: TrainingRun) -> Path | None:
        """Return the file; None before there is one."""
        return run.best if self.saver is None else self.saver.best_model_path

    def new_best(self, run: TrainingRun) -> int:
        """Return the epoch of the best checkpoint; 0 before there is one, and while it is a stand-in."""
        if self.saver is None:
            return _epoch_of_best(run)
        return self.saver.best_epoch if self.saver.best_score is not None else 0

    def last_best(self, run: TrainingRun) -> int | None:
        """Return the epoch of the checkpoint that the run ends with, 0 where it is not known; None without one."""
        path = self.checkpoint(run)
        if path is None or not path.is_file():
            return None
        if self.saver is not None:
            return self.saver.best_epoch
        written = self.has_begun or run.checkpoints.best_epoch or run.choice is not None
        return _epoch_of_best(run) if written else None

    def export_names(self, suffix: str) -> list[str]:
        """Return the names that an export of the present best checkpoint may get."""
        path = Path("best.pt") if self.saver is None else self.saver.best_model_path
        return list(published_names(path.stem, suffix).values()) if path is not None else []


def _epoch_of_best(run: TrainingRun) -> int:
    """Return the epoch of best.pt; 0 where it is not known, as after a promotion."""
    return run.checkpoints.best_epoch if run.choice is None else 0


def trial_of(run: TrainingRun) -> str:
    """Return which search a training is a trial of; `""` where it is of none."""
    if current_search() is not None:
        return "model.tune()"
    if current_trial() is not None:
        return "Ray Tune"
    if is_trial_of_sweep():
        return "a W&B sweep"
    return "Optuna" if any(isinstance(member, OptunaPruning) for member in run.supervision.members) else ""


def reason_for_no_export(run: TrainingRun, *, reached_end: bool) -> str:
    """Return why nothing is exported at the end of a run; `""` where its best checkpoint is."""
    left = run.left
    if left is not None and left.resumable:
        return "nothing: the run is to be resumed"
    if run.supervision.end.failure is not None or not reached_end:
        return "nothing: the training did not reach its end"
    return f"nothing: the run was {left.status}" if left is not None and left.status != "finished" else ""
