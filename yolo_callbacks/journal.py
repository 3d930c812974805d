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

from yolo_callbacks.files import append_line, replace_atomic
from yolo_callbacks.record import EpochRecord

__all__ = ["JOURNAL_FILE", "Entry", "Journal", "Recovery", "recover", "restored_record"]

JOURNAL_FILE = "callbacks.journal.jsonl"
_FACTS = ("epoch", "epochs", "validated", "warming_up", "mosaic_closed")


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
    """

    states: dict[str, Any]
    ended: bool = False
    undecided: dict[str, Any] | None = None
    past: tuple[dict[str, Any], ...] = ()


def recover(state: Mapping[str, Any] | None, entries: Sequence[Entry], epoch: int) -> Recovery | None:
    """The states after an epoch, or those before it and what was not decided; None where neither is known.

    Args:
        state: The content of callbacks.json, if it can be read.
        entries: The lines of the journal.
        epoch: The epoch of the checkpoint, counted from 1.
    """
    line = max((index for index, entry in enumerate(entries) if entry.epoch == epoch), default=None)
    history = [] if line is None else _history(entries[: line + 1])
    if state is not None and state.get("epoch") == epoch:
        return Recovery(state["callbacks"], bool(state.get("ended")), past=_past(history, state.get("published", {})))
    if line is None:
        return None
    if line + 1 < len(entries) and entries[line + 1].epoch == epoch + 1:
        after = entries[line + 1]  # an older checkpoint: the next epoch began where this one ended
        return Recovery(after.states, past=_past(history, after.published))
    last = entries[line]
    return Recovery(last.states, last.ended, last.record, _past(history[:-1], last.published))


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
            replace_atomic(self.path, lambda temporary: temporary.write_text("", encoding="utf-8"))
        elif self.path.is_file() and not self.path.read_bytes().endswith(b"\n"):
            append_line(self.path, "")  # a kill has cut the last line short

    def entries(self) -> list[Entry]:
        """The lines that are whole."""
        found = []
        for line in self.path.read_bytes().splitlines() if self.path.is_file() else []:
            with contextlib.suppress(ValueError, TypeError):
                found.append(Entry(**json.loads(line)))
        return found


def restored_record(content: Mapping[str, Any], *, names: Mapping[int, str], checkpoint: Path) -> EpochRecord:
    """The record of a line, as the callbacks would have seen it."""
    return EpochRecord(
        **{name: content[name] for name in _FACTS},
        metrics=content["metrics"],
        per_class={metric: _by_class(values) for metric, values in content["per_class"].items()},
        best_confidence=_by_class(content["best_confidence"]),
        names=names,
        checkpoint=checkpoint,
        published=dict(content.get("published", {})),
    )


def _by_class(values: Mapping[str, float]) -> dict[int, float]:
    return {int(index): float(value) for index, value in values.items()}
