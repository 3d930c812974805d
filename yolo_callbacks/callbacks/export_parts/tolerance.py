"""Validate by how much an export may differ from its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yolo_callbacks.decisions.export_proof import DEFAULT_TOLERANCES, TOLERANCES
from yolo_callbacks.utils.arguments import validate_float
from yolo_callbacks.utils.unknown_arguments import hint

__all__ = ["complete_tolerance", "validate_tolerance"]


def validate_tolerance(value: object) -> Any:
    """Return a `tolerance` argument: None, a number, or numbers by the name of what they limit.

    Raises:
        TypeError: If it is of another kind.
        ValueError: If a number is negative, or a name unknown.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        return validate_float("tolerance", value, minimum=0.0)
    for name in value:
        if name not in TOLERANCES:
            near = hint(str(name), TOLERANCES)
            raise ValueError(f"tolerance has no {name!r}{near} (there are {', '.join(TOLERANCES)})")
    return {str(name): validate_float(f"tolerance[{name!r}]", each, minimum=0.0) for name, each in value.items()}


def complete_tolerance(value: float | Mapping[str, float] | None, precision: str) -> dict[str, float]:
    """Return every tolerance: those given, and of the others the default of a precision."""
    given = value if isinstance(value, Mapping) else {} if value is None else {"mAP": value}
    return {**DEFAULT_TOLERANCES[precision], **given}
