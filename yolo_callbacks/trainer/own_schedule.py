"""Replace the schedule of the learning rate of a trainer by a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from yolo_callbacks.trainer.method_patches import MethodPatches

__all__ = ["replace_schedule", "schedule_obstacle"]


def schedule_obstacle(trainer: Any) -> str:
    """Return why the schedule of a trainer cannot be replaced; empty where it can."""
    if callable(getattr(trainer, "lf", None)) and hasattr(trainer.scheduler, "lr_lambdas"):
        return ""
    return f"the scheduler of this training ({type(trainer.scheduler).__name__}) is not Ultralytics' own"


def replace_schedule(methods: MethodPatches, factor: Callable[[int], float]) -> None:
    """Let the learning rate of a trainer follow a function of the epoch.

    Ultralytics makes its schedule again after each epoch with `time=`, and up to 8.4.120 where memory ran out. Its
    warm-up reads the function from `trainer.lf`, its scheduler has it for each parameter group.

    Args:
        methods: The methods of the trainer.
        factor: Returns the factor of the base rate for an epoch, counted from 0.
    """
    trainer, set_up = methods.trainer, methods.trainer._setup_scheduler

    def replace_in_scheduler() -> None:
        trainer.scheduler.lr_lambdas = [factor] * len(trainer.scheduler.lr_lambdas)

    def watched(*arguments: Any, **keywords: Any) -> Any:
        set_up(*arguments, **keywords)
        trainer.lf = factor
        replace_in_scheduler()

    methods.replace("_setup_scheduler", watched)
    methods.replace("lf", factor)
    replace_in_scheduler()
