"""Leave a training with the present epoch: with or without the final evaluation, finished or resumable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.method_patches import MethodPatches

__all__ = ["LeaveRequest", "Leaving", "watch_leaving"]


@dataclass(frozen=True)
class Leaving:
    """The way in which a training ends early. Rank 0 decides it, and sends it to every rank at the end of the epoch.

    Attributes:
        evaluate: Whether best.pt is evaluated, and the plots are drawn.
        resumable: Whether last.pt keeps its optimizer, and a resume continues the run.
        status: The status of the run in its summary.
    """

    evaluate: bool
    resumable: bool
    status: str


@dataclass(frozen=True)
class LeaveRequest:
    """The request of one rank to leave the training, resumable, at the end of the epoch.

    Attributes:
        by: Who asks for it.
        reason: Why.
        evaluate: Whether best.pt is evaluated, and the plots are drawn.
    """

    by: str
    reason: str
    evaluate: bool


def watch_leaving(methods: MethodPatches, leaving: Callable[[], Leaving | None], *, is_main: bool) -> None:
    """Skip the final evaluation of a training that is left without it.

    Call this before other functions replace `final_eval`: they are to run around this one.

    Args:
        methods: The methods of the trainer.
        leaving: Returns the way in which the training ends early, or None.
        is_main: Whether this process strips the checkpoints.
    """
    trainer, evaluate = methods.trainer, methods.trainer.final_eval

    def evaluated(*arguments: Any, **keywords: Any) -> Any:
        left = leaving()
        if left is None or left.evaluate:
            return evaluate(*arguments, **keywords)
        trainer.args.plots = False  # Ultralytics draws them after this
        if is_main and not left.resumable:
            _strip(trainer)
        return None

    methods.replace("final_eval", evaluated)


def _strip(trainer: Any) -> None:
    """Strip last.pt and best.pt, as the final evaluation does before it evaluates."""
    from ultralytics.engine import trainer as engine  # its name `strip_optimizer` is replaced by another function

    last, best = Path(trainer.last), Path(trainer.best)
    checkpoint = engine.strip_optimizer(last) if last.is_file() else None
    if best.is_file():
        engine.strip_optimizer(best, updates={"train_results": (checkpoint or {}).get("train_results")})
