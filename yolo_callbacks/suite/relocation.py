"""Resume a run whose folder was moved or copied.

The arguments in a checkpoint hold the folder of the run that wrote it (`save_dir` in `trainer.args`, Ultralytics
8.4.190). Resumed from `new/weights/last.pt`, Ultralytics continues the run in its old folder, which it makes again. The
state is read from the folder of the checkpoint, and the files that the old folder lacks are copied to it. Each callback
copies its own files, in `resume`.
"""

from __future__ import annotations

from pathlib import Path

from yolo_callbacks.state.journal import Journal
from yolo_callbacks.state.run_files import rows_up_to
from yolo_callbacks.state.state_file import holds_state
from yolo_callbacks.trainer.installation import resume_takes_save_dir
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.files import LOGGER, copy_atomic, replace_atomic
from yolo_callbacks.utils.stored_paths import is_same_folder, run_folder_of

__all__ = ["copy_checkpoints", "copy_run_files", "find_moved_folder", "warn_of_move"]


def find_moved_folder(run: TrainingRun) -> Path | None:
    """Return the folder with checkpoint and state of a resumed run; None where the run continues in that folder."""
    checkpoint = run.resumed_checkpoint
    if checkpoint is None:
        return None
    folder = run_folder_of(checkpoint)
    return folder if holds_state(folder) and not is_same_folder(folder, run.save_dir) else None


def copy_run_files(folder: Path, run: TrainingRun) -> None:
    """Copy the files that belong to no single callback to the run's folder.

    These are the journal, from which the run recovers after a second kill, and `results.csv` where the folder has none:
    Ultralytics draws its plots from it, and appends the next row after this call.
    """
    try:
        Journal(run.save_dir).add_from(Journal(folder))
        results, target = folder / "results.csv", run.results_file
        if results.is_file() and target is not None and not target.exists():
            content = rows_up_to(results, run.completed_epochs)
            replace_atomic(target, lambda temporary: temporary.write_bytes(content))
    except OSError as error:
        LOGGER.warning(f"The journal and results.csv could not be copied from {folder} to {run.save_dir}: {error}")


def copy_checkpoints(run: TrainingRun) -> None:
    """Copy last.pt and best.pt to the run's folder, for a moved run that ends at once.

    Such a run writes no checkpoint, but Ultralytics loads one at the end.
    """
    checkpoint = run.resumed_checkpoint
    if run.moved_from is None or checkpoint is None:
        return
    for source, target in ((checkpoint, run.last), (checkpoint.with_name(run.best.name), run.best)):
        if source.is_file() and not target.exists():
            copy_atomic(source, target)


def warn_of_move(folder: Path, run: TrainingRun) -> None:
    """Warn that the run continues in another folder, and name the arguments that keep it in place."""
    in_place = (
        f"To continue it in place: model.train(resume=True, save_dir={str(folder)!r})"
        if resume_takes_save_dir()
        else "This version of Ultralytics takes no save_dir= on resume: the folder of a checkpoint is fixed"
    )
    LOGGER.warning(
        f"Callbacks: this run is resumed from {folder}, but Ultralytics continues it in {run.save_dir}, the folder "
        f"that the checkpoint names. State, logs and kept checkpoints were copied there. {in_place}"
    )
