"""Validate arguments of callbacks: a wrong type raises TypeError, a wrong value raises ValueError."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

__all__ = [
    "validate_bool",
    "validate_choice",
    "validate_float",
    "validate_int",
    "validate_optional_float",
    "validate_optional_str",
]


def validate_bool(name: str, value: object) -> bool:
    """Return `value` if it is True or False; raise TypeError otherwise."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, received {value!r}")
    return value


def validate_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return `value` if it is one of the strings in `choices`."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, received {value!r}")
    if value not in choices:
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, received {value!r}")
    return value


def validate_int(name: str, value: object, *, minimum: int) -> int:
    """Return `value` as an int of at least `minimum`."""
    # bool is a subclass of int in Python, but patience=True is a mistake
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, received {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, received {value!r}")
    return int(value)


def validate_float(name: str, value: object, *, minimum: float = -math.inf) -> float:
    """Return `value` as a finite float of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, received {value!r}")
    try:
        number = float(value)
    except OverflowError:  # an integer that is too large for a float
        number = math.inf
    if not math.isfinite(number) or number < minimum:
        allowed = "finite" if minimum == -math.inf else f"finite and at least {minimum:g}"
        raise ValueError(f"{name} must be {allowed}, received {value!r}")
    return number


def validate_optional_float(name: str, value: object) -> float | None:
    """Return None for None, any other `value` as a finite float."""
    return None if value is None else validate_float(name, value)


def validate_optional_str(name: str, value: object) -> str | None:
    """Return `value` if it is None or a string that is not empty."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} must be a string or None, received {value!r}")
    if value == "":
        raise ValueError(f"{name} must not be empty, received {value!r}")
    return value
