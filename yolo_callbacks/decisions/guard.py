"""Whether values that must not get worse have got worse."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from yolo_callbacks.decisions.comparison import Mode

__all__ = ["Guarded", "broken_guard"]


@dataclass(frozen=True)
class Guarded:
    """By how much a value may be worse than at the last best, and which way is worse."""

    tolerance: float
    mode: Mode


def broken_guard(
    guards: Mapping[str, Guarded], values: Mapping[str, float | None], reference: Mapping[str, float | None]
) -> str | None:
    """The reason to not take an epoch, None if there is none.

    Args:
        guards: What is guarded, by name.
        values: The values of this epoch. One that is missing or NaN where the reference has one breaks the guard:
            nobody can say that it has not dropped.
        reference: The values at the last best; one that is missing or not finite guards nothing.
    """
    for name, guarded in guards.items():
        value, before = values.get(name), reference.get(name)
        if before is None or not math.isfinite(before):
            continue
        if value is None:
            return f"{name} has no value, it was {before:g} at the last best"
        worse_by = before - value if guarded.mode == "max" else value - before
        if not worse_by <= guarded.tolerance:
            return f"{name} is {value:g}, it was {before:g} at the last best and may be {guarded.tolerance:g} worse"
    return None
