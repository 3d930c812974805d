"""Copy Ultralytics' checkpoints, with a JSON file (the sidecar) beside each copy; failures only warn."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.stripping import strip_checkpoint
from yolo_callbacks.utils.fields import SCHEMA, Field, StateError, read_fields, schema, whole
from yolo_callbacks.utils.files import LOGGER, copy_atomic, has_room, read_json, set_aside, write_json
from yolo_callbacks.utils.signals import deferred

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
        find_source: Returns the checkpoint, or None. It may write the checkpoint first, also to `target`, and may raise
            what a write raises.
        target: The file to make or replace. It is not changed where this fails.
        copy: Copies a file.

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
    """Write the sidecar of a checkpoint."""
    path = checkpoint.with_suffix(".json")
    try:
        write_json(path, {"schema": SCHEMA, **content})
    except OSError as error:
        LOGGER.warning(f"{path} could not be written: {error}")
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)  # the old file describes the checkpoint before


def holds_epoch(checkpoint: Path, epoch: int) -> bool:
    """Return whether a copy exists and is of an epoch; without a sidecar its epoch is not checked."""
    return checkpoint.is_file() and epoch_of_checkpoint(checkpoint) in (None, epoch)


def epoch_of_checkpoint(checkpoint: Path) -> int | None:
    """Return the epoch of a copy from its sidecar; None where the sidecar is missing or cannot be read."""
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
    """Take over a copy and its sidecar from another folder, where they are of the given epoch."""
    if not holds_epoch(source, epoch):
        return
    if copy_checkpoint(lambda: source, target, copy_atomic):
        sidecar, beside = source.with_suffix(".json"), target.with_suffix(".json")
        try:
            if sidecar.is_file():
                copy_atomic(sidecar, beside)
            else:
                beside.unlink(missing_ok=True)  # the old file describes another checkpoint
        except OSError as error:
            LOGGER.warning(f"{beside} could not be written: {error}")


def remove_checkpoint(checkpoint: Path) -> None:
    """Remove a copy and its sidecar."""
    for path in (checkpoint, checkpoint.with_suffix(".json")):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            LOGGER.warning(f"{path} is no longer among the best but could not be removed: {error}")


def strip(checkpoint: Path, stripped: Path | None = None) -> None:
    """Remove optimizer and training state from a checkpoint.

    Args:
        checkpoint: The checkpoint.
        stripped: A checkpoint of the same epoch that is stripped. To copy it takes a fiftieth of the time.
    """
    if stripped is not None:
        with contextlib.suppress(OSError), deferred():
            copy_atomic(stripped, checkpoint)
            return
    try:
        strip_checkpoint(checkpoint)
    except Exception as error:  # of any kind: other code may have replaced the file
        LOGGER.warning(f"{checkpoint} could not be stripped and stays as it was: {error}")
