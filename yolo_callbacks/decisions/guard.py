"""Decide whether values that must not get worse have got worse."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from yolo_callbacks.decisions.comparison import Mode

__all__ = ["Guarded", "broken_guard"]


@dataclass(frozen=True)
class Guarded:
    """Say by how much a value may be worse than at the last best epoch.

    Attributes:
        tolerance: By how much it may be worse, in its own unit.
        mode: `"min"` if lower is better, `"max"` if higher is better.
    """

    tolerance: float
    mode: Mode


def broken_guard(
    guards: Mapping[str, Guarded], values: Mapping[str, float | None], reference: Mapping[str, float | None]
) -> str | None:
    """Return the reason to reject an epoch, or None if every guarded value is good enough.

    Args:
        guards: The guarded values, by name.
        values: The values of this epoch. A missing value or NaN breaks a guard that has a reference: it may be worse.
        reference: The values at the last best epoch. A missing or non-finite one guards nothing.
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
