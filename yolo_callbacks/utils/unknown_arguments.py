"""Refuse arguments that a callback or a function does not have, and name the nearest one that it has."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import ParamSpec, TypeVar

__all__ = [
    "UnknownArgumentError",
    "hint",
    "nearest",
    "refuse_misspelt",
    "refuse_unknown",
    "refusing_unknown",
    "unknown_argument_text",
]

P = ParamSpec("P")
R = TypeVar("R")

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
# What users write, and what it may be called here: no similar name would be found, or another one.
_ALIASES = {
    "time": ("duration",),
    "max_time": ("duration",),
    "seconds": ("duration", "timeout", "grace"),
    "hours": ("duration",),
    "interval": ("every",),
    "period": ("every",),
    "frequency": ("every",),
    "metric": ("monitor",),
    "quantity": ("monitor",),
}
_CLOSE = 0.75  # `trainer` and `strict` have a ratio of 0.46, `stric` and `strict` one of 0.91


class UnknownArgumentError(TypeError):
    """An argument that a callback or a function does not have.

    Attributes:
        argument: The name of the argument.
    """

    def __init__(self, message: str, argument: str) -> None:
        super().__init__(message)
        self.argument = argument

    def __reduce__(self) -> tuple[type[UnknownArgumentError], tuple[str, str]]:
        return type(self), (str(self), self.argument)


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that is most similar to `name`, or None if no candidate is similar."""
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    found = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.4)
    return by_folded[found[0]] if found else None


def hint(name: str, candidates: Iterable[str]) -> str:
    """Return the nearest candidate as the end of a message; empty if no candidate is similar."""
    meant = nearest(name, candidates)
    return f", did you mean {meant!r}?" if meant else ""


def unknown_argument_text(owner: str, name: str, known: Sequence[str], general: Sequence[str] = ()) -> str:
    """Return the message about an unknown argument, the same from Python and from YAML.

    Args:
        owner: The name of the callback or the function in the message.
        name: The unknown argument.
        known: The arguments that exist.
        general: Those that every callback of a file has besides. Defaults to none.

    Example:
        >>> unknown_argument_text("SaveBest", "topk", ["monitor", "top_k"])
        "SaveBest has no argument 'topk', did you mean 'top_k'? (it takes monitor, top_k)"
    """
    meant = next((alias for alias in _ALIASES.get(name.casefold(), ()) if alias in known), None)
    advice = f", did you mean {meant!r}?" if meant else hint(name, [*known, *general])
    taken = f"{', '.join(known) or 'none'}{', besides ' if general and not known else ', ' if general else ''}"
    return f"{owner} has no argument {name!r}{advice} (it takes {taken}{', '.join(general)})"


def refuse_unknown(
    owner: str, function: Callable[..., object], named: Iterable[str], passed_on: Iterable[Callable[..., object]] = ()
) -> None:
    """Raise an error for the first argument that a function does not have.

    Args:
        owner: The name of the callback or the function in the message.
        function: The function.
        named: The names of the arguments.
        passed_on: The functions to which it passes its `**kwargs` on, each to the next one. Defaults to none: then a
            function with `**kwargs` accepts every argument.

    Raises:
        UnknownArgumentError: If an argument is unknown. The message names the nearest argument and lists all of them.
    """
    known: list[str] = []
    listed: list[str] = []
    for each in (function, *passed_on):
        parameters = inspect.signature(each).parameters.values()
        known += [name for name in _keywords(each) if name not in known]
        listed += [parameter.name for parameter in parameters if parameter.kind is parameter.VAR_POSITIONAL]
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    else:
        return
    for name in named:
        if name not in known:
            if get_close_matches(name, listed, n=1, cutoff=_CLOSE):
                parameters = inspect.signature(function).parameters.values()
                form = ", ".join([*[each.name for each in parameters if each.kind is _BY_NAME[0]], f"*{listed[0]}"])
                message = f"{owner} has no argument {name!r}: give {listed[0]} without a name, {owner}({form})"
                raise UnknownArgumentError(message, name)
            raise UnknownArgumentError(unknown_argument_text(owner, name, known), name)


def refusing_unknown(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function of the same signature that names the nearest argument if it gets an unknown one.

    The `TypeError` of Python itself names none.
    """

    @functools.wraps(function)
    def refusing(*given: P.args, **named: P.kwargs) -> R:
        refuse_unknown(function.__name__, function, named)
        return function(*given, **named)

    return refusing


def refuse_misspelt(function: Callable[..., object], named: Iterable[str], others: Iterable[str]) -> None:
    """Refuse what is most likely a misspelt argument of a function that passes further arguments on.

    Args:
        function: The function.
        named: The further arguments that it was given.
        others: The arguments that it passes on, as far as they are known. An argument that is in neither list may still
            be right: the function that receives it decides.

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
    """Return the arguments of a function that can be given by name, without `self`."""
    parameters = inspect.signature(function).parameters.items()
    return [name for name, parameter in parameters if parameter.kind in _BY_NAME and name != "self"]
