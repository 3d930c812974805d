"""Beside Ultralytics' own integrations: what docs/integrations.md says, where the service runs without a server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own: where pytest is imported, Ultralytics switches its integrations off.
BESIDE_TENSORBOARD = """
import sys
sys.path[:0] = [{tests!r}, {datasets!r}]
from trainings import FAST, SETTINGS
SETTINGS.update(tensorboard=True)
from ultralytics import YOLO
from yolo_callbacks import EarlyStopping, MemoryCleanup, SaveBest, TensorBoardLogger, attach
model = YOLO("yolo11n.yaml")
attach(model, SaveBest("mAP50"), EarlyStopping(), MemoryCleanup(), TensorBoardLogger(), strict=True)
model.train(**{{**FAST, "data": {data!r}, "epochs": 2, "project": {folder!r}, "name": "run"}})
"""


def logged(folder: Path) -> dict[str, list[int]]:
    """The steps of every scalar in the event file of a folder."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    (file,) = folder.glob("events.out.tfevents.*")
    steps: dict[str, list[int]] = {}
    for event in EventFileLoader(str(file)).Load():
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "scalars":
                steps.setdefault(value.tag, []).append(event.step)
    return steps


def test_tensorboard_of_both_in_folders_of_their_own(tmp_path, scenes):
    pytest.importorskip("tensorboard")
    here = Path(__file__).parent
    script = BESIDE_TENSORBOARD.format(
        tests=str(here), datasets=str(here.parent / "datasets"), data=str(scenes), folder=str(tmp_path)
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "GITHUB_"))}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    theirs, ours = logged(tmp_path / "run"), logged(tmp_path / "run" / "tensorboard")
    assert theirs["metrics/mAP50(B)"] == [1, 2, 3]  # from 8.4.52 on the final evaluation is their third epoch
    assert ours["metrics/mAP50(B)"] == [1, 2]
    assert ours["final/metrics/mAP50(B)"] == [2]
    published = {"best/mAP50", "early_stopping/wait"}
    assert published <= set(ours)
    assert not published & set(theirs)
