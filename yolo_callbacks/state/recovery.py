"""Find the states from which a resumed run can continue, in callbacks.json and in the journal."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yolo_callbacks.state.journal import Entry, Journal
from yolo_callbacks.state.state_file import STATE_FILE, Errors, read_state
from yolo_callbacks.utils.files import LOGGER

__all__ = ["Recovery", "find_recoveries", "recoveries"]


@dataclass(frozen=True)
class Recovery:
    """The states from which a resumed run continues.

    Attributes:
        states: The state of each callback, by its key.
        ended: Whether the run had ended.
        undecided: The record of the checkpoint's epoch, if the callbacks have not decided on it yet; else None.
        past: The records of the epochs that the callbacks have decided on, as far as they are known.
        journalled: Whether the states come from the journal and not from callbacks.json.
        known_epoch: The epoch of the states, if it is earlier than that of the checkpoint; else None.
        extension: How the run was extended, as callbacks.json says, or None.
        seconds: How long the run has trained, as callbacks.json says.
    """

    states: dict[str, Any]
    ended: bool = False
    undecided: dict[str, Any] | None = None
    past: tuple[dict[str, Any], ...] = ()
    journalled: bool = False
    known_epoch: int | None = None
    extension: dict[str, Any] | None = None
    seconds: float = 0.0


def find_recoveries(folder: Path, epoch: int, errors: Errors) -> list[Recovery]:
    """List the recoveries for an epoch that the files in a folder allow, the most reliable first.

    Args:
        folder: The folder.
        epoch: The epoch of the checkpoint, counted from 1.
        errors: Receives what is wrong in partly readable files, for `keep_copies_aside`.
    """
    path, journal = folder / STATE_FILE, Journal(folder)
    there = os.path.lexists(path)
    state = read_state(path, errors)
    wrong_lines: list[str] = []
    try:
        entries = journal.entries(wrong_lines)
    except OSError as error:
        LOGGER.warning(f"{journal.path} cannot be read: {error}")
        entries = []
    if wrong_lines:
        errors.setdefault(journal.path, []).extend(wrong_lines)
    found = recoveries(state, entries, epoch, damaged=bool(wrong_lines) or (there and state is None))
    if not found and state is not None:
        LOGGER.warning(
            f"{path} has the state after epoch {state['epoch']}; the checkpoint is of epoch {epoch}, which the journal "
            "does not contain"
        )
    if state is None:
        return found
    return [replace(recovery, extension=state["extension"], seconds=state["seconds"]) for recovery in found]


def recoveries(
    state: Mapping[str, Any] | None, entries: Sequence[Entry], epoch: int, *, damaged: bool = False
) -> list[Recovery]:
    """List the recoveries for an epoch, the most reliable first; empty if its states are not known.

    Args:
        state: The content of callbacks.json, or None if it cannot be read.
        entries: The lines of the journal.
        epoch: The epoch of the checkpoint, counted from 1.
        damaged: Whether callbacks.json or a line of the journal cannot be read. The states of an earlier epoch are used
            then if there are no others.
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
        after = entries[line + 1]  # an older checkpoint: the next epoch began with the states after this one
        return Recovery(after.states, past=_past(history, after.scalars), journalled=True)
    return Recovery(last.states, last.ended, last.record, _past(history[:-1], last.scalars), journalled=True)


def _earlier(state: Mapping[str, Any] | None, entries: Sequence[Entry], epoch: int) -> Recovery | None:
    """Return the states after the latest known epoch before this one, or None. Later states are lost."""
    before = [entry for entry in entries if entry.epoch <= epoch]
    latest = max(before, key=lambda entry: entry.epoch, default=None)
    if state is not None and state["epoch"] < epoch and (latest is None or state["epoch"] >= latest.epoch - 1):
        return Recovery(state["callbacks"], known_epoch=state["epoch"])
    if latest is None:
        return None
    return Recovery(latest.states, known_epoch=latest.epoch - 1, journalled=True)


def _history(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries that led to the last one, without those of epochs that were repeated after a resume."""
    found: list[Entry] = []
    for entry in reversed(entries):
        if not found or entry.epoch < found[-1].epoch:
            found.append(entry)
    return found[::-1]


def _past(history: Sequence[Entry], scalars: Mapping[str, float]) -> tuple[dict[str, Any], ...]:
    """Return the records, each with the scalars logged in its epoch."""
    scalars_of_each = [entry.scalars for entry in history[1:]] + [scalars]
    pairs = zip(history, scalars_of_each, strict=False)
    return tuple({**entry.record, "published": dict(logged)} for entry, logged in pairs)
