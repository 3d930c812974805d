"""Argument checks shared by all callbacks: TypeError for a wrong kind, ValueError for a wrong value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

__all__ = [
    "UnknownArgumentError",
    "check_bool",
    "check_choice",
    "check_float",
    "check_int",
    "check_optional_float",
    "check_optional_str",
]


class UnknownArgumentError(TypeError):
    """An argument that a callback does not have.

    Attributes:
        argument: Its name.
    """

    def __init__(self, message: str, argument: str) -> None:
        super().__init__(message)
        self.argument = argument

    def __reduce__(self) -> tuple[type[UnknownArgumentError], tuple[str, str]]:
        return type(self), (str(self), self.argument)


def check_bool(name: str, value: object) -> bool:
    """Return `value` if it is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, received {value!r}")
    return value


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return `value` if it is one of some strings."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, received {value!r}")
    if value not in choices:
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, received {value!r}")
    return value


def check_int(name: str, value: object, *, minimum: int) -> int:
    """Return `value` as an int of at least `minimum`."""
    # bool is an int to Python, but patience=True is a mistake
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, received {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, received {value!r}")
    return int(value)


def check_float(name: str, value: object, *, minimum: float = -math.inf) -> float:
    """Return `value` as a finite float of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, received {value!r}")
    try:
        number = float(value)
    except OverflowError:  # an integer beyond what a float holds
        number = math.inf
    if not math.isfinite(number) or number < minimum:
        allowed = "finite" if minimum == -math.inf else f"finite and at least {minimum:g}"
        raise ValueError(f"{name} must be {allowed}, received {value!r}")
    return number


def check_optional_float(name: str, value: object) -> float | None:
    """Return `value` as a finite float, or None."""
    return None if value is None else check_float(name, value)


def check_optional_str(name: str, value: object) -> str | None:
    """Return `value` if it is a string that is not empty, or None."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} must be a string or None, received {value!r}")
    if value == "":
        raise ValueError(f"{name} must not be empty, received {value!r}")
    return value
