"""Name a training as loggers do: its project, its run, and the folder for files that outlast it."""

from __future__ import annotations

from pathlib import Path

from yolo_callbacks.trainer.search import current_search
from yolo_callbacks.trainer.training_run import TrainingRun

__all__ = ["lasting_folder", "training_name", "training_project"]


def training_project(run: TrainingRun) -> str:
    """Return the name of the project of a training: for an iteration of `model.tune()` that of the search."""
    search = current_search()
    return Path((search.project if search else str(run.trainer.args.project or "")) or "Ultralytics").name


def training_name(run: TrainingRun) -> str:
    """Return the name of the run of a training."""
    return _name_in_search(run.save_dir) if current_search() else str(run.trainer.args.name)


def lasting_folder(run: TrainingRun) -> Path:
    """Return the folder for files that must outlast a training.

    That is the folder of the run. But Ultralytics' own tuner removes this folder of each iteration that is not the
    best: there it is the folder of the search.
    """
    search = current_search()
    return search.folder if search else run.save_dir


def _name_in_search(folder: Path) -> str:
    """Return the name of the run of an iteration, which no other iteration has.

    In 8.4.139 and later an iteration has a folder, in which the folders of its trainings are named after data sets.
    """
    of_several = folder.parent.name.startswith("multitrain")
    return f"{folder.parent.name}-{folder.name}" if of_several else folder.name
