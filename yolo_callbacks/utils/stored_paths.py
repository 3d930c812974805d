"""Store paths so that they are found again after the run's folder was moved, copied, or mounted elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["found_path", "is_same_folder", "run_folder_of", "stored_path", "with_folder"]


def stored_path(path: Path, folder: Path) -> str:
    """Return a path in its stored form: relative to the run's folder if it is inside that folder."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def found_path(stored: str, *folders: Path) -> Path | None:
    """Return the current place of a stored path, or None if the file does not exist.

    Args:
        stored: The path as returned by `stored_path`. An older version stored absolute paths, which may begin with an
            earlier folder of the run.
        *folders: The folder of the state, then other folders of the run.
    """
    path = Path(stored)
    parts = path.parts
    # Look in the given folders first: the absolute path may belong to a copy of the run that continued there.
    tails = [Path(*parts[-count:]) for count in range(2, len(parts))] if path.is_absolute() else [path]
    candidates = [folder / tail for folder in folders for tail in tails] + ([path] if path.is_absolute() else [])
    return next((candidate for candidate in candidates if _exists(candidate)), None)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file system allows
        return False


def run_folder_of(checkpoint: Path) -> Path:
    """Return the run's folder of a checkpoint: the folder above `weights`, or else its own folder."""
    folder = checkpoint.absolute().parent  # not resolved: a symbolic link may lead to a store of files elsewhere
    return folder.parent if folder.name == "weights" else folder


def is_same_folder(one: Path, other: Path) -> bool:
    """Return whether two paths lead to the same folder."""
    try:
        return one.samefile(other)
    except OSError:  # one does not exist
        return one.resolve() == other.resolve()


def with_folder(summary: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the summary of a run with its paths changed to the current folder of the run."""
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
