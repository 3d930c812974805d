"""Refuse arguments `name=value` of this command that are misspelt or written in another form.

Ultralytics receives every argument that this command does not know. It names its own nearest argument, never
`callbacks=`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches

from yolo_callbacks.cli.parser import CommandError

__all__ = ["refuse_near_misses"]

_ARGUMENT = re.compile(r"-*(?P<name>[A-Za-z_][\w-]*)(?:[=:](?P<value>.*))?", re.DOTALL)
_CLOSE = 0.75  # `callback` and `callbacks` have a ratio of 0.94, `cache` and `callbacks` one of 0.57


def refuse_near_misses(
    program: str, arguments: Sequence[str], own: Mapping[str, str], others: Collection[str] = ()
) -> None:
    """Refuse the first argument that is most likely meant to be one of this command.

    Args:
        program: The command, for the message.
        arguments: Its arguments.
        own: The arguments of the form `name=value` that this command reads, with an example of a value.
        others: The arguments that Ultralytics reads.

    Raises:
        CommandError: If there is one. The message has the right form, with the user's own value.
    """
    for position, argument in enumerate(arguments):
        matched = _ARGUMENT.fullmatch(argument)
        if matched is None:
            if re.fullmatch(r"-*[^=]+\.ya?ml", argument):
                raise CommandError(
                    f"{program}: {argument!r} has no name: write callbacks={argument} or data={argument}"
                )
            continue
        name, value = matched["name"], matched["value"]
        right = value and argument.startswith(f"{name}=") if name in own else name in others
        if right:
            continue
        meant = get_close_matches(name.lower().replace("-", "_"), own, n=1, cutoff=_CLOSE)
        if meant:
            text = value or _next_value(arguments[position + 1 :]) or own[meant[0]]
            raise CommandError(f"{program}: argument {argument!r}: did you mean {meant[0]}={text}?")


def _next_value(following: Sequence[str]) -> str:
    """Return the value in the arguments after a name, as in `--callbacks x`, `callbacks = x` and `callbacks =x`."""
    values = [argument.removeprefix("=") for argument in following[:2] if argument != "="]
    return values[0] if values and "=" not in values[0] and not values[0].startswith("-") else ""
