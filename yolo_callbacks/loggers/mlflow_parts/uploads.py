"""List what `MLflowLogger` uploads at the end of a training: the checkpoint, and files of the run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.loggers.mlflow_parts.opened_run import OpenedRun
from yolo_callbacks.loggers.mlflow_parts.registry import register
from yolo_callbacks.loggers.mlflow_parts.session import Upload
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.scalars import MAX_CLASSES
from yolo_callbacks.trainer.resume import load_checkpoint
from yolo_callbacks.trainer.run_description import checkpoint_facts, plots, shareable
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.files import plain

__all__ = ["MODEL_FOLDER", "file_uploads", "last_uploads", "late_uploads"]

MODEL_FOLDER = "model"
_WEIGHTS, _PLOTS = "weights", "plots"
_LATE = ("callbacks.json", "callbacks.png")  # the suite writes them after the last event
_REPORT = "report.html"  # it shows images of the data set
_FILES = ("results.csv", "failures.jsonl")


def last_uploads(
    run: TrainingRun, last: EpochRecord | None, *, pictures: bool, model: bool, registered_name: str | None
) -> list[Upload]:
    """Return what is uploaded at the end, the most valuable first.

    Args:
        run: The training.
        last: The record of its last epoch, None where there was none.
        pictures: Whether to upload plots that show images of the data set.
        model: Whether to upload best.pt.
        registered_name: The name of the model in the registry; None for no version there.
    """
    uploads: list[Upload] = []
    if model and run.best.is_file():
        uploads.append(Upload(run.best.name, partial(_log_model, run, registered_name)))
    sidecars = [path for path in _written_files(run) if path.suffix == ".json" and path.parent == run.weights_dir]
    uploads += file_uploads(sidecars, _WEIGHTS)
    uploads += file_uploads([run.save_dir / name for name in _FILES])
    if last is not None and len(last.names) > MAX_CLASSES and last.per_class:
        uploads.append(Upload("per_class.json", partial(_log_classes, last)))
    return uploads + file_uploads(plots(run, pictures=pictures).values(), _PLOTS)


def late_uploads(run: TrainingRun, *, pictures: bool) -> list[Upload]:
    """Return what is uploaded after the suite has written its last files; the report only with `pictures`."""
    names = [*_LATE, *([_REPORT] if pictures else [])]
    return file_uploads([run.save_dir / name for name in names])


def file_uploads(paths: Iterable[Path], folder: str | None = None) -> list[Upload]:
    """Return the uploads of those files that exist, into a folder among the artifacts."""
    return [Upload(path.name, partial(_log_file, path, folder)) for path in paths if path.is_file()]


def _written_files(run: TrainingRun) -> list[Path]:
    members = [member for member in run.supervision.members if isinstance(member, Callback)]
    return [path for member in members for path in member.written_files()]


def _log_file(path: Path, folder: str | None, opened: OpenedRun) -> None:
    opened.client.log_artifact(opened.run_id, str(path), folder)


def _log_model(run: TrainingRun, registered_name: str | None, opened: OpenedRun) -> str | None:
    checkpoint = load_checkpoint(run.best)
    facts = plain(checkpoint_facts(run, checkpoint))
    with tempfile.TemporaryDirectory(prefix="yolo-callbacks-", ignore_cleanup_errors=True) as folder:
        shared = shareable(run.best, checkpoint, Path(folder))
        opened.client.log_artifact(opened.run_id, str(shared), MODEL_FOLDER)
    opened.client.log_dict(opened.run_id, facts, f"{MODEL_FOLDER}/{run.best.stem}.json")
    return register(opened, registered_name, MODEL_FOLDER, facts) if registered_name else None


def _log_classes(last: EpochRecord, opened: OpenedRun) -> None:
    by_class = {
        last.class_name(index): {metric: values.get(index) for metric, values in last.per_class.items()}
        for index in last.names
    }
    opened.client.log_dict(opened.run_id, plain(by_class), "per_class.json")
