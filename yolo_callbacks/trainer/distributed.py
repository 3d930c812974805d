"""Identify the processes of a multi-GPU training, and exchange values between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from yolo_callbacks.decisions.plateau import RateReduction
from yolo_callbacks.trainer.leaving import Leaving

__all__ = ["SharedDecisions", "gather", "is_single_process", "process_rank"]


@dataclass
class SharedDecisions:
    """Hold the decisions of rank 0 that every rank carries out.

    A suite sends the object of rank 0 to all ranks when the training starts, and at the end of each epoch.

    Attributes:
        ended: Whether a resumed training had reached its end before.
        rate_reductions: The reductions of the learning rate, by the callback that makes them.
        base_rates: The base rate of each parameter group at the beginning of a resumed run; empty where unknown.
        held_factor: The factor at which the schedule of an extended run is held; None where it is not held.
        next_cleanups: The epoch of the next memory cleanup, by its step.
        validates_next: Whether the time allows a validation of the next epoch.
        concluding: Whether the run ends with this epoch by a decision that a resume respects.
        leaving: The way in which the training ends early, with this epoch; None where no callback has asked for it.
        rank_store: The host and the port of the store that the ranks share; None where no callback has opened one.
    """

    ended: bool = False
    rate_reductions: dict[str, RateReduction] = field(default_factory=dict)
    base_rates: list[float] = field(default_factory=list)
    held_factor: float | None = None
    next_cleanups: dict[str, int] = field(default_factory=dict)
    validates_next: bool = True
    concluding: bool = False
    leaving: Leaving | None = None
    rank_store: tuple[str, int] | None = None

    def replace_by(self, other: SharedDecisions) -> None:
        """Take over the values of another object."""
        vars(self).update(vars(other))


def process_rank() -> int:
    """Return the number of this process; 0 where there is only one."""
    from ultralytics.utils import RANK

    return max(int(RANK), 0)


def is_single_process() -> bool:
    """Return whether this is the only process of the training."""
    from ultralytics.utils import RANK

    return bool(RANK == -1)


def gather(trainer: Any, value: Any) -> list[Any]:
    """Return the values of all ranks, that of rank 0 first.

    Every rank must call this, outside code that may raise on one rank only: the others would wait forever.
    """
    if trainer.world_size < 2:
        return [value]
    from torch import distributed

    if not distributed.is_initialized():
        return [value]
    values = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values
