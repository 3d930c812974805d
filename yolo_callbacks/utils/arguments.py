"""Argument checks shared by all callbacks: TypeError for a wrong kind, ValueError for a wrong value."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from numbers import Integral, Real

__all__ = [
    "UnknownArgumentError",
    "nearest",
    "refuse_unknown",
    "validate_bool",
    "validate_choice",
    "validate_float",
    "validate_int",
    "validate_optional_float",
    "validate_optional_str",
]


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `name` most likely means, or None if none is similar."""
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    found = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.4)
    return by_folded[found[0]] if found else None


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


def refuse_unknown(owner: str, function: Callable[..., object], named: Iterable[str]) -> None:
    """Refuse arguments that a function does not have.

    Args:
        owner: What the message calls the function.
        function: The function; one that takes any argument refuses none.
        named: The names of the arguments.

    Raises:
        UnknownArgumentError: If one is unknown; the message names the nearest one that the function has.
    """
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    known = [name for name in parameters if name != "self"]
    for name in named:
        if name not in known:
            meant = nearest(name, known)
            hint = f", did you mean {meant!r}?" if meant else f" (it has {', '.join(known) or 'none'})"
            raise UnknownArgumentError(f"{owner} has no argument {name!r}{hint}", name)


def validate_bool(name: str, value: object) -> bool:
    """Return `value` if it is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, received {value!r}")
    return value


def validate_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return `value` if it is one of some strings."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, received {value!r}")
    if value not in choices:
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, received {value!r}")
    return value


def validate_int(name: str, value: object, *, minimum: int) -> int:
    """Return `value` as an int of at least `minimum`."""
    # bool is an int to Python, but patience=True is a mistake
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
    except OverflowError:  # an integer beyond what a float holds
        number = math.inf
    if not math.isfinite(number) or number < minimum:
        allowed = "finite" if minimum == -math.inf else f"finite and at least {minimum:g}"
        raise ValueError(f"{name} must be {allowed}, received {value!r}")
    return number


def validate_optional_float(name: str, value: object) -> float | None:
    """Return `value` as a finite float, or None."""
    return None if value is None else validate_float(name, value)


def validate_optional_str(name: str, value: object) -> str | None:
    """Return `value` if it is a string that is not empty, or None."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} must be a string or None, received {value!r}")
    if value == "":
        raise ValueError(f"{name} must not be empty, received {value!r}")
    return value
