"""Explain why a file of a run was not found, and suggest another folder."""

from __future__ import annotations

from pathlib import Path

from yolo_callbacks.utils.unknown_arguments import hint

__all__ = ["nothing_in"]


def nothing_in(folder: Path, name: str, reason: str) -> str:
    """Return why a folder has no file of the callbacks, with the newest run in it if there is one.

    Args:
        folder: The folder.
        name: The name of the file.
        reason: Why a run may have none.
    """
    if not folder.exists():
        beside = folder.parent.iterdir() if folder.parent.is_dir() else ()
        return f"{folder} does not exist{hint(folder.name, (path.name for path in beside if path.is_dir()))}"
    runs = sorted(folder.glob(f"*/{name}"), key=lambda path: path.stat().st_mtime)
    advice = f", did you mean {runs[-1].parent}?" if runs else f": {reason}"
    return f"{folder} has no {name}{advice}"
