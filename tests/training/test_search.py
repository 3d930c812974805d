"""Iterations of Ultralytics' own tuner, which removes the folders of those that are not the best."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from trainings import FAST, TINY
from wandb_runs import read_runs

from yolo_callbacks.trainer.installation import installed_version

pytestmark = [pytest.mark.slow, pytest.mark.training]

EPOCHS = 3
# mAP of each epoch of each iteration. The second is the best: its epochs 2 and 3 are kept; of the first 1 and 2.
VALUES = [[0.4, 0.3, 0.2], [0.2, 0.5, 0.6], [0.1, 0.1, 0.2]]
SCRIPTED = f"""
from pathlib import Path
from trainings import detection_metrics
from ultralytics.engine.validator import BaseValidator
from yolo_callbacks import Callback

class Scripted(Callback):
    def on_pretrain_routine_start(self, trainer):
        started = Path(__file__).with_name("started")
        with started.open("a") as file:
            file.write("x")
        values = {VALUES}[len(started.read_text()) - 1]
        position = iter(values)

        def validate(validator, trainer=None, model=None):
            validator.training = trainer is not None
            metrics = detection_metrics(next(position) if validator.training else values[-1])
            return {{**metrics, "fitness": metrics["metrics/mAP50-95(B)"]}}

        BaseValidator.__call__ = validate
"""
CALLBACKS = """
callbacks:
  - SaveBest: {monitor: mAP50, top_k: 2}
  - WandbLogger: {mode: offline, images: 0, log_model: false}
  - scripted:Scripted
"""


@pytest.fixture
def search(installed, scenes, tmp_path):
    """Search with the callbacks above; the folder of the search, and what was printed."""
    (tmp_path / "scripted.py").write_text(SCRIPTED)
    (tmp_path / "callbacks.yaml").write_text(CALLBACKS)
    helpers = Path(__file__).parents[1] / "helpers"
    given = {**FAST, "epochs": EPOCHS, "data": str(scenes), "project": str(tmp_path / "crowns"), "name": "first"}

    def run(iterations: int, **more: object) -> tuple[Path, str]:
        (tmp_path / "search.py").write_text(
            f"from ultralytics import YOLO\nYOLO({TINY!r}).tune(iterations={iterations}, **{ {**given, **more}!r})\n"
        )
        path = os.pathsep.join([str(tmp_path), str(helpers), os.environ.get("PYTHONPATH", "")])
        done = installed.run("python", "search.py", cwd=tmp_path, callbacks="callbacks.yaml", PYTHONPATH=path)
        assert done.returncode == 0, done.stderr
        return tmp_path / "crowns" / "first", done.stdout + done.stderr

    return run


def test_what_a_search_leaves(search, tmp_path):
    folder, printed = search(len(VALUES))
    kept = json.loads((folder / "callbacks.iterations.jsonl").read_text().splitlines()[1])["kept"]
    assert sorted(kept) == ["best-mAP50-epoch002.pt", "best-mAP50-epoch003.pt"]
    assert {path.name for path in (folder / "weights").iterdir()} == {"best.pt", "last.pt", *kept}
    assert re.search(r"Removed checkpoints of earlier iterations from .*: best-mAP50-epoch001\.pt$", printed, re.M)

    runs = read_runs(folder / "wandb")
    assert [run.column("metrics/mAP50(B)") for run in runs] == VALUES
    assert {(run.project, run.group, run.exit_code) for run in runs} == {("crowns", "first", 0)}
    left = [path.parent for path in tmp_path.rglob("results.csv")]
    if installed_version() >= (8, 4):
        assert len(left) == 1  # the others' folders are gone, with what was in them
