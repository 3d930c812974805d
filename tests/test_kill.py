"""Runs that are killed at any moment and resumed: what they leave is what a run leaves that was never killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from killed_runs import MAIN, STOP
from trainings import results_csv
from wandb_runs import read_runs

HERE = Path(__file__).parent
pytestmark = pytest.mark.training


def run(folder: Path, data: Path, *moments: int) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, str(HERE / "killed_runs.py"), str(folder), str(data), *map(str, moments)]
    subprocess.run(command, env=environment, check=True, timeout=900, capture_output=True)


def left_by(folder: Path) -> dict[str, Any]:
    """What a run left, of which nothing depends on when and where it ran."""
    state = json.loads((folder / "callbacks.json").read_text())
    states = {key: value for key, value in state["callbacks"].items() if not key.startswith("Wandb")}
    logged = [json.loads(line) for line in (folder / "callbacks.jsonl").read_text().splitlines()]
    rates = {row["epoch"]: [row[key] for key in row if key.startswith("lr/")] for row in results_csv(folder)}
    return {
        "epoch": state["epoch"],
        "status": state["summary"]["status"],
        "states": states,
        "outcomes": [row["outcome"].replace(str(folder), "") for row in state["summary"]["callbacks"][:5]],
        "files": sorted(path.name for path in (folder / "weights").iterdir()),
        "sidecars": {path.name: sidecar(path) for path in (folder / "weights").glob("*.json")},
        "checkpoints": {path.name: fitness(path) for path in (folder / "weights").glob("*.pt")},
        "rates": rates,
        "logged": [{key: value for key, value in row.items() if not key.startswith("train/")} for row in logged],
        "wandb": sorted(
            [row["epoch"], row["best/recall"], row["lr/scale"], row["per_class/one/mAP50"]]
            for run in read_runs(folder / "wandb")
            for row in run.rows
            if "epoch" in row
        ),
    }


def sidecar(path: Path) -> dict[str, Any]:
    """A sidecar without the training losses, which differ: a resumed training starts from half-precision weights."""
    content = json.loads(path.read_text())
    content["metrics"] = {key: value for key, value in content["metrics"].items() if not key.startswith("train/")}
    return content


def fitness(path: Path) -> float:
    """Tells of which epoch a checkpoint is."""
    return torch.load(path, map_location="cpu", weights_only=False)["train_metrics"]["metrics/recall(B)"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, scenes):
    """The run that nobody kills, and its moments."""
    folder = tmp_path_factory.mktemp("killed")
    run(folder, scenes)
    moments = [line.split(" ", 1)[1] for line in (folder / "whole" / "moments.txt").read_text().splitlines()]
    return folder, moments, left_by(folder / "whole" / "run")


def test_the_whole_run(whole):
    _, moments, left = whole
    assert left["epoch"] == STOP
    assert [row[0] for row in left["wandb"]] == list(range(1, STOP + 1))
    assert [row.get("epoch") for row in left["logged"]] == [*range(1, STOP + 1), None]
    assert left["states"]["ReduceLROnPlateau(val/box_loss)"]["cuts"] == [3, 5, 6, 7]
    assert left["states"]["EarlyStopping(mAP50-95)"]["best_epoch"] == 1 + MAIN.index(0.6)
    assert len(moments) > 250


def test_sweep(whole, scenes):
    folder, moments, left = whole
    chosen = eval(os.environ["MOMENTS"])
    chosen = [i for i, m in enumerate(moments) if any(c in m for c in chosen)]
    run(folder, scenes, *chosen)
    for moment in chosen:
        at = folder / str(moment)
        failed = (at / "failed").read_text() if (at / "failed").exists() else ""
        if failed:
            print("FAILED", moment, moments[moment], failed)
            continue
        got = left_by(at / "run")
        diff = {k: (got[k], left[k]) for k in left if got[k] != left[k]}
        print(moment, moments[moment], "OK" if not diff else diff)
