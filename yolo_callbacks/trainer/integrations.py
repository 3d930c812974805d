"""Remove Ultralytics' own integrations of logging services from one training."""

from __future__ import annotations

from typing import Any

from yolo_callbacks.trainer.training_run import TrainingRun

__all__ = ["MLFLOW", "RAY_TUNE", "WANDB", "drop_integration", "drop_integrations"]

MLFLOW, RAY_TUNE, WANDB = "mlflow", "raytune", "wb"

_FOLDER = "ultralytics.utils.callbacks."
_DEFAULTS = "base"  # Ultralytics' own functions for every event, which are no integration


def drop_integration(run: TrainingRun, name: str) -> bool:
    """Remove an integration, and return whether it was on.

    Args:
        run: The training, at its first event.
        name: `MLFLOW`, `RAY_TUNE` or `WANDB`.
    """
    return _drop(run.trainer, {name})


def drop_integrations(trainer: Any) -> None:
    """Remove every integration, at the first event of a training."""
    modules = {
        _module(function).removeprefix(_FOLDER)
        for functions in trainer.callbacks.values()
        for function in functions
        if _module(function).startswith(_FOLDER)
    }
    _drop(trainer, modules - {_DEFAULTS})


def _drop(trainer: Any, names: set[str]) -> bool:
    modules = {_FOLDER + name for name in names}
    found = False
    for functions in trainer.callbacks.values():
        others = [function for function in functions if _module(function) not in modules]
        found |= len(others) < len(functions)
        # In place, because Ultralytics iterates over one of these lists now. Up to 8.4.120 its integration opens its
        # W&B run there.
        functions[:] = others
    return found


def _module(function: Any) -> str:
    return str(getattr(function, "__module__", ""))
