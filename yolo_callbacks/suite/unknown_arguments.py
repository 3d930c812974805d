"""Refuse keywords that a function does not have, and name the nearest one that it has."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import ParamSpec, TypeVar

from yolo_callbacks.utils.arguments import UnknownArgumentError, unknown_argument_text

__all__ = ["refuse_misspelt", "refusing_unknown"]

P = ParamSpec("P")
R = TypeVar("R")

_CLOSE = 0.75  # `trainer` and `strict` have a ratio of 0.46, `stric` and `strict` one of 0.91


def refusing_unknown(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function of the same signature that names the nearest argument where it is given an unknown one.

    The `TypeError` of Python itself names none.
    """
    known = _keywords(function)

    @functools.wraps(function)
    def refusing(*given: P.args, **named: P.kwargs) -> R:
        for name in named:
            if name not in known:
                raise UnknownArgumentError(unknown_argument_text(function.__name__, name, known), name)
        return function(*given, **named)

    return refusing


def refuse_misspelt(function: Callable[..., object], named: Iterable[str], others: Iterable[str]) -> None:
    """Refuse what is most likely a misspelt argument of a function that hands further arguments on.

    Args:
        function: The function.
        named: The further arguments that it was given.
        others: The arguments that it hands on, as far as they are known. One that is in neither list may still be
            right: the function that it is handed to decides.

    Raises:
        UnknownArgumentError: If one is close to an argument of the function, and to none of the others.
    """
    own, known = _keywords(function), set(others)
    for name in named:
        meant = [] if name in known else get_close_matches(name, [*own, *known], n=1, cutoff=_CLOSE)
        if meant and meant[0] in own:
            raise UnknownArgumentError(
                f"{function.__name__} has no argument {name!r}, did you mean {meant[0]!r}?", name
            )


def _keywords(function: Callable[..., object]) -> list[str]:
    """Return the arguments of a function that can be given by name."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [name for name, parameter in inspect.signature(function).parameters.items() if parameter.kind in by_name]
