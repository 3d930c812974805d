"""Write a journal with one line for each epoch, from which a killed run can continue exactly.

The checkpoint and callbacks.json are two files, and a kill may happen between their writes. The line of an epoch is
written before both. It contains the states of the callbacks before they decided on the epoch, and the record that they
decide on. Thus the states after the epoch of any checkpoint can be found or computed again.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.utils.fields import (
    SCHEMA,
    Field,
    StateError,
    flag,
    mapping,
    number,
    read_fields,
    schema,
    whole,
)
from yolo_callbacks.utils.files import LOGGER, append_line, parse_json, replace_atomic, set_aside

__all__ = ["JOURNAL_FILE", "Entry", "Journal"]

JOURNAL_FILE = "callbacks.journal.jsonl"


def _class_index(name: object) -> int:
    if not isinstance(name, str) or not name.isascii() or not name.isdigit() or len(name) > 9:
        raise StateError("expected the index of a class")
    return int(name)


_VALUE = number(finite=False)
_BY_CLASS = mapping(_VALUE, key=_class_index)
_RECORD = {
    "epoch": Field(whole(1)),
    "epochs": Field(whole(), 0),
    "validated": Field(flag),
    "warming_up": Field(flag, False),
    "mosaic_closed": Field(flag, False),
    "metrics": Field(mapping(_VALUE)),
    "per_class": Field(mapping(_BY_CLASS), {}),
    "best_confidence": Field(_BY_CLASS, {}),
    "thresholds": Field(mapping(_BY_CLASS), {}),
    "by_size": Field(mapping(mapping(_VALUE)), {}),
}
_ENTRY = {
    "schema": Field(schema, 1),
    "epoch": Field(whole(1)),
    "ended": Field(flag, False),
    "states": Field(mapping(lambda state: state)),  # each callback validates its own state
    "published": Field(mapping(_VALUE), {}),
    "record": Field(lambda content: read_fields(content, _RECORD)),
}


@dataclass(frozen=True)
class Entry:
    """One line of the journal.

    Attributes:
        epoch: The epoch, counted from 1.
        ended: Whether the run ends with this epoch, by Ultralytics' own decision.
        states: The state of each callback before it decided on the epoch, by its key.
        scalars: The scalars that callbacks logged in the epoch before.
        record: The record of the epoch, as `EpochRecord.restore` reads it.
    """

    epoch: int
    ended: bool
    states: dict[str, Any]
    scalars: dict[str, float]
    record: dict[str, Any]


class Journal:
    """The journal of a run.

    Args:
        folder: The run's folder.

    Attributes:
        path: The file.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL_FILE

    def append(
        self, record: EpochRecord, states: Mapping[str, Any], scalars: Mapping[str, float], *, ended: bool
    ) -> None:
        """Write the line of an epoch.

        Raises:
            OSError: If the line cannot be written.
        """
        content = {
            "schema": SCHEMA,
            "epoch": record.epoch,
            "ended": ended,
            "states": states,
            "published": dict(scalars),
            "record": {**{name: getattr(record, name) for name in _RECORD}, "metrics": dict(record.metrics)},
        }
        # With NaN and infinity, unlike the files for other programs: decisions depend on them.
        append_line(self.path, json.dumps(content))

    def begin(self, epoch: int) -> None:
        """Start the journal of a run.

        Lines of later epochs are kept: until the first new checkpoint is written, the run may be resumed from the old
        one.

        Args:
            epoch: The epoch after which the run continues; 0 for a new run.

        Raises:
            OSError: If the file cannot be written.
        """
        if not epoch:
            if self.path.is_dir():
                set_aside(self.path)
            self._write(b"")
        elif self.path.is_file():
            content = self.path.read_bytes()
            readable = _readable(content)  # after a kill the last line may be incomplete
            if readable != content:
                self._write(readable)

    def add_from(self, other: Journal) -> None:
        """Add the lines of another folder's journal in one write.

        Existing lines are kept: until the first new checkpoint is written, the run may be resumed from the old one.

        Raises:
            OSError: If the file cannot be written.
        """
        lines = _readable(other.path.read_bytes()) if other.path.is_file() else b""
        content = self.path.read_bytes() if self.path.is_file() else b""
        if content and not content.endswith(b"\n"):
            content += b"\n"
        if not content.endswith(lines):
            self._write(content + lines)

    def entries(self, errors: list[str]) -> list[Entry]:
        """Return the lines that can be read; `begin` removes the others.

        Args:
            errors: Receives what is wrong with the other lines, except an incomplete last line of a killed run.

        Raises:
            OSError: If the file cannot be read.
        """
        if not self.path.is_file():
            if aside := set_aside(self.path):
                LOGGER.warning(f"{self.path} is not a file{aside}: continuing without it")
            return []
        found: list[Entry] = []
        for number_of_line, line in enumerate(_lines(self.path.read_bytes()), 1):
            try:
                found.append(_read_line(line))
            except StateError as error:
                if line.strip() and line.endswith(b"\n"):
                    errors.append(f"line {number_of_line}: {error}")
        return found

    def _write(self, content: bytes) -> None:
        replace_atomic(self.path, lambda temporary: temporary.write_bytes(content))


def _lines(content: bytes) -> list[bytes]:
    """Return the lines with their line ends; a last line without one stays so."""
    *ended, last = content.split(b"\n")
    return [line + b"\n" for line in ended] + ([last] if last else [])


def _readable(content: bytes) -> bytes:
    """Return the lines that can be read, each with a line end."""
    readable = []
    for line in _lines(content):
        with contextlib.suppress(StateError):
            _read_line(line)
            readable.append(line.removesuffix(b"\n") + b"\n")
    return b"".join(readable)


def _read_line(line: bytes) -> Entry:
    """Read a line.

    Raises:
        StateError: If the line is not what this library writes.
    """
    try:
        content = read_fields(parse_json(line.decode("utf-8")), _ENTRY)
    except ValueError as error:
        raise StateError(str(error)) from None
    if content["epoch"] != content["record"]["epoch"]:
        raise StateError("its record is of another epoch")
    del content["schema"]
    return Entry(scalars=content.pop("published"), **content)
