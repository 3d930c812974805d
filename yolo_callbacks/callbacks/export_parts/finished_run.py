"""Export a checkpoint of a run that is over, with the same proof as `ExportBest`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.callbacks.export_parts.finding import FAILED, Finding
from yolo_callbacks.callbacks.export_parts.job import COMMAND, ExportJob
from yolo_callbacks.callbacks.export_parts.publication import Publication
from yolo_callbacks.callbacks.export_parts.tolerance import complete_tolerance
from yolo_callbacks.trainer.export_formats import export_formats, precision_of
from yolo_callbacks.trainer.export_request import ExportRequest, stored_validation_set
from yolo_callbacks.utils.files import read_json

__all__ = ["best_checkpoint", "export_finished_run"]


def best_checkpoint(folder: Path, name: str | None = None) -> Path:
    """Return the checkpoint of a run that is exported: that of a name, else the one of `SaveBest`, else best.pt.

    Raises:
        ValueError: If there is none, or several of `SaveBest`.
    """
    weights = folder / "weights"
    if name is not None:
        path = weights / f"{name.removesuffix('.pt')}.pt"
        if not path.is_file():
            known = ", ".join(sorted(each.name for each in weights.glob("*.pt")))
            raise ValueError(f"{weights} has no {path.name} (there are {known or 'none'})")
        return path
    saved = sorted(weights.glob("best-*.pt"))
    if len(saved) > 1:
        raise ValueError(f"{weights} has several: choose one with --checkpoint: {', '.join(p.name for p in saved)}")
    if not saved and not (weights / "best.pt").is_file():
        raise ValueError(f"{weights} has no best.pt: is {folder} the folder of a run?")
    return saved[0] if saved else weights / "best.pt"


def export_finished_run(
    folder: Path, checkpoint: Path, name: str, arguments: Mapping[str, Any], *, images: int | None, timeout: float
) -> tuple[Finding, Path | None]:
    """Export a checkpoint of a run, and compare both.

    Args:
        folder: The folder of the run.
        checkpoint: The checkpoint in it.
        name: The format.
        arguments: Further arguments of the export.
        images: On how many validation images both are compared; None for all.
        timeout: How many seconds it may take.

    Returns:
        What it has shown, and the export; None where there is none.

    Raises:
        ValueError: If the folder does not say what was trained, or the data set is not on this machine.
    """
    trained = _trained_with(folder)
    one_class = bool(trained.get("single_cls"))
    data = stored_validation_set(str(trained["data"]), str(trained["task"]), one_class=one_class).sample(images)
    given = {"imgsz": trained["imgsz"], **arguments}
    request = ExportRequest(
        str(trained["task"]), name, given, checkpoint.name, None, data, threads=min(4, os.cpu_count() or 1)
    )
    formats = export_formats()
    needs_gpu = (name in formats and not formats[name].on_cpu) or "device" in arguments
    described = (read_json(checkpoint.with_suffix(".json")) or {}).get("epoch")
    epoch = described if isinstance(described, int) else 0  # not known beside best.pt
    job = ExportJob(request, checkpoint, checkpoint.parent, epoch, uses_gpu=needs_gpu, command=COMMAND)
    tolerance = complete_tolerance(None, precision_of(arguments))
    try:
        job.start()
        job.wait(timeout)
        finding = Finding.of(job.result(), tolerance)
        exported = None if finding.verdict == FAILED else job.exported(finding.result)
        entry = finding.entry(None, given, tolerance)
        return finding, Publication(name).publish(exported, checkpoint, epoch, finding, entry)
    finally:
        job.close()


def _trained_with(folder: Path) -> Mapping[str, Any]:
    import yaml

    path = folder / "args.yaml"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict) or not all(found.get(name) for name in ("task", "data", "imgsz")):
        raise ValueError(f"{path} does not say task, data and imgsz of the run")
    size = found["imgsz"]
    try:  # Ultralytics trains with the largest of several
        return {**found, "imgsz": max(map(int, size)) if isinstance(size, list) else int(size)}
    except (TypeError, ValueError):
        raise ValueError(f"{path} cannot be used: imgsz is {size!r}") from None
