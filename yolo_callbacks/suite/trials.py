"""Prepare a training in a trial of Ray Tune: name its run, or let it go on from a checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from yolo_callbacks.state.trial_files import Origin, copy_from_trial, forget_logged_runs, read_origin
from yolo_callbacks.trainer.resume import is_resumable, load_checkpoint
from yolo_callbacks.trainer.trial_arguments import new_folder, resume_from, rewrite_arguments
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.ray_trial import Trial, current_trial

__all__ = ["prepare_trial"]


def prepare_trial(model: Any, arguments: dict[str, Any]) -> None:
    """Change the arguments of a `model.train` that a trial of Ray Tune calls.

    Args:
        model: The model.
        arguments: The arguments.
    """
    trial = current_trial()
    if trial is None:
        return
    if trial.names_folders and not any(arguments.get(name) for name in ("name", "save_dir")):
        arguments["name"] = trial.id  # two trials at once would both take the first name that is free
    source = trial.take_checkpoint()
    if source is None:
        return
    try:
        origin = read_origin(source)
        last = source / "weights" / "last.pt"
        if origin is not None and last.is_file() and is_resumable(load_checkpoint(last)):
            _restore(model, arguments, trial, source, origin)
    finally:
        shutil.rmtree(source, ignore_errors=True)


def _restore(model: Any, arguments: dict[str, Any], trial: Trial, source: Path, origin: Origin) -> None:
    """Let the training go on from a checkpoint: in its folder, or as a clone of another trial in a new one."""
    is_own = origin.trial == trial.id
    folder = Path(origin.folder)
    if not is_own or not folder.is_dir():  # another machine lacks it
        folder = new_folder(model, arguments)
    copy_from_trial(source, folder)
    if not is_own:
        forget_logged_runs(folder)
    last = folder / "weights" / "last.pt"
    rewrite_arguments(last, arguments, folder)
    resume_from(model, last, arguments)
    trial.restored_epoch = origin.epoch
    of_which = "" if is_own else f" of trial {origin.trial}"
    LOGGER.info(f"Callbacks: trial {trial.id} goes on after epoch {origin.epoch}{of_which} in {folder}")
