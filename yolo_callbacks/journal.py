"""What a killed run needs to go on exactly: one line an epoch, written before Ultralytics writes its checkpoint.

The checkpoint and callbacks.json are two files, and a kill can fall between them. The journal goes before both: its
line of an epoch holds what the callbacks knew before they decided on it, and the record that they decide on, values by
class included, which are in no checkpoint. Whatever epoch a checkpoint is of, the states after it are found or made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolo_callbacks.files import LOGGER, append_line, read_lines, replace_atomic
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


def recover(state: Mapping[str, Any] | None, entries: Mapping[int, Entry], epoch: int) -> Recovery | None:
    """The states after an epoch, or those before it and what was not decided; None where neither is known.

    Args:
        state: The content of callbacks.json, if it can be read.
        entries: The lines of the journal, by epoch.
        epoch: The epoch of the checkpoint, counted from 1.
    """
    if state is not None and state.get("epoch") == epoch:
        past = _past(entries, epoch, state.get("published", {}))
        return Recovery(state["callbacks"], bool(state.get("ended")), past=past)
    if epoch + 1 in entries:  # an older checkpoint: the next epoch began where this one ended
        return Recovery(entries[epoch + 1].states, past=_past(entries, epoch, entries[epoch + 1].published))
    if epoch in entries:
        entry = entries[epoch]
        return Recovery(entry.states, entry.ended, entry.record, _past(entries, epoch - 1, entry.published))
    return None


def _past(entries: Mapping[int, Entry], last: int, published: dict[str, float]) -> tuple[dict[str, Any], ...]:
    """The records up to an epoch, each with what was published in it."""
    by_epoch = {epoch - 1: entry.published for epoch, entry in entries.items()} | {last: published}
    known = sorted(epoch for epoch in entries if epoch <= last)
    return tuple({**entries[epoch].record, "published": by_epoch.get(epoch, {})} for epoch in known)


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

    def entries(self) -> dict[int, Entry]:
        """The lines by epoch; of an epoch that was written twice the later one."""
        return {entry.epoch: entry for _, entry in self._read()}

    def cut(self, epoch: int) -> None:
        """Drop the lines of later epochs, which are trained again; OSError where that is not possible."""
        kept = [line for line, entry in self._read() if entry.epoch <= epoch] if epoch else []
        replace_atomic(self.path, lambda temporary: temporary.write_text("".join(kept), encoding="utf-8"))

    def _read(self) -> Iterator[tuple[str, Entry]]:
        """The lines that are whole: a kill may have cut the last one short."""
        try:
            lines = read_lines(self.path)
        except (OSError, UnicodeDecodeError) as error:
            LOGGER.warning(f"{self.path} cannot be read: {error}")
            return
        for line in lines:
            try:
                found = json.loads(line)
                entry = Entry(**found)
            except (ValueError, KeyError, TypeError):
                continue
            yield line, entry


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
