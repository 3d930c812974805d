"""Choose the files of a run that a resume needs, and copy them while the run trains."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from yolo_callbacks.state.status_file import STATUS_FILE

__all__ = ["is_needed", "link_or_copy", "needed_files", "rows_up_to"]

_SUFFIXES = frozenset({".json", ".jsonl", ".csv", ".yaml", ".pt"})
_OF_SAVE_PERIOD = re.compile(r"epoch\d+\.pt")  # a resume needs none of them


def needed_files(folder: Path) -> Iterator[Path]:
    """List the files of a run that a resume needs: checkpoints, state, and rows of results.

    Pictures, TensorBoard's and W&B's files are left out, and the checkpoints of `save_period=`.
    """
    for path in sorted([*folder.glob("*"), *folder.glob("weights/*")]):
        if is_needed(path.relative_to(folder).as_posix()) and path.is_file():
            yield path


def is_needed(name: str) -> bool:
    """Return whether a resume needs the file of a name, which is relative to the folder of the run."""
    path = Path(name)
    is_inside = not path.is_absolute() and ".." not in path.parts and path.parent.as_posix() in (".", "weights")
    is_foreign = path.as_posix() == STATUS_FILE  # it is of the process that wrote it
    return is_inside and not is_foreign and path.suffix in _SUFFIXES and not _OF_SAVE_PERIOD.fullmatch(path.name)


def link_or_copy(path: Path, copy: Path) -> None:
    """Give a file a second name, where it is a checkpoint: those are replaced, and never written in place."""
    # On Windows, while one name of a file is read, no other name of it can be replaced.
    if path.suffix == ".pt" and os.name == "posix":
        with suppress(OSError):
            os.link(path, copy)
            return
    shutil.copyfile(path, copy)


def rows_up_to(results: Path, epoch: int) -> bytes:
    """Return the header and the rows of a results.csv up to an epoch: the later epochs are trained again."""
    header, *rows = results.read_bytes().splitlines(keepends=True) or [b""]
    return b"".join([header, *(row for row in rows if row.endswith(b"\n") and _epoch(row) <= epoch)])


def _epoch(row: bytes) -> float:
    try:
        return float(row.split(b",", 1)[0])
    except ValueError:
        return 0.0  # a row of unknown content is kept
