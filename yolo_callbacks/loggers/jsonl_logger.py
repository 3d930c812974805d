"""One JSON object an epoch, in a file that any tool can read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.scalars import epoch_scalars, final_scalars
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.fields import Field, read_fields, whole
from yolo_callbacks.utils.files import LOGGER, append_line, parse_json, read_lines, replace_atomic, set_aside, to_json

__all__ = ["JsonlLogger"]

_FILE = "callbacks.jsonl"


class JsonlLogger(Callback):
    """Log every epoch as one line of JSON.

    The lines can be read while the training runs, and are complete after a kill. A resumed run continues the file:
    lines of epochs that are trained again are dropped first.

    Attributes:
        path: The file, None before the first run.

    Raises:
        OSError: If the file cannot be written; in a suite it is logged, and training goes on.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import JsonlLogger, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, JsonlLogger())

    Logs Ultralytics' own keys, `per_class/<class>/<metric>` for at most 100 classes, what other callbacks publish, and
    `epoch`, counted from 1. The evaluation after training is the last line, with keys under `final/` and no `epoch`.
    NaN and infinity become null. Writes `callbacks.jsonl` in the run's folder.
    """

    is_logger: ClassVar[bool] = True

    def __init__(self) -> None:
        self.path: Path | None = None

    def reset(self) -> None:
        """Forget the last run."""
        self.path = None

    def output_files(self, task: str) -> set[str]:
        """Return the file that it writes."""
        return {_FILE}

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Append the epoch."""
        self._append(run, {**epoch_scalars(record), "epoch": record.epoch}, first_epoch=record.epoch)

    def on_final_evaluation(self, run: TrainingRun, record: EpochRecord) -> None:
        """Append the final evaluation."""
        self._append(run, final_scalars(record), first_epoch=record.epoch + 1)

    def resume(self, run: TrainingRun) -> None:
        """Take the lines along from the folder that the run was moved to."""
        if run.moved_from is None:
            return
        source, target = run.moved_from / _FILE, run.save_dir / _FILE
        lines, others = (_lines_until(path, run.completed_epochs) for path in (source, target))
        if lines and lines != others:
            if others:  # of another run
                LOGGER.warning(f"{target} is of another run{set_aside(target)}")
            replace_atomic(target, lambda temporary: temporary.write_text("".join(lines), encoding="utf-8"))

    def _append(self, run: TrainingRun, content: Mapping[str, float], *, first_epoch: int) -> None:
        if self.path is None:
            self.path = self._start(run, first_epoch=first_epoch)
        append_line(self.path, to_json(content))

    def _start(self, run: TrainingRun, *, first_epoch: int) -> Path:
        path = run.save_dir / _FILE
        if path.exists() and not path.is_file():
            LOGGER.warning(f"{path} is not a file{set_aside(path)}")
        kept = _lines_until(path, first_epoch - 1) if run.completed_epochs else []
        replace_atomic(path, lambda temporary: temporary.write_text("".join(kept), encoding="utf-8"))
        return path


def _lines_until(path: Path, epoch: int) -> list[str]:
    """The lines of the epochs up to one; not the final evaluation, half a line, or what is no line of ours."""
    return [line for line in read_lines(path) if line.endswith("\n") and 1 <= _epoch(line) <= epoch]


def _epoch(line: str) -> int:
    """The epoch of a line, 0 where it has none."""
    try:
        return int(read_fields(parse_json(line), {"epoch": Field(whole(1))})["epoch"])
    except ValueError:
        return 0
