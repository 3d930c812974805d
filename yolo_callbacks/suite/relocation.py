"""A run that is resumed from a folder other than the one in which Ultralytics trains on.

The arguments in a checkpoint hold the folder of the run that wrote it (`save_dir` in `trainer.args`, ultralytics
8.4.190). Resumed from `new/weights/last.pt`, a run that was moved or copied goes on in its old folder, which is made
again. The state lies beside the checkpoint: it is taken from there, and what the run's folder lacks is copied to it.
Each callback takes its own files along, in `resume`.
"""

from __future__ import annotations

from pathlib import Path

from yolo_callbacks.state.journal import Journal
from yolo_callbacks.state.state_file import holds_state
from yolo_callbacks.trainer.installation import resume_takes_save_dir
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.files import LOGGER, copy_atomic, replace_atomic
from yolo_callbacks.utils.stored_paths import is_same_folder, run_folder_of

__all__ = ["copy_checkpoints", "copy_run_files", "find_moved_folder", "say_moved"]


def find_moved_folder(run: TrainingRun) -> Path | None:
    """Return the folder that holds checkpoint and state of a resumed run, None where the run trains on in it."""
    checkpoint = run.resumed_checkpoint
    if checkpoint is None:
        return None
    folder = run_folder_of(checkpoint)
    return folder if holds_state(folder) and not is_same_folder(folder, run.save_dir) else None


def copy_run_files(folder: Path, run: TrainingRun) -> None:
    """Copy what is of no single callback to the run's folder: the journal, and `results.csv` where it has none.

    With the journal a second kill can be recovered from. `results.csv` is what Ultralytics draws its plots from; it
    writes the next row only after this.
    """
    try:
        Journal(run.save_dir).add_from(Journal(folder))
        results, target = folder / "results.csv", run.results_file
        if results.is_file() and target is not None and not target.exists():
            content = _rows_until(results, run.completed_epochs)
            replace_atomic(target, lambda temporary: temporary.write_bytes(content))
    except OSError as error:
        LOGGER.warning(f"{run.save_dir} lacks what {folder} holds of this run: {error}")


def copy_checkpoints(run: TrainingRun) -> None:
    """Copy last.pt and best.pt to the run's folder, for a moved run that ends at once.

    It writes no checkpoint any more, and Ultralytics loads one at the end.
    """
    checkpoint = run.resumed_checkpoint
    if run.moved_from is None or checkpoint is None:
        return
    for source, target in ((checkpoint, run.last), (checkpoint.with_name(run.best.name), run.best)):
        if source.is_file() and not target.exists():
            copy_atomic(source, target)


def say_moved(folder: Path, run: TrainingRun) -> None:
    """Say where the run is resumed from, where it goes on, and how to go on in place."""
    in_place = (
        f"To continue it in place: model.train(resume=True, save_dir={str(folder)!r})"
        if resume_takes_save_dir()
        else "This version of Ultralytics takes no save_dir= on resume: the folder of a checkpoint is fixed"
    )
    LOGGER.warning(
        f"Callbacks: this run is resumed from {folder}, but Ultralytics trains on in {run.save_dir}, the folder that "
        f"the checkpoint names. State, logs and kept checkpoints were copied there. {in_place}"
    )


def _rows_until(results: Path, epoch: int) -> bytes:
    """The header and the rows up to an epoch: later ones are trained again."""
    header, *rows = results.read_bytes().splitlines(keepends=True) or [b""]
    return b"".join([header, *(row for row in rows if row.endswith(b"\n") and _epoch(row) <= epoch)])


def _epoch(row: bytes) -> float:
    try:
        return float(row.split(b",", 1)[0])
    except ValueError:
        return 0.0  # what it is nobody knows: it stays
