"""Validate stored state strictly, field by field; used where the values change what a training does.

A resumed run decides by its state, so no file may end the training or change a decision by accident. A missing field
gets its default. An unknown field is ignored. A value of another type, or out of its range, raises `StateError`.

`utils/lenient.py` is the counterpart for code that only shows values: it leaves out what is wrong and raises nothing.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, NamedTuple

__all__ = [
    "MAX_COUNT",
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
"""The schema version of all files that store state.

1: journal lines and sidecars have no version; folders of W&B runs are absolute paths. 2: the path of a W&B run inside
the run's folder is relative.
"""
MAX_COUNT = 1_000_000
"""The largest valid number of epochs, checks or reductions."""
_MAX_DEPTH = 32
_MAX_SHOWN = 80
_KINDS: dict[type, str] = {dict: "a mapping", list: "a list", str: "a string", type(None): "null"}

Reader = Callable[[Any], Any]


class _Required:
    """The type of the default of a field that every version has written."""


_REQUIRED = _Required()


class StateError(ValueError):
    """Stored state has a form that no version of this library has written."""


class Field(NamedTuple):
    """The reader and the default of a field.

    Attributes:
        read: Returns the value, or raises `StateError`.
        default: The value if the field is missing. Without one, a missing field is an error.
    """

    read: Reader
    default: Any = _REQUIRED


def read_fields(
    content: object, fields: Mapping[str, Field], *, errors: MutableMapping[str, StateError] | None = None
) -> dict[str, Any]:
    """Read the given fields of a mapping; ignore all other fields.

    Args:
        content: The stored mapping.
        fields: The reader and default of each field, by name.
        errors: Receives the error of each wrong field that has a default; its default is used. Without it, the first
            error is raised.

    Raises:
        StateError: If `content` is not a mapping, or a field is missing or wrong.
    """
    if not isinstance(content, Mapping):
        raise StateError(f"expected a mapping, found {_shown(content)}")
    found: dict[str, Any] = {}
    for name, (read, default) in fields.items():
        try:
            if name not in content and default is _REQUIRED:
                raise StateError("it is missing")
            found[name] = read(content[name]) if name in content else default
        except StateError as error:
            named = StateError(f"{name}: {error}")
            if errors is None or default is _REQUIRED:
                raise named from None
            errors[name], found[name] = named, default
    return found


# Readers --------------------------------------------------------------------------------------------------------------


def whole(minimum: int = 0, maximum: int = MAX_COUNT) -> Reader:
    """Return a reader of whole numbers from `minimum` to `maximum`."""

    def read(value: Any) -> int:
        # Other tools may write 3 as 3.0.
        is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not is_whole or not minimum <= value <= maximum:
            raise StateError(f"expected a whole number from {minimum} to {maximum}, found {_shown(value)}")
        return int(value)

    return read


def number(minimum: float = -math.inf, maximum: float = math.inf, *, finite: bool = True) -> Reader:
    """Return a reader of numbers. With `finite=False` it accepts NaN and infinity too, which metrics can be."""

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise StateError(f"expected a number, found {_shown(value)}")
        try:
            converted = float(value)
        except OverflowError:
            raise StateError(f"expected a number, found {_shown(value)}") from None
        if finite and not math.isfinite(converted):
            raise StateError(f"expected a finite number, found {converted}")
        if converted < minimum or converted > maximum:  # false for NaN
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
    """Return a reader of strings that accepts only `choices`."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise StateError(f"expected one of {', '.join(choices)}, found {_shown(value)}")
        return value

    return read


def optional(read: Reader) -> Reader:
    """Return a reader that returns None for null, and otherwise calls `read`."""
    return lambda value: None if value is None else read(value)


def listing(read: Reader, most: int = MAX_COUNT) -> Reader:
    """Return a reader of lists of at most `most` items, each read by `read`."""

    def read_all(value: Any) -> list[Any]:
        if not isinstance(value, list) or len(value) > most:
            raise StateError(f"expected a list of at most {most}, found {_shown(value)}")
        return [read(item) for item in value]

    return read_all


def pair(first: Reader, second: Reader) -> Reader:
    """Return a reader of lists of two items."""

    def read(value: Any) -> tuple[Any, Any]:
        if not isinstance(value, list) or len(value) != 2:
            raise StateError(f"expected a list of two, found {_shown(value)}")
        return first(value[0]), second(value[1])

    return read


def mapping(read: Reader, *, key: Reader = text) -> Reader:
    """Return a reader of mappings, with a reader of the values and a reader of the keys."""

    def read_all(value: Any) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            raise StateError(f"expected a mapping, found {_shown(value)}")
        return {key(name): read(item) for name, item in value.items()}

    return read_all


def anything(value: Any) -> Any:
    """Return any value that can be written again: of limited depth, with strings and numbers of usual size."""
    _validate_depth(value, _MAX_DEPTH)
    return value


def schema(value: Any) -> int:
    """Read the schema version of a file; raise StateError for the version of a newer library."""
    found: int = whole(1)(value)
    if found > SCHEMA:
        raise StateError(
            f"its schema version is {found}, written by a newer yolo_callbacks: this one reads up to {SCHEMA}"
        )
    return found


def _validate_depth(value: Any, left: int) -> None:
    if left < 0:
        raise StateError(f"it is nested more than {_MAX_DEPTH} levels deep")
    if isinstance(value, Mapping):
        _validate_all(map(text, value), left)
        _validate_all(value.values(), left)
    elif isinstance(value, list):
        _validate_all(value, left)
    elif isinstance(value, int):
        number()(int(value))


def _validate_all(values: Iterable[Any], left: int) -> None:
    for item in values:
        _validate_depth(item, left - 1)


def printable(value: str) -> str:
    """Return a string in one line of limited length, without characters that cannot be printed."""
    shown = value if len(value) <= _MAX_SHOWN else f"{value[:_MAX_SHOWN]}…"
    return "".join(character if _is_printable(character) else "\N{REPLACEMENT CHARACTER}" for character in shown)


def _is_printable(character: str) -> bool:
    """Return whether a character is neither a control character nor a surrogate, which no encoding has."""
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
