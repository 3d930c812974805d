"""Checkpoints of our own: copied from Ultralytics' own, with a JSON beside each; failures only warn."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.stripping import strip_checkpoint
from yolo_callbacks.utils.fields import SCHEMA, Field, StateError, read_fields, schema, whole
from yolo_callbacks.utils.files import LOGGER, copy_atomic, has_room, read_json, set_aside, write_json

__all__ = [
    "copy_checkpoint",
    "epoch_of_checkpoint",
    "fetch_checkpoint",
    "holds_epoch",
    "remove_checkpoint",
    "strip",
    "write_sidecar",
]


_SIDECAR = {"schema": Field(schema, 1), "epoch": Field(whole(1))}


def copy_checkpoint(find_source: Callable[[], Path | None], target: Path, copy: Callable[[Path, Path], None]) -> bool:
    """Copy a checkpoint to `target`, if there is one and room for it.

    Args:
        find_source: Gives the checkpoint, or None. It may have the checkpoint written first, to `target` too, and fail
            as any write may.
        target: What to make or replace. As it was, where this fails.
        copy: How to copy a file.

    Returns:
        Whether `target` is the new checkpoint now.
    """
    try:
        source = find_source()
        if source is None:
            LOGGER.warning(f"{target} not saved: Ultralytics wrote no checkpoint in this epoch")
        elif source == target:
            return True
        elif not has_room(target.parent, source.stat().st_size):
            LOGGER.warning(f"{target} not saved: the disk has no room for it and two checkpoints more")
        else:
            copy(source, target)
            return True
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        LOGGER.warning(f"{target} could not be saved: {error}")
    return False


def write_sidecar(checkpoint: Path, content: dict[str, Any]) -> None:
    """Write the JSON beside a checkpoint."""
    path = checkpoint.with_suffix(".json")
    try:
        write_json(path, {"schema": SCHEMA, **content})
    except OSError as error:
        LOGGER.warning(f"{path} could not be written: {error}")
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)  # what stands there tells of the checkpoint before


def holds_epoch(checkpoint: Path, epoch: int) -> bool:
    """Whether a checkpoint of ours is there and of an epoch, as far as the JSON beside it tells."""
    return checkpoint.is_file() and epoch_of_checkpoint(checkpoint) in (None, epoch)


def epoch_of_checkpoint(checkpoint: Path) -> int | None:
    """Return the epoch of a checkpoint of ours, as the JSON beside it says; None where it does not say it."""
    path = checkpoint.with_suffix(".json")
    sidecar = read_json(path)
    if sidecar is None:
        return None
    try:
        return int(read_fields(sidecar, _SIDECAR)["epoch"])
    except StateError as error:
        LOGGER.warning(f"{path} cannot be read ({error}){set_aside(path)}: going on without it")
        return None


def fetch_checkpoint(source: Path, target: Path, epoch: int) -> None:
    """Copy a checkpoint of ours and the JSON beside it from the folder that a run was moved to."""
    if not holds_epoch(source, epoch):
        return
    if copy_checkpoint(lambda: source, target, copy_atomic):
        told, beside = source.with_suffix(".json"), target.with_suffix(".json")
        try:
            if told.is_file():
                copy_atomic(told, beside)
            else:
                beside.unlink(missing_ok=True)  # what stands there tells of another checkpoint
        except OSError as error:
            LOGGER.warning(f"{beside} could not be written: {error}")


def remove_checkpoint(checkpoint: Path) -> None:
    """Remove a checkpoint of ours and the JSON beside it."""
    for path in (checkpoint, checkpoint.with_suffix(".json")):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            LOGGER.warning(f"{path} is no longer among the best but could not be removed: {error}")


def strip(checkpoint: Path) -> None:
    """Strip a checkpoint of optimizer and training state."""
    try:
        strip_checkpoint(checkpoint)
    except Exception as error:  # whatever stands there now: somebody else may have replaced it
        LOGGER.warning(f"{checkpoint} could not be stripped and stays as it was: {error}")
