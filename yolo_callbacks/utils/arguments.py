"""Validate arguments of callbacks: a wrong type raises TypeError, a wrong value raises ValueError."""

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
    "unknown_argument_text",
    "validate_bool",
    "validate_choice",
    "validate_float",
    "validate_int",
    "validate_optional_float",
    "validate_optional_str",
]


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that is most similar to `name`, or None if no candidate is similar."""
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    found = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.4)
    return by_folded[found[0]] if found else None


class UnknownArgumentError(TypeError):
    """An argument that a callback does not have.

    Attributes:
        argument: The name of the argument.
    """

    def __init__(self, message: str, argument: str) -> None:
        super().__init__(message)
        self.argument = argument

    def __reduce__(self) -> tuple[type[UnknownArgumentError], tuple[str, str]]:
        return type(self), (str(self), self.argument)


def refuse_unknown(owner: str, function: Callable[..., object], named: Iterable[str]) -> None:
    """Raise an error for the first argument that a function does not have.

    Args:
        owner: The name of the callback in the message.
        function: The function. If it has `**kwargs`, it accepts every argument.
        named: The names of the arguments.

    Raises:
        UnknownArgumentError: If an argument is unknown. The message names the nearest argument and lists all of them.
    """
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    known = [name for name in parameters if name != "self"]
    for name in named:
        if name not in known:
            raise UnknownArgumentError(unknown_argument_text(owner, name, known), name)


def unknown_argument_text(owner: str, name: str, known: Sequence[str]) -> str:
    """Return the message about an unknown argument, the same from Python and from YAML.

    Args:
        owner: The name of the callback in the message.
        name: The unknown argument.
        known: The arguments that the callback has.

    Example:
        >>> unknown_argument_text("SaveBest", "topk", ["monitor", "top_k"])
        "SaveBest has no argument 'topk', did you mean 'top_k'? (it takes monitor, top_k)"
    """
    meant = nearest(name, known)
    hint = f", did you mean {meant!r}?" if meant else ""
    return f"{owner} has no argument {name!r}{hint} (it takes {', '.join(known) or 'none'})"


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
