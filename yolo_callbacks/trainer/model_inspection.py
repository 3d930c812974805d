"""Read a model, or its trainer, from outside a training: its task, its run folders, the trainer that runs now."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = ["run_folder", "run_folders", "running_trainer", "task_of"]


def run_folder(model: Any) -> Path | None:
    """Return the folder of the last training of a model or trainer, also of one in workers; None before the first."""
    folder = getattr(getattr(model, "trainer", None) or model, "save_dir", None)
    return Path(folder) if folder else None


def run_folders(model: Any) -> dict[str, Path | None] | None:
    """Return the folder of each run after a training on a list of data sets, None for a run that failed.

    After any other training return None instead of a dict.
    """
    trainer: Any = getattr(model, "trainer", None)
    if not (hasattr(trainer, "trainers") and hasattr(trainer, "metrics")):  # Ultralytics' MultiTrainer, from 8.4.140
        return None
    done = {Path(run.save_dir).name: Path(run.save_dir) for run in trainer.trainers}
    return {str(name): done.get(str(name)) for name in trainer.metrics}


def running_trainer(model: Any) -> Any:
    """Return the trainer of a model from inside one of its callbacks; None outside a training.

    `model.trainer` is still the trainer of the last training, or None, while the new trainer is made.
    """
    from ultralytics.engine import model as models
    from ultralytics.engine import trainer as trainers

    found = None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        place = frame.f_code.co_filename, frame.f_code.co_name
        # Up to Python 3.12 a frame whose locals are read holds them until it ends: a user's function would hold its
        # model after `del model`, and the loop of the trainer a batch.
        if found is None and place in ((trainers.__file__, "train"), (trainers.__file__, "run_callbacks")):
            found = frame.f_locals["self"]
        if place == (models.__file__, "train") and frame.f_locals["self"] is model:
            return found
        frame = frame.f_back
    return None


def task_of(model: Any, *, caller: str) -> str:
    """Return the task of a model or trainer that can have callbacks.

    Args:
        model: The model or trainer.
        caller: The name of the function that needs it, for the message.

    Raises:
        TypeError: If it has no list of callbacks.
    """
    if not (hasattr(model, "add_callback") and isinstance(getattr(model, "callbacks", None), dict)):
        raise TypeError(f"{caller} needs a YOLO model or an Ultralytics trainer, received {model!r}")
    task = getattr(model, "task", None) or getattr(getattr(model, "args", None), "task", None)
    return str(task or "detect")
