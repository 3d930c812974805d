"""Prepare the exports of one run: from which checkpoint, with which arguments, compared on which images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolo_callbacks.callbacks.export_parts.job import ExportJob
from yolo_callbacks.callbacks.export_parts.source import ExportSource
from yolo_callbacks.trainer.export_formats import export_formats
from yolo_callbacks.trainer.export_request import ExportRequest, ValidationSet, untrained_model
from yolo_callbacks.trainer.training_run import TrainingRun

__all__ = ["Preparation"]


@dataclass
class Preparation:
    """What the exports of one run need.

    Attributes:
        format: The format.
        arguments: Further arguments of the export.
        source: Which checkpoint is exported.
        data: The validation images.
    """

    format: str
    arguments: Mapping[str, Any]
    source: ExportSource
    data: ValidationSet = field(default_factory=lambda: ValidationSet(()))

    def checkpoint(self, run: TrainingRun) -> Path:
        """Return the checkpoint that is exported now."""
        found = self.source.checkpoint(run)
        return run.best if found is None else found

    def job(self, run: TrainingRun, epoch: int, *, threads: int) -> ExportJob:
        """Return a job that exports the present checkpoint.

        Args:
            run: The training.
            epoch: The epoch of the checkpoint.
            threads: How many threads the process may use.
        """
        checkpoint = self.checkpoint(run)
        arguments = {"imgsz": run.image_size, **self.arguments}
        request = ExportRequest(run.task, self.format, arguments, checkpoint.name, None, self.data, threads)
        formats = export_formats()
        needs_gpu = self.format in formats and not formats[self.format].on_cpu
        return ExportJob(request, checkpoint, run.weights_dir, epoch, uses_gpu=needs_gpu or "device" in self.arguments)

    def untrained_job(self, run: TrainingRun) -> ExportJob | None:
        """Return a job that exports an untrained copy of the model; None where no other process can make one."""
        model = untrained_model(run.trainer)
        if model is None:
            return None
        arguments = {"imgsz": run.image_size, **self.arguments}
        return ExportJob(ExportRequest(run.task, self.format, arguments, model=model), None, run.weights_dir)
