"""Decide what can be resumed, and let a run be resumed whose last epoch is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.method_patches import MethodPatches
from yolo_callbacks.utils.stored_paths import run_folder_of

__all__ = ["check_resume", "is_resumable", "load_checkpoint", "run_of_checkpoint", "watch_resume"]


def load_checkpoint(path: Path) -> Any:
    """Load a checkpoint that this run has written or the user has named: loading can run code."""
    from ultralytics.utils.torch_utils import torch_load

    return torch_load(path, map_location="cpu")


def is_resumable(checkpoint: object) -> bool:
    """Return whether a checkpoint holds what Ultralytics resumes from: it is not stripped."""
    if not isinstance(checkpoint, Mapping):
        return False
    epoch = checkpoint.get("epoch", -1)
    return isinstance(epoch, int) and epoch >= 0 and checkpoint.get("optimizer") is not None


def run_of_checkpoint(checkpoint: Path) -> Path | None:
    """Return the folder of the run that a checkpoint lies in; None where it lies in no run."""
    folder = run_folder_of(checkpoint)
    if folder == checkpoint.absolute().parent:
        return None
    files = ("args.yaml", "results.csv", "callbacks.json")
    return folder if any((folder / name).is_file() for name in files) else None


def check_resume(model: Any, arguments: Mapping[str, Any], *, finished: Callable[[Path], tuple[int, bool]]) -> None:
    """Check that a training with `resume=` has something to resume.

    Ultralytics decides it in `Model.train`, before any event. From a stripped checkpoint it starts a new training, of
    100 epochs of coco8 where no `data=` is given (8.4.190).

    Args:
        model: The model.
        arguments: Of `model.train`.
        finished: Gives for the folder of a run its last epoch, 0 where it is not finished, and whether its last.pt was
            to be kept resumable.

    Raises:
        ValueError: If the run of the checkpoint is over, or another checkpoint of the run has to be resumed.
    """
    resume = arguments.get("resume", model.overrides.get("resume"))
    named = isinstance(resume, (str, Path))
    path = Path(resume if named else getattr(model, "ckpt_path", None) or "")
    folder = run_of_checkpoint(path) if resume and path.suffix == ".pt" and path.is_file() else None
    if folder is None:
        return
    last_epoch, kept = finished(folder)
    checkpoint = load_checkpoint(path) if named else model.ckpt
    last = folder / "weights" / "last.pt"
    if is_resumable(checkpoint):
        # A last.pt that was not to be kept is still whole: a kill came just before its stripping.
        over = last_epoch and checkpoint["epoch"] + 1 >= last_epoch and (kept or path.name != last.name)
        if over:
            raise ValueError(_over(path, folder, can_be_extended=True))
    elif not last_epoch and path.name != last.name and last.is_file() and is_resumable(load_checkpoint(last)):
        raise ValueError(f"{path} holds no optimizer and cannot be resumed: resume {last}")
    else:
        raise ValueError(_over(path, folder, can_be_extended=kept))


def watch_resume(methods: MethodPatches, *, single_process: bool) -> None:
    """Let a run be resumed whose last epoch is in its checkpoint, but not what comes after it.

    8.4.190 refuses ("nothing to resume"), 8.3.200 trains an epoch more. `TrainingOver` then leaves the loop. Of several
    processes none can leave it alone, so there Ultralytics decides.
    """
    trainer, resume = methods.trainer, methods.trainer.resume_training

    def watched(checkpoint: Any) -> None:
        if getattr(trainer, "resume", False) and checkpoint is not None and not is_resumable(checkpoint):
            path = Path(str(trainer.args.resume))
            raise ValueError(_over(path, run_folder_of(path), can_be_extended=False))
        epochs = trainer.epochs
        start = checkpoint.get("epoch", -1) + 1 if checkpoint else 0
        if single_process and start >= epochs:  # more with `time=`, which estimates `epochs` anew in each epoch
            trainer.epochs = start + 1
        try:
            resume(checkpoint)
        finally:
            trainer.epochs = epochs

    methods.replace("resume_training", watched)


def _over(path: Path, folder: Path, *, can_be_extended: bool) -> str:
    command = f"yolo-callbacks extend {folder} epochs=…"
    message = f"{path} is of a run that is over, there is nothing to resume"
    if can_be_extended:
        return f"{message}. To train it for more epochs: {command}"
    return (
        f"{message}: its optimizer was removed at the end. A run that was trained with keep_resumable=True can be "
        f"trained for more epochs: {command}"
    )
