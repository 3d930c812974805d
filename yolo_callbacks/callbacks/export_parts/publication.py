"""Give an export its name beside the checkpoint, and write what it has shown into the JSON file there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.callbacks.export_parts.finding import PROVEN, Finding
from yolo_callbacks.trainer.export_formats import suffix_of
from yolo_callbacks.utils.fields import SCHEMA
from yolo_callbacks.utils.files import LOGGER, read_json, temporary_beside, write_json

__all__ = ["Publication", "published_names"]


def published_names(stem: str, suffix: str) -> dict[str, str]:
    """Return the name of an export by its verdict: only a proven one has the name of its checkpoint.

    Args:
        stem: The name of the checkpoint without its ending.
        suffix: How the name of the export ends, such as `.onnx` or `_openvino_model`.
    """
    return {PROVEN: f"{stem}{suffix}", **{name: f"{stem}-{name}{suffix}" for name in ("refused", "unproven")}}


class Publication:
    """Publish the exports of one callback in a run: one is kept, that of the present best checkpoint.

    Args:
        format: The format, under which the JSON file describes the export.

    Attributes:
        files: The names that this callback has published, in the folder of the checkpoints.
    """

    def __init__(self, format: str) -> None:  # noqa: A002 (as Ultralytics calls it)
        self._format = format
        self.files: list[str] = []

    def publish(
        self, exported: Path | None, checkpoint: Path, epoch: int, finding: Finding, entry: Mapping[str, Any]
    ) -> Path | None:
        """Move an export to its name, remove those before, and describe it.

        Args:
            exported: The export in its temporary folder; None where there is none.
            checkpoint: The checkpoint.
            epoch: Its epoch; 0 where it is not known.
            finding: What the export has shown.
            entry: The description, whose `file` is filled in here.

        Returns:
            The export under its name; None where there is none.

        Raises:
            OSError: If the folder does not allow it. No export has the name of the checkpoint then, unless it is whole.
        """
        target: Path | None = None
        suffix = exported.name.removeprefix(checkpoint.stem) if exported is not None else suffix_of(self._format)
        names = published_names(checkpoint.stem, suffix) if suffix else {}
        # an earlier run may have left one here (exist_ok=True)
        old = [checkpoint.with_name(name) for name in [*self.files, *names.values()]]
        if exported is not None:
            target = checkpoint.with_name(names[finding.verdict])
            _replace(exported, target)
        for path in dict.fromkeys(old):
            if path != target:
                _remove(path)
        self.files = [target.name] if target is not None else []
        self._describe(checkpoint, epoch, {**entry, "file": target.name if target is not None else None})
        return target

    def retract(self, folder: Path) -> None:
        """Remove what was published in a folder."""
        for name in self.files:
            _remove(folder / name)
        self.files = []

    def _describe(self, checkpoint: Path, epoch: int, entry: Mapping[str, Any]) -> None:
        """Write the description into the JSON file of the checkpoint; into one of its own beside best.pt."""
        path = checkpoint.with_suffix(".json")
        found = read_json(path) or {}
        if "epoch" not in found or found["epoch"] != (epoch or None):
            if "monitor" in found:  # that of a `SaveBest`, which has saved another epoch meanwhile
                LOGGER.debug(f"{path} is of epoch {found.get('epoch')}, the export of epoch {epoch}")
                return
            found = {"schema": SCHEMA, "epoch": epoch or None}
        others = found.get("exports")
        exports = dict(others) if isinstance(others, dict) else {}
        write_json(path, {**found, "exports": {**exports, self._format: dict(entry)}})


def _replace(source: Path, target: Path) -> None:
    """Move a file or a folder to a name, where an old one may be."""
    if target.is_dir() and not target.is_symlink():
        aside = temporary_beside(target)
        target.replace(aside)  # a folder cannot replace one that is not empty
        source.replace(target)
        shutil.rmtree(aside, ignore_errors=True)
    else:
        source.replace(target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
