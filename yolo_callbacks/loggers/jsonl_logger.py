"""Log every epoch as a line of JSON, in a file that any tool can read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.scalars import epoch_scalars, final_scalars
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.epoch_lines import copy_lines, lines_until, write_lines
from yolo_callbacks.utils.files import append_line, to_json

__all__ = ["JsonlLogger"]

_FILE = "callbacks.jsonl"


class JsonlLogger(Callback):
    """Log every epoch as one line of JSON.

    The file can be read while the training runs, and all its lines are complete after a kill. A resumed run continues
    the file; the lines of epochs that are trained again are removed first.

    Attributes:
        path: The file, None before the first run.

    Raises:
        OSError: If the file cannot be written. A suite logs the error, and the training goes on.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import JsonlLogger, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, JsonlLogger())

    Logs `epoch`, counted from 1, Ultralytics' own keys, `per_class/<class>/<metric>` for at most 100 classes, and the
    scalars of other callbacks. The evaluation after training is the last line, with keys under `final/` and no `epoch`.
    Writes null for NaN and infinity. Writes `callbacks.jsonl` in the run's folder.
    """

    is_logger: ClassVar[bool] = True

    def __init__(self) -> None:
        self.path: Path | None = None

    def reset(self) -> None:
        """Forget the last run."""
        self.path = None

    def output_files(self, task: str) -> set[str]:
        """Return the file of the lines."""
        return {_FILE}

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Append the line of the epoch."""
        self._append(run, {**epoch_scalars(record), "epoch": record.epoch}, first_epoch=record.epoch)

    def on_final_evaluation(self, run: TrainingRun, record: EpochRecord) -> None:
        """Append the line of the final evaluation."""
        self._append(run, final_scalars(record), first_epoch=record.epoch + 1)

    def outcome(self) -> str | None:
        """Return where the file is."""
        return None if self.path is None else f"wrote {self.path}"

    def resume(self, run: TrainingRun) -> None:
        """Copy the lines of a run that continues in another folder."""
        if run.moved_from is None:
            return
        copy_lines(run.moved_from / _FILE, run.save_dir / _FILE, run.completed_epochs)

    def _append(self, run: TrainingRun, content: Mapping[str, float], *, first_epoch: int) -> None:
        if self.path is None:
            self.path = self._start(run, first_epoch=first_epoch)
        append_line(self.path, to_json(content))

    def _start(self, run: TrainingRun, *, first_epoch: int) -> Path:
        path = run.save_dir / _FILE
        write_lines(path, lines_until(path, first_epoch - 1) if run.completed_epochs else [])
        return path
