"""Read, validate and mark callbacks.json, the file with the state of the callbacks of a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from yolo_callbacks.state.journal import JOURNAL_FILE
from yolo_callbacks.utils.fields import (
    SCHEMA,
    Field,
    StateError,
    anything,
    flag,
    listing,
    mapping,
    number,
    optional,
    read_fields,
    schema,
    text,
    whole,
)
from yolo_callbacks.utils.files import LOGGER, read_json, set_aside, write_json

__all__ = [
    "STATE_FILE",
    "Errors",
    "holds_state",
    "keep_copies_aside",
    "last_finished_epoch",
    "mark_extended",
    "read_state",
]

STATE_FILE = "callbacks.json"
_MAX_SHOWN = 5

Errors = dict[Path, list[str]]
"""The wrong parts of each file, as messages."""


def _null_is_nan(value: Any) -> float:
    """Read a number of a file of `write_json`, which writes NaN and infinity as null."""
    return math.nan if value is None else float(number(finite=False)(value))


_EXTENSION = {
    "after": Field(whole(1)),
    "planned": Field(whole()),
    "hold": Field(flag),
    "held": Field(optional(number(0.0, 1000.0)), None),
}
_FIELDS = {
    "schema": Field(schema, 1),
    "epoch": Field(whole()),
    "ended": Field(flag, False),
    "callbacks": Field(mapping(lambda state: state, key=lambda key: key)),  # each callback validates its own state
}
# If one of these fields is wrong, only that field is lost.
_FIELDS_BESIDE = {
    "versions": Field(mapping(text), {}),
    "training": Field(mapping(anything), {}),
    "published": Field(mapping(_null_is_nan), {}),
    "seconds": Field(number(0.0), 0.0),
    "files": Field(listing(text), []),
    "summary": Field(optional(mapping(anything)), None),
    "keep_resumable": Field(flag, False),
    "extension": Field(optional(lambda content: read_fields(content, _EXTENSION)), None),
}


def read_state(path: Path, errors: Errors | None = None) -> dict[str, Any] | None:
    """Return the content of a callbacks.json, or None if there is no file or it cannot be read, which a warning says.

    Args:
        path: The file.
        errors: Receives what is wrong in single fields; the other fields are returned. Without it, a warning says what
            is wrong.
    """
    content = read_json(path)
    if content is None:
        return None
    wrong: dict[str, StateError] = {}
    try:
        state = read_fields(content, _FIELDS) | read_fields(content, _FIELDS_BESIDE, errors=wrong)
    except StateError as error:
        LOGGER.warning(f"{path} cannot be read ({error}){set_aside(path)}: continuing without it")
        return None
    if wrong:
        found = {path: [str(error) for error in wrong.values()]}
        if errors is None:
            keep_copies_aside(found)
        else:
            errors.update(found)
    return state


def keep_copies_aside(errors: Errors) -> None:
    """Copy each file that is partly wrong to `*.corrupt`, and log one warning about each file."""
    for path, wrong in errors.items():
        more = f"; and {len(wrong) - _MAX_SHOWN} more" if len(wrong) > _MAX_SHOWN else ""
        shown = f"{'; '.join(wrong[:_MAX_SHOWN])}{more}"
        LOGGER.warning(f"{path} is partly wrong ({shown}){set_aside(path, copy=True)}: continuing with the rest")


def holds_state(folder: Path) -> bool:
    """Return whether a folder contains files with the state of callbacks, readable or not."""
    return any((folder / name).is_file() for name in (STATE_FILE, JOURNAL_FILE))


def last_finished_epoch(folder: Path) -> tuple[int, bool]:
    """Return the last epoch of a finished run, and whether its last.pt was to be kept resumable.

    The epoch is 0 if the run is not finished, or if callbacks.json does not contain it.
    """
    state = read_state(folder / STATE_FILE) or {}
    finished = (state.get("summary") or {}).get("status") == "finished"
    return (int(state["epoch"]) if finished else 0), bool(state.get("keep_resumable"))


def mark_extended(folder: Path, *, after: int, planned: int, hold: bool) -> None:
    """Mark the state of a finished run as extended: the run continues with more epochs.

    Args:
        folder: The run's folder.
        after: The last epoch before the extension, counted from 1.
        planned: The planned number of epochs before the extension.
        hold: Whether the learning rate stays at its last value.

    Raises:
        OSError: If the state cannot be written.
    """
    path = folder / STATE_FILE
    state = read_state(path) or {"epoch": after, "callbacks": {}}
    before = state.get("extension") or {}
    # If the learning rate was held before, keep holding the same value.
    held = before.get("held") if hold and before.get("hold") else None
    extension = {"after": after, "planned": planned, "hold": hold, "held": held}
    write_json(path, {**state, "schema": SCHEMA, "ended": False, "summary": None, "extension": extension})
