"""What stored state may hold: a reader for each field, and one function that reads a mapping by its fields.

A file of any content must never end a training or decide in it. So everything that is read from a state passes here
first: what is missing gets its default, what is unknown is ignored, and a value of another type or out of its range
raises `StateError`, whatever it is.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, NamedTuple

__all__ = [
    "MAX_COUNT",
    "REQUIRED",
    "SCHEMA",
    "Field",
    "StateError",
    "anything",
    "flag",
    "listing",
    "mapping",
    "number",
    "one_of",
    "optional",
    "pair",
    "printable",
    "read_fields",
    "schema",
    "text",
    "whole",
]

SCHEMA = 2
"""The version of all files that hold state.

1: without a version in journal lines and sidecars; folders of W&B runs are absolute. 2: they are relative to the run's
folder where they lie in it.
"""
MAX_COUNT = 1_000_000
"""More epochs, checks or reductions than any run has."""
_MAX_DEPTH = 32
_MAX_SHOWN = 80
_KINDS: dict[type, str] = {dict: "a mapping", list: "a list", str: "a string", type(None): "null"}

Reader = Callable[[Any], Any]


class _Required:
    """Marks a field that every version has written."""


REQUIRED = _Required()


class StateError(ValueError):
    """Stored state is not what any version of this library has written."""


class Field(NamedTuple):
    """How to read a field.

    Attributes:
        read: Returns the value, or raises `StateError`.
        default: The value where the field is missing; with `REQUIRED` that is an error.
    """

    read: Reader
    default: Any = REQUIRED


def read_fields(
    content: object, fields: Mapping[str, Field], *, errors: MutableMapping[str, StateError] | None = None
) -> dict[str, Any]:
    """Read the fields of a mapping; ignore all others.

    Args:
        content: What was stored.
        fields: How to read each field, by its name.
        errors: Gets the error of each field that has a default, which is taken instead. Without it they are raised.

    Raises:
        StateError: If `content` is no mapping, or a field is missing or wrong.
    """
    if not isinstance(content, Mapping):
        raise StateError(f"expected a mapping, found {_shown(content)}")
    found: dict[str, Any] = {}
    for name, (read, default) in fields.items():
        try:
            if name not in content and default is REQUIRED:
                raise StateError("it is missing")
            found[name] = read(content[name]) if name in content else default
        except StateError as error:
            named = StateError(f"{name}: {error}")
            if errors is None or default is REQUIRED:
                raise named from None
            errors[name], found[name] = named, default
    return found


# Readers --------------------------------------------------------------------------------------------------------------


def whole(minimum: int = 0, maximum: int = MAX_COUNT) -> Reader:
    """Return a reader of whole numbers."""

    def read(value: Any) -> int:
        # other tools may write 3 as 3.0
        is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not is_whole or not minimum <= value <= maximum:
            raise StateError(f"expected a whole number from {minimum} to {maximum}, found {_shown(value)}")
        return int(value)

    return read


def number(minimum: float = -math.inf, maximum: float = math.inf, *, finite: bool = True) -> Reader:
    """Return a reader of numbers; with `finite=False` NaN and infinity pass, as they are values of a metric too."""

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise StateError(f"expected a number, found {_shown(value)}")
        try:
            converted = float(value)
        except OverflowError:
            raise StateError(f"expected a number, found {_shown(value)}") from None
        if finite and not math.isfinite(converted):
            raise StateError(f"expected a finite number, found {converted}")
        if converted < minimum or converted > maximum:  # not where NaN passes
            raise StateError(f"expected a number from {minimum:g} to {maximum:g}, found {converted:g}")
        return converted

    return read


def flag(value: Any) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise StateError(f"expected true or false, found {_shown(value)}")
    return value


def text(value: Any) -> str:
    """Read a string that every encoding of Unicode can write."""
    if not isinstance(value, str) or any(
        "\ud800" <= character <= "\udfff" or not ord(character) for character in value
    ):
        raise StateError(f"expected a string, found {_shown(value)}")
    return value


def one_of(*choices: str) -> Reader:
    """Return a reader of one of some strings."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise StateError(f"expected one of {', '.join(choices)}, found {_shown(value)}")
        return value

    return read


def optional(read: Reader) -> Reader:
    """Return a reader that lets null pass, as None."""
    return lambda value: None if value is None else read(value)


def listing(read: Reader, most: int = MAX_COUNT) -> Reader:
    """Return a reader of lists of at most `most` items."""

    def read_all(value: Any) -> list[Any]:
        if not isinstance(value, list) or len(value) > most:
            raise StateError(f"expected a list of at most {most}, found {_shown(value)}")
        return [read(item) for item in value]

    return read_all


def pair(first: Reader, second: Reader) -> Reader:
    """Return a reader of lists of two."""

    def read(value: Any) -> tuple[Any, Any]:
        if not isinstance(value, list) or len(value) != 2:
            raise StateError(f"expected a list of two, found {_shown(value)}")
        return first(value[0]), second(value[1])

    return read


def mapping(read: Reader, *, key: Reader = text) -> Reader:
    """Return a reader of mappings."""

    def read_all(value: Any) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            raise StateError(f"expected a mapping, found {_shown(value)}")
        return {key(name): read(item) for name, item in value.items()}

    return read_all


def anything(value: Any) -> Any:
    """Read any value that can be written again: not nested too deeply, with numbers and strings of a usual size."""
    _check_depth(value, _MAX_DEPTH)
    return value


def schema(value: Any) -> int:
    """Read the version of a file; an error where a newer version of this library has written it."""
    found: int = whole(1)(value)
    if found > SCHEMA:
        raise StateError(f"it is of version {found}, written by a newer yolo_callbacks: this one reads up to {SCHEMA}")
    return found


def _check_depth(value: Any, left: int) -> None:
    if left < 0:
        raise StateError(f"it nests more than {_MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        _check_all(map(text, value), left)
        _check_all(value.values(), left)
    elif isinstance(value, list):
        _check_all(value, left)
    elif isinstance(value, int):
        number()(int(value))


def _check_all(values: Iterable[Any], left: int) -> None:
    for item in values:
        _check_depth(item, left - 1)


def printable(value: str) -> str:
    """Return a string of any content so that it can be printed anywhere, on one line."""
    shown = value if len(value) <= _MAX_SHOWN else f"{value[:_MAX_SHOWN]}…"
    return "".join(character if _is_printable(character) else "\N{REPLACEMENT CHARACTER}" for character in shown)


def _is_printable(character: str) -> bool:
    """Return whether a character is neither a control character nor half of a pair, which no encoding can write."""
    return unicodedata.category(character) not in ("Cc", "Cs")


def _shown(value: object) -> str:
    """Describe a value of any size and depth for a message."""
    if isinstance(value, str):
        return f"the string {printable(value)!r}"
    if isinstance(value, int) and abs(value) > 10**18:
        return "a number of many digits"
    if isinstance(value, (bool, int, float)):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return next((name for kind, name in _KINDS.items() if isinstance(value, kind)), type(value).__name__)
