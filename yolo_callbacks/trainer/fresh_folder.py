"""Remove the folder of a run that has not begun."""

from __future__ import annotations

import shutil

from yolo_callbacks.trainer.training_run import TrainingRun

__all__ = ["remove_fresh_folder"]

# What Ultralytics writes before the first batch.
_FRESH = {"args.yaml", "weights", "labels.jpg", "labels_correlogram.jpg"}


def remove_fresh_folder(run: TrainingRun) -> None:
    """Remove the folder of a run if it holds only what Ultralytics writes before the first batch."""
    folder = run.save_dir
    found = {path.name for path in folder.iterdir()} if run.is_main and folder.is_dir() else set()
    if found and found <= _FRESH and not any(run.weights_dir.glob("*")):
        shutil.rmtree(folder, ignore_errors=True)
