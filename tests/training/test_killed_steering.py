"""A training that callbacks steer is killed by SIGKILL: the resumed run goes on as one that nobody kills."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from typing import Any

import pytest
from trainings import results_csv

EPOCHS = 6
# Each callback has changed something before the kill, and changes something after it.
STEERED = """
import os, signal
from pathlib import Path
from trainings import FAST, TINY
from ultralytics import YOLO
from yolo_callbacks import (
    JsonlLogger, LearningRateSchedule, RemoteControl, SaveBest, Unfreeze, ValidateEvery, attach,
)

last = Path(folder, "run", "weights", "last.pt")
resumed = last.is_file()
model = YOLO(last if resumed else TINY, task="detect")
attach(
    model,
    ValidateEvery(2),
    LearningRateSchedule("exponential", gamma=0.5),
    Unfreeze({0: "head", 4: "all"}),
    RemoteControl(),
    SaveBest("mAP50", skip_untrained=False).in_epochs("3:5"),
    JsonlLogger(),
    strict=True,
)

def control(trainer):
    if trainer.epoch == 0:
        Path(trainer.save_dir, "control.yaml").write_text("lr-scale: 0.5\\nsave: true")

def kill(source):
    if not resumed and kill_in and model.trainer.epoch + 1 == kill_in:
        os.kill(os.getpid(), signal.SIGKILL)

model.add_callback("on_train_epoch_start", control)
model.add_callback(where, kill)
fresh = {**FAST, "data": data, "epochs": epochs, "project": folder, "name": "run", "exist_ok": True}
steady = {"optimizer": "SGD", "lr0": 0.01, "warmup_epochs": 0}
model.train(resume=True) if resumed else model.train(**fresh, **steady)
"""


def left_by(folder: Path) -> dict[str, Any]:
    """Read the part of a run's files that is the same each time."""
    run = folder / "run"
    state = json.loads((run / "callbacks.json").read_text())
    rows = results_csv(run)
    return {
        "status": state["summary"]["status"],
        "rates": [[row["epoch"], row["lr/pg0"]] for row in rows],
        "validated": [row["epoch"] for row in rows if not math.isnan(row["metrics/mAP50(B)"])],
        "changes": state["callbacks"]["RemoteControl"]["changes"],
        "counts": [state["callbacks"]["ValidateEvery"][name] for name in ("validated", "skipped")],
        "weights": sorted(path.name for path in (run / "weights").iterdir()),
        "logged": [json.loads(line).get("epoch") for line in (run / "callbacks.jsonl").read_text().splitlines()],
    }


@pytest.fixture(scope="module")
def uninterrupted(interpreter, scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    ended = steer(interpreter, scenes, folder, 0, "on_train_batch_end")
    assert ended.status == 0, ended.said
    return left_by(folder)


def steer(interpreter: Any, scenes: Path, folder: Path, kill_in: int, where: str) -> Any:
    """Train in a process of its own, which is killed at an event of an epoch; go on if there is a checkpoint."""
    names = {"folder": str(folder), "data": str(scenes), "epochs": EPOCHS, "kill_in": kill_in, "where": where}
    return interpreter.run(STEERED, **names)


def test_each_callback_has_changed_something(uninterrupted):
    assert uninterrupted["validated"] == [2, 4, 6]
    assert [rate for _, rate in uninterrupted["rates"]] == pytest.approx(
        [0.01, *(0.01 * 0.5**epoch * 0.5 for epoch in range(1, EPOCHS))]
    )
    assert [epoch for epoch, _ in uninterrupted["changes"]] == [1, 1]
    assert uninterrupted["weights"] == [
        "best-mAP50.json", "best-mAP50.pt", "best.pt", "control-epoch001.pt", "last.pt",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kill_in", "where"),
    [
        (3, "on_train_batch_end"),
        pytest.param(4, "on_val_end", marks=pytest.mark.slow),
        pytest.param(2, "on_model_save", marks=pytest.mark.slow),
        pytest.param(3, "on_fit_epoch_end", marks=pytest.mark.slow),
        pytest.param(5, "on_train_epoch_start", marks=pytest.mark.slow),
        pytest.param(5, "on_model_save", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_goes_on_as_one_that_nobody_kills(interpreter, scenes, tmp_path, uninterrupted, kill_in, where):
    killed = steer(interpreter, scenes, tmp_path, kill_in, where)
    assert killed.status == -signal.SIGKILL, killed.said
    resumed = steer(interpreter, scenes, tmp_path, kill_in, where)
    assert resumed.status == 0, resumed.said
    assert left_by(tmp_path) == uninterrupted
