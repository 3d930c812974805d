"""Read files of any content: take the values that have the right type, and leave out all others."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = [
    "any_json",
    "any_yaml",
    "as_count",
    "as_list",
    "as_mapping",
    "as_number",
    "as_text",
    "bounded",
    "epoch_of",
    "json_lines",
]

_MAX_EPOCH = 10_000_000
_MAX_BYTES = 200_000_000  # beyond this a file of ours is none
_MAX_YAML = 2_000_000
_MAX_LINE = 5_000_000
_MAX_TEXT = 2_000
_MAX_DEPTH = 50


def any_json(path: Path) -> Any:
    """Return the content of a JSON file; characters that are not UTF-8 are replaced.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it holds no JSON, or is too large or too deep.
    """
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise ValueError(f"it is too large, {size} bytes")
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig", "replace"))
    except RecursionError:
        raise ValueError("its values go too deep") from None


def any_yaml(path: Path) -> Any:
    """Return the content of a YAML file in plain types; characters that are not UTF-8 are replaced.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is too large or too deep, or aliases make too many values of it.
        yaml.YAMLError: If it is no YAML.
    """
    import yaml

    content = path.read_bytes()[: _MAX_YAML + 1]
    if len(content) > _MAX_YAML:
        raise ValueError(f"it is too large, more than {_MAX_YAML} bytes")
    text = content.decode("utf-8-sig", "replace")
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):  # PyYAML takes seconds for a thousand lists in lists
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ValueError("its values go too deep")
    return bounded(yaml.safe_load(text))


def json_lines(path: Path) -> Iterator[dict[Any, Any]]:
    """Yield the mapping of each line of a file; lines that hold none are left out.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        while line := file.readline(_MAX_LINE):
            try:
                row = json.loads(line.decode("utf-8", "replace"))
            except (ValueError, RecursionError):  # the last line of a run that was killed, or any other content
                continue
            if isinstance(row, dict):
                yield row


def bounded(value: Any, most: int = 100_000) -> Any:
    """Return a copy of lists and mappings; a few lines of YAML with aliases may stand for billions of values.

    Raises:
        ValueError: If there are more than `most` values.
    """
    left = most

    def copied(part: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > _MAX_DEPTH:
            raise ValueError(f"it holds more than {most} values, or they go too deep")
        if isinstance(part, dict):
            return {key: copied(item, depth + 1) for key, item in part.items()}
        return [copied(item, depth + 1) for item in part] if isinstance(part, (list, tuple)) else part

    return copied(value, 0)


def as_mapping(value: object) -> dict[str, Any]:
    """Return a mapping with its keys as text; an empty one for anything else."""
    return {as_text(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Return a list; an empty one for anything else."""
    return list(value) if isinstance(value, (list, tuple)) else []


def as_text(value: object, default: str = "") -> str:
    """Return a text or a number as text that can be written as UTF-8; the default for anything else."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return default
    try:
        text = str(value)
    except ValueError:  # an integer of more than 4300 digits
        return default
    return text[:_MAX_TEXT].encode("utf-8", "replace").decode()


def as_number(value: object, default: float | None = None) -> float | None:
    """Return a number as a float, NaN and infinity too; the default for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return default
    try:
        return float(value)
    except OverflowError:
        return default


def as_count(value: object, default: int = 0) -> int:
    """Return a number that is whole and not negative; the default for anything else."""
    number = as_number(value)
    if number is None or not math.isfinite(number) or number < 0 or number != int(number):
        return default
    return int(number)


def epoch_of(value: object) -> int | None:
    """Return the number of an epoch, counted from 1; None for anything else."""
    epoch = as_count(value)
    return epoch if 1 <= epoch <= _MAX_EPOCH else None
