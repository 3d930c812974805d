"""What a killed run needs to go on exactly: one line an epoch, written before Ultralytics writes its checkpoint.

The checkpoint and callbacks.json are two files, and a kill can fall between them. The journal goes before both: its
line of an epoch holds what the callbacks knew before they decided on it, and the record that they decide on, values by
class included, which are in no checkpoint. Whatever epoch a checkpoint is of, the states after it are found or made.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
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

__all__ = ["JOURNAL_FILE", "Entry", "Journal", "Recovery", "recoveries"]

JOURNAL_FILE = "callbacks.journal.jsonl"
_FACTS = ("epoch", "epochs", "validated", "warming_up", "mosaic_closed")


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
}
_ENTRY = {
    "schema": Field(schema, 1),
    "epoch": Field(whole(1)),
    "ended": Field(flag, False),
    "states": Field(mapping(lambda state: state)),  # each is read by its callback
    "published": Field(mapping(_VALUE), {}),
    "record": Field(lambda content: read_fields(content, _RECORD)),
}


@dataclass(frozen=True)
class Entry:
    """One line.

    Attributes:
        epoch: The epoch, counted from 1.
        ended: Whether the run ends with it, by Ultralytics' own decision.
        states: The state of each callback before it decided on the epoch, by key.
        published: What the callbacks published in the epoch before.
        record: The epoch's record, as `EpochRecord` takes it.
    """

    epoch: int
    ended: bool
    states: dict[str, Any]
    published: dict[str, float]
    record: dict[str, Any]


@dataclass(frozen=True)
class Recovery:
    """Where a resumed run goes on.

    Attributes:
        states: The state of each callback, by key.
        ended: Whether the run had come to its end.
        undecided: The record of the checkpoint's epoch, where the callbacks have still to decide on it.
        past: The records of the epochs that they have decided on, as far as they are known.
        journalled: Whether the states are from the journal, not from callbacks.json.
        known_epoch: The epoch of the states where it is an earlier one than that of the checkpoint; else None.
        extension: How the run was extended, as callbacks.json says; None where it was not.
    """

    states: dict[str, Any]
    ended: bool = False
    undecided: dict[str, Any] | None = None
    past: tuple[dict[str, Any], ...] = ()
    journalled: bool = False
    known_epoch: int | None = None
    extension: dict[str, Any] | None = None


def recoveries(
    state: Mapping[str, Any] | None, entries: Sequence[Entry], epoch: int, *, damaged: bool = False
) -> list[Recovery]:
    """List what is known of the states after an epoch, the most trusted first; nothing where they are not known.

    Args:
        state: The content of callbacks.json, if it can be read.
        entries: The lines of the journal.
        epoch: The epoch of the checkpoint, counted from 1.
        damaged: Whether lines of the journal or callbacks.json cannot be read: then states of an earlier epoch are
            better than none.
    """
    line = max((index for index, entry in enumerate(entries) if entry.epoch == epoch), default=None)
    history = [] if line is None else _history(entries[: line + 1])
    found = []
    if state is not None and state["epoch"] == epoch:
        found.append(Recovery(state["callbacks"], state["ended"], past=_past(history, state["published"])))
    if line is not None:
        found.append(_from_journal(entries, line, history))
    earlier = _earlier(state, entries, epoch) if damaged and not found else None
    return found if earlier is None else [earlier]


def _from_journal(entries: Sequence[Entry], line: int, history: Sequence[Entry]) -> Recovery:
    last = entries[line]
    if line + 1 < len(entries) and entries[line + 1].epoch == last.epoch + 1:
        after = entries[line + 1]  # an older checkpoint: the next epoch began where this one ended
        return Recovery(after.states, past=_past(history, after.published), journalled=True)
    return Recovery(last.states, last.ended, last.record, _past(history[:-1], last.published), journalled=True)


def _earlier(state: Mapping[str, Any] | None, entries: Sequence[Entry], epoch: int) -> Recovery | None:
    """The states after the latest epoch before this one that something is known of; what came after it is lost."""
    before = [entry for entry in entries if entry.epoch <= epoch]
    latest = max(before, key=lambda entry: entry.epoch, default=None)
    if state is not None and state["epoch"] < epoch and (latest is None or state["epoch"] >= latest.epoch - 1):
        return Recovery(state["callbacks"], known_epoch=state["epoch"])
    if latest is None:
        return None
    return Recovery(latest.states, known_epoch=latest.epoch - 1, journalled=True)


def _history(entries: Sequence[Entry]) -> list[Entry]:
    """What led to the last entry: where a run went on from an older checkpoint, not what came after that one before."""
    found: list[Entry] = []
    for entry in reversed(entries):
        if not found or entry.epoch < found[-1].epoch:
            found.append(entry)
    return found[::-1]


def _past(history: Sequence[Entry], published: Mapping[str, float]) -> tuple[dict[str, Any], ...]:
    """The records, each with what was published in its epoch."""
    published_in = [entry.published for entry in history[1:]] + [published]
    pairs = zip(history, published_in, strict=False)
    return tuple({**entry.record, "published": dict(published)} for entry, published in pairs)


class Journal:
    """The journal of a run.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL_FILE

    def append(
        self, record: EpochRecord, states: Mapping[str, Any], published: Mapping[str, float], *, ended: bool
    ) -> None:
        """Write the line of an epoch; OSError where that is not possible."""
        content = {
            "schema": SCHEMA,
            "epoch": record.epoch,
            "ended": ended,
            "states": states,
            "published": dict(published),
            "record": {
                **{name: getattr(record, name) for name in _FACTS},
                "metrics": dict(record.metrics),
                "per_class": record.per_class,
                "best_confidence": record.best_confidence,
            },
        }
        # NaN and infinity as they are, unlike in files for others to read: a decision depends on them.
        append_line(self.path, json.dumps(content))

    def begin(self, epoch: int) -> None:
        """Start after an epoch, 0 for a new run; OSError where the file cannot be written.

        Lines of later epochs stay: until the first new checkpoint is written, the old one can be gone on from.
        """
        if not epoch:
            if self.path.is_dir():
                set_aside(self.path)
            self._write(b"")
        elif self.path.is_file():
            content = self.path.read_bytes()
            readable = _readable(content)  # a kill may have cut the last line short, or only its end
            if readable != content:
                self._write(readable)

    def add_from(self, other: Journal) -> None:
        """Add the lines of another folder's journal in one write; OSError where that is not possible.

        Lines that are there stay: until the first new checkpoint is written, the old one can be gone on from.
        """
        lines = _readable(other.path.read_bytes()) if other.path.is_file() else b""
        content = self.path.read_bytes() if self.path.is_file() else b""
        if content and not content.endswith(b"\n"):
            content += b"\n"
        if not content.endswith(lines):
            self._write(content + lines)

    def entries(self, errors: list[str]) -> list[Entry]:
        """Return the lines that can be read; `begin` takes the others out.

        Args:
            errors: Gets what is wrong with the others; a last line that a kill has cut short is none of them.

        Raises:
            OSError: If the file cannot be read.
        """
        if not self.path.is_file():
            if aside := set_aside(self.path):
                LOGGER.warning(f"{self.path} is not a file{aside}: going on without it")
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
    """The lines with their ends; of a last line without one nothing is added."""
    *ended, last = content.split(b"\n")
    return [line + b"\n" for line in ended] + ([last] if last else [])


def _readable(content: bytes) -> bytes:
    """The lines that can be read, each with its end."""
    readable = []
    for line in _lines(content):
        with contextlib.suppress(StateError):
            _read_line(line)
            readable.append(line.removesuffix(b"\n") + b"\n")
    return b"".join(readable)


def _read_line(line: bytes) -> Entry:
    """Read a line; StateError where that is not possible."""
    try:
        content = read_fields(parse_json(line.decode("utf-8")), _ENTRY)
    except ValueError as error:
        raise StateError(str(error)) from None
    if content["epoch"] != content["record"]["epoch"]:
        raise StateError("its record is of another epoch")
    del content["schema"]
    return Entry(**content)
