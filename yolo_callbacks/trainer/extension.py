"""Train a run for more epochs than planned: change its checkpoint, and hold its learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.method_patches import MethodPatches
from yolo_callbacks.trainer.own_schedule import replace_schedule, schedule_obstacle
from yolo_callbacks.trainer.resume import is_resumable, load_checkpoint
from yolo_callbacks.utils.files import LOGGER, replace_atomic

__all__ = ["extend_checkpoint", "held_factor", "hold_factor", "load_resumable"]


def load_resumable(path: Path) -> dict[str, Any] | None:
    """Return the content of a checkpoint that the user has named; None where it cannot be resumed."""
    try:
        content = load_checkpoint(path)
    except Exception as error:
        LOGGER.warning(f"{path} cannot be read: {error}")
        return None
    return content if is_resumable(content) else None


def extend_checkpoint(content: Mapping[str, Any], target: Path, *, epochs: int) -> None:
    """Write a checkpoint from which Ultralytics trains to a number of epochs.

    Ultralytics reads `epochs` from the checkpoint, also in the workers of several GPUs and after another kill. In
    8.4.190 `resume=True, epochs=…` ignores the argument.

    Args:
        content: The content of the checkpoint to continue from.
        target: The file to write.
        epochs: The number of epochs in all.

    Raises:
        OSError, RuntimeError: If the file cannot be written. `target` is not changed then.
    """
    import torch

    arguments = {**(content.get("train_args") or {}), "epochs": epochs, "time": None}
    # Up to 8.4.155 or so the arguments still contain "auto", which may choose another optimizer for more epochs.
    arguments |= _optimizer_arguments(content["optimizer"]) if str(arguments.get("optimizer")).lower() == "auto" else {}
    extended = {**content, "train_args": arguments, "stopper": _stopper_with_patience(content)}
    replace_atomic(target, lambda temporary: torch.save(extended, temporary))


def _optimizer_arguments(optimizer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that make the optimizer of a state, where Ultralytics has chosen it."""
    groups = optimizer["param_groups"]
    rate = min(group.get("initial_lr", group["lr"]) for group in groups)
    if "betas" in groups[0]:
        return {"optimizer": "AdamW", "lr0": rate, "momentum": groups[0]["betas"][0]}
    name = "MuSGD" if any("use_muon" in group for group in groups) else "SGD"
    return {"optimizer": name, "lr0": rate, "momentum": groups[0]["momentum"]}


def _stopper_with_patience(content: Mapping[str, Any]) -> Any:
    """Return the state of Ultralytics' stopper; where its patience is used up, count from the last epoch again."""
    stopper, patience = content.get("stopper"), (content.get("train_args") or {}).get("patience")
    epoch = content["epoch"] + 1
    if not isinstance(stopper, Mapping) or not patience or epoch - stopper.get("best_epoch", 0) < patience:
        return stopper
    return {**stopper, "best_epoch": epoch}


def held_factor(trainer: Any, *, epoch: int, planned: int) -> float | None:
    """Return the factor of the schedule of a run in an epoch; None where it is not known.

    Args:
        trainer: The trainer.
        epoch: The epoch, counted from 1.
        planned: The planned number of epochs.
    """
    if schedule_obstacle(trainer):
        return None
    import torch

    own = {name: getattr(trainer, name) for name in ("epochs", "lf", "optimizer", "scheduler")}
    # The cosine schedule reads `epochs` when it is made, the linear schedule in each epoch. A new scheduler writes
    # rates into its optimizer, so it gets another optimizer.
    trainer.epochs, trainer.optimizer = planned, torch.optim.SGD([torch.zeros(1)], lr=1.0)
    try:
        type(trainer)._setup_scheduler(trainer)
        return float(trainer.lf(epoch - 1))
    finally:
        vars(trainer).update(own)


def hold_factor(methods: MethodPatches, factor: float) -> None:
    """Keep the schedule of a trainer at one factor."""
    replace_schedule(methods, lambda epoch: factor)
