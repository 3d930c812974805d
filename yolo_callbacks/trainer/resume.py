"""Decide which checkpoints can be resumed, and resume a run whose last epoch is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.method_patches import MethodPatches
from yolo_callbacks.utils.stored_paths import run_folder_of

__all__ = ["check_resume", "is_resumable", "load_checkpoint", "watch_resume"]


def load_checkpoint(path: Path) -> Any:
    """Load a checkpoint. Loading can run code: load only files of this run, or files that the user has named."""
    from ultralytics.utils.torch_utils import torch_load

    return torch_load(path, map_location="cpu")


def is_resumable(checkpoint: object) -> bool:
    """Return whether Ultralytics can resume from a checkpoint: its optimizer is not stripped."""
    if not isinstance(checkpoint, Mapping):
        return False
    epoch = checkpoint.get("epoch", -1)
    return isinstance(epoch, int) and epoch >= 0 and checkpoint.get("optimizer") is not None


def _run_of_checkpoint(checkpoint: Path) -> Path | None:
    """Return the folder of the run of a checkpoint; None where the checkpoint is in no run."""
    folder = run_folder_of(checkpoint)
    if folder == checkpoint.absolute().parent:
        return None
    files = ("args.yaml", "results.csv", "callbacks.json")
    return folder if any((folder / name).is_file() for name in files) else None


def check_resume(model: Any, arguments: Mapping[str, Any], *, finished: Callable[[Path], tuple[int, bool]]) -> None:
    """Validate that a training with `resume=` has an epoch to resume from.

    Ultralytics decides it in `Model.train`, before any event. From a stripped checkpoint 8.4.190 starts a new training;
    where no `data=` is given it trains 100 epochs of coco8.

    Args:
        model: The model.
        arguments: The arguments of `model.train`.
        finished: Returns for the folder of a run its last epoch, 0 where the run is not finished, and whether the
            option `keep_resumable` was on.

    Raises:
        ValueError: If the run of the checkpoint is over, or another checkpoint of the run must be resumed.
    """
    resume = arguments.get("resume", model.overrides.get("resume"))
    named = isinstance(resume, (str, Path))
    path = Path(resume if named else getattr(model, "ckpt_path", None) or "")
    folder = _run_of_checkpoint(path) if resume and path.suffix == ".pt" and path.is_file() else None
    if folder is None:
        return
    last_epoch, kept = finished(folder)
    checkpoint = load_checkpoint(path) if named else model.ckpt
    last = folder / "weights" / "last.pt"
    if is_resumable(checkpoint):
        # A last.pt with an optimizer, without `keep_resumable`: a kill has prevented its stripping.
        over = last_epoch and checkpoint["epoch"] + 1 >= last_epoch and (kept or path.name != last.name)
        if over:
            raise ValueError(_over(path, folder, can_be_extended=True))
    elif not last_epoch and path.name != last.name and last.is_file() and is_resumable(load_checkpoint(last)):
        raise ValueError(f"{path} holds no optimizer and cannot be resumed: resume {last}")
    else:
        raise ValueError(_over(path, folder, can_be_extended=kept))


def watch_resume(methods: MethodPatches, *, single_process: bool) -> None:
    """Resume a run that was killed after its last epoch, before its final evaluation.

    8.4.190 refuses such a run ("nothing to resume"), and 8.3.200 trains one epoch more. Here the run starts, and
    `TrainingOver` leaves the loop before that epoch. Several processes cannot leave the loop together, so there
    Ultralytics decides.
    """
    trainer, resume = methods.trainer, methods.trainer.resume_training

    def watched(checkpoint: Any) -> None:
        if getattr(trainer, "resume", False) and checkpoint is not None and not is_resumable(checkpoint):
            path = Path(str(trainer.args.resume))
            raise ValueError(_over(path, run_folder_of(path), can_be_extended=False))
        epochs = trainer.epochs
        start = checkpoint.get("epoch", -1) + 1 if checkpoint else 0
        if single_process and start >= epochs:  # greater with `time=`, which estimates `epochs` again in each epoch
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
        f"{message}: its optimizer was removed at the end. Start a new training with model={path}. Only a run that was "
        f"trained with keep_resumable=True can be trained for more epochs, by {command}"
    )
