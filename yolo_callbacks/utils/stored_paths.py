"""Paths in stored state: they must be found again where the run's folder was moved, copied, or mounted elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["found_path", "is_same_folder", "run_folder_of", "stored_path", "with_folder"]


def stored_path(path: Path, folder: Path) -> str:
    """Return a path as it is stored: relative to the run's folder where it lies inside it."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def found_path(stored: str, *folders: Path) -> Path | None:
    """Return where a stored path is now, None if nothing is there any more.

    Args:
        stored: As `stored_path` gave it; an absolute one, of an older version, may begin with an old place of the run.
        *folders: Where the state lies, then other folders of the run.
    """
    path = Path(stored)
    parts = path.parts
    # the same place in these folders first: the old one may be that of a run that went on elsewhere
    tails = [Path(*parts[-count:]) for count in range(2, len(parts))] if path.is_absolute() else [path]
    candidates = [folder / tail for folder in folders for tail in tails] + ([path] if path.is_absolute() else [])
    return next((candidate for candidate in candidates if _exists(candidate)), None)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file system has
        return False


def run_folder_of(checkpoint: Path) -> Path:
    """Return the folder of the run that a checkpoint lies in: above `weights`, or where it was copied to alone."""
    folder = checkpoint.absolute().parent  # not resolved: a symbolic link may lead to a store of files
    return folder.parent if folder.name == "weights" else folder


def is_same_folder(one: Path, other: Path) -> bool:
    """Return whether two paths lead to one folder."""
    try:
        return one.samefile(other)
    except OSError:  # one does not exist
        return one.resolve() == other.resolve()


def with_folder(summary: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the content of a table with the paths of where the run's folder is now."""
    old, new = str(summary.get("folder") or ""), str(folder)
    if not old or is_same_folder(Path(old), folder):
        return dict(summary)
    rows = [
        {**row, "outcome": _replaced(row.get("outcome"), old, new)} if isinstance(row, Mapping) else row
        for row in summary.get("callbacks", ())
    ]
    return {**summary, "folder": new, "callbacks": rows}


def _replaced(outcome: Any, old: str, new: str) -> Any:
    return outcome.replace(f"{old}{os.sep}", f"{new}{os.sep}") if isinstance(outcome, str) else outcome
