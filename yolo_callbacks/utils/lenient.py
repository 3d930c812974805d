"""Read files of any content for display: keep the values that have the right type, leave out all others.

This is for code that only shows values, such as reports and tables. No file is changed, and no wrong value raises.
`utils/fields.py` is the strict counterpart for state that a resumed run decides by.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from yolo_callbacks.utils.files import parse_json

__all__ = [
    "any_json",
    "any_yaml",
    "as_count",
    "as_list",
    "as_mapping",
    "as_number",
    "as_text",
    "epoch_of",
    "json_lines",
]

_MAX_EPOCH = 10_000_000
_MAX_BYTES = 200_000_000  # more than any file that this package writes
_MAX_YAML = 2_000_000
_MAX_LINE = 5_000_000
_MAX_TEXT = 2_000
_MAX_DEPTH = 50


def any_json(path: Path) -> Any:
    """Return the content of a JSON file of any origin; replace characters that are not UTF-8.

    `files.read_json` is for files that this package has written: it also sets a broken file aside.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If the file is not JSON, is too large, or is nested too deeply.
    """
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise ValueError(f"it is too large, {size} bytes")
    return parse_json(path.read_bytes().decode("utf-8-sig", "replace"))


def any_yaml(path: Path) -> Any:
    """Return the content of a YAML file in plain types; replace characters that are not UTF-8.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If the file is too large or nested too deeply, or if its aliases stand for too many values.
        yaml.YAMLError: If the file is not YAML.
    """
    import yaml

    content = path.read_bytes()[: _MAX_YAML + 1]
    if len(content) > _MAX_YAML:
        raise ValueError(f"it is too large, more than {_MAX_YAML} bytes")
    text = content.decode("utf-8-sig", "replace")
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):  # PyYAML needs seconds for a thousand nested lists
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ValueError("it is nested too deeply")
    return _bounded(yaml.safe_load(text))


def json_lines(path: Path) -> Iterator[dict[Any, Any]]:
    """Yield the mapping in each line of a file; leave out lines without one.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        while line := file.readline(_MAX_LINE):
            try:
                row = parse_json(line.decode("utf-8", "replace"))
            except ValueError:  # the last line of a killed run, or any other content
                continue
            if isinstance(row, dict):
                yield row


def _bounded(value: Any, most: int = 100_000) -> Any:
    """Return a copy of nested lists and mappings. A few lines of YAML with aliases can stand for billions of values.

    Raises:
        ValueError: If there are more than `most` values, or they are nested too deeply.
    """
    left = most

    def copied(part: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > _MAX_DEPTH:
            raise ValueError(f"it holds more than {most} values, or is nested too deeply")
        if isinstance(part, dict):
            return {key: copied(item, depth + 1) for key, item in part.items()}
        return [copied(item, depth + 1) for item in part] if isinstance(part, (list, tuple)) else part

    return copied(value, 0)


def as_mapping(value: object) -> dict[str, Any]:
    """Return a mapping with its keys as text; return an empty mapping for any other value."""
    return {as_text(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Return a list; return an empty list for any other value."""
    return list(value) if isinstance(value, (list, tuple)) else []


def as_text(value: object, default: str = "") -> str:
    """Return a text or a number as text that UTF-8 can encode; return the default for any other value."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return default
    try:
        text = str(value)
    except ValueError:  # an integer of more than 4300 digits
        return default
    return text[:_MAX_TEXT].encode("utf-8", "replace").decode()


def as_number(value: object, default: float | None = None) -> float | None:
    """Return a number as a float, NaN and infinity included; return the default for any other value."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return default
    try:
        return float(value)
    except OverflowError:
        return default


def as_count(value: object, default: int = 0) -> int:
    """Return a whole number that is not negative; return the default for any other value."""
    number = as_number(value)
    if number is None or not math.isfinite(number) or number < 0 or number != int(number):
        return default
    return int(number)


def epoch_of(value: object) -> int | None:
    """Return the number of an epoch, counted from 1; return None for any other value."""
    epoch = as_count(value)
    return epoch if 1 <= epoch <= _MAX_EPOCH else None
