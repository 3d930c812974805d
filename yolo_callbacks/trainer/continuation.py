"""Find the folder of a training before it starts, and let the training go on there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.resume import is_resumable, load_checkpoint
from yolo_callbacks.utils.files import replace_atomic

__all__ = ["adopt_checkpoint", "completed_epochs", "fixed_folder", "load_weights"]

_OF_THE_PLACE = ("project", "name", "save_dir")


def fixed_folder(task: str, arguments: Mapping[str, Any]) -> Path:
    """Return the folder that a training with these arguments gets with `exist_ok=True`."""
    from ultralytics.cfg import DEFAULT_CFG, get_cfg, get_save_dir

    place = {name: str(arguments[name]) for name in _OF_THE_PLACE if arguments.get(name) is not None}
    return Path(get_save_dir(get_cfg(DEFAULT_CFG, {**place, "task": task, "mode": "train", "exist_ok": True})))


def completed_epochs(checkpoint: Path) -> int:
    """Return the number of epochs from which a checkpoint can be resumed; 0 where it cannot be.

    Raises:
        Exception: If the file is damaged; torch raises several.
    """
    content = load_checkpoint(checkpoint)
    return int(content["epoch"]) + 1 if is_resumable(content) else 0


def adopt_checkpoint(checkpoint: Path, folder: Path, arguments: Mapping[str, Any]) -> None:
    """Let a checkpoint name the folder that it is in, and the place of the data set on this machine.

    A resumed training takes both from its checkpoint (Ultralytics 8.4.190).

    Raises:
        OSError: If the checkpoint cannot be written.
    """
    import torch

    content = load_checkpoint(checkpoint)
    before = content.get("train_args") or {}
    given = {name: arguments[name] for name in ("project", "name", "data") if arguments.get(name) is not None}
    place = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
    after = {**before, **place, "save_dir": str(folder)}
    if after != before:
        content["train_args"] = after
        replace_atomic(checkpoint, lambda temporary: torch.save(content, temporary))


def load_weights(model: Any, checkpoint: Path) -> None:
    """Load a checkpoint into a model, as `model.train()` does at its end."""
    # `Model.load` keeps the model of the YAML, which may have another number of classes.
    model._load(str(checkpoint))
