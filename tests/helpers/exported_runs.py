"""Read what `ExportBest` has left in the folder of a run, and wait for its exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from yolo_callbacks import ExportBest


def names(folder: Path) -> set[str]:
    """Return the names of the files in `weights/`."""
    return {path.name for path in (folder / "weights").iterdir()}


def described(folder: Path, name: str = "best-mAP50-95.json") -> dict[str, Any]:
    """Return the JSON beside a checkpoint."""
    found: dict[str, Any] = json.loads((folder / "weights" / name).read_text())
    return found


def outcome(folder: Path, name: str = "ExportBest") -> str:
    """Return what the table at the end says of a callback."""
    rows = json.loads((folder / "callbacks.json").read_text())["summary"]["callbacks"]
    return next(row["outcome"] for row in rows if row["name"] == name)


def settle(trainer: Any, export: ExportBest) -> None:
    """Wait until the job of an export, which a thread starts, is done."""
    trainer._yolo_callbacks.wait_for_background()
    if export._job is not None:
        export._job.wait(120.0)
