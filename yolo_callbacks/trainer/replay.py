"""Show a resumed run as it was at the end of its last epoch, for decisions that a kill has prevented."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.epoch_reader import EpochReader
from yolo_callbacks.trainer.known_names import class_names

__all__ = ["replay_epoch", "restore_record"]


def restore_record(trainer: Any, content: Mapping[str, Any]) -> EpochRecord:
    """Return the record of an epoch of a resumed run.

    Args:
        trainer: The trainer of the resumed run.
        content: The record as the journal has stored it.
    """
    return EpochRecord.restore(content, names=class_names(trainer), checkpoint=Path(str(trainer.args.resume)))


@contextmanager
def replay_epoch(trainer: Any, reader: EpochReader, content: Mapping[str, Any]) -> Iterator[None]:
    """Show a trainer that has not begun as at the end of an epoch, inside the block.

    Args:
        trainer: The trainer of the resumed run.
        reader: Returns the record of that epoch inside the block.
        content: The record as the journal has stored it.
    """
    with (
        _showing_epoch(trainer, content["epoch"], content["metrics"]),
        reader.replaying(restore_record(trainer, content)),
    ):
        yield


@contextmanager
def _showing_epoch(trainer: Any, epoch: int, values: Mapping[str, float]) -> Iterator[None]:
    """Set the attributes of a trainer that callbacks read to those of an epoch, counted from 1."""
    measured = {name: value for name, value in values.items() if name.startswith(("metrics/", "val/"))}
    losses = tuple(name.removeprefix("train/") for name in values if name.startswith("train/"))
    shown = {
        "epoch": epoch - 1,
        "metrics": {**(trainer.metrics or {}), **measured},
        "fitness": values.get("fitness"),
        "lr": {name: value for name, value in values.items() if name.startswith("lr/")},
        "loss_names": trainer.loss_names or losses,  # from 8.4.104 on unknown before the first batch
        "stop": False,
    }
    own = {name: vars(trainer)[name] for name in shown if name in vars(trainer)}
    vars(trainer).update(shown)
    try:
        yield
    finally:
        for name in shown:
            del vars(trainer)[name]
        vars(trainer).update(own)
