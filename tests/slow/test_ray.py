"""Searches with Ray Tune, each in a process of its own: ASHA, a kill, a population, Ultralytics' own search."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from trainings import results_csv

pytestmark = pytest.mark.training

pytest.importorskip("ray")

SCRIPT = Path(__file__).parents[1] / "helpers" / "ray_search.py"


def search(folder: Path, data: Path, kind: str, **environment: str) -> list[dict[str, Any]]:
    """Run a search, and return what Ray Tune knows of its trials, in their order."""
    variables = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "YOLO_AUTOINSTALL": "false",
        **environment,
    }
    command = [sys.executable, "-W", "ignore", str(SCRIPT), str(folder), str(data), kind]
    process = subprocess.run(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False
    )
    assert process.returncode == 0, process.stdout[-5000:]
    lines = (folder / "results.jsonl").read_text().splitlines()
    return sorted(map(json.loads, lines), key=lambda trial: trial["id"])


def summary_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "callbacks.json").read_text())["summary"]
    return found


def reported(folder: Path, trial: str) -> list[int]:
    """The epochs that Ray Tune got of a trial."""
    return [int(line) for line in (folder / f"{trial}.txt").read_text().splitlines()]


def check_trial(run: Path, epochs: int, *, planned: int = 6) -> None:
    """A trial has ended with its epoch: everything is written, and only a whole one has a final evaluation."""
    summary = summary_of(run)
    whole = epochs == planned
    assert (summary["status"], summary["epochs"]) == ("finished" if whole else "pruned", epochs)
    assert [row["failures"] for row in summary["callbacks"]] == [0] * len(summary["callbacks"])
    rows = [json.loads(line) for line in (run / "callbacks.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows if "epoch" in row] == list(range(1, epochs + 1))
    assert len(rows) - epochs == whole
    assert [row["epoch"] for row in results_csv(run)] == list(range(1, epochs + 1))
    checkpoints = sorted((run / "weights").glob("*.pt"))
    assert {"last.pt", "best.pt"} < {path.name for path in checkpoints}
    for path in checkpoints:
        assert torch.load(path, map_location="cpu", weights_only=False)["optimizer"] is None, path


@pytest.mark.sample
def test_two_trials_in_one_process(tmp_path, scenes):
    """The second trial, which is not promising, gets the process of the first one."""
    first, second = search(tmp_path, scenes, "pair")
    assert (first["error"], second["error"]) == ("", "")
    assert first["metrics"]["pid"] == second["metrics"]["pid"]
    for trial, epochs in ((first, 6), (second, 2)):
        assert reported(tmp_path, trial["id"]) == list(range(1, epochs + 1))
        check_trial(tmp_path / "runs" / trial["id"], epochs)


@pytest.mark.parametrize("api", ["asha", "asha-function"])
def test_six_trials_of_which_some_are_stopped(api, tmp_path, scenes):
    trials = search(tmp_path, scenes, api)
    assert [trial["error"] for trial in trials] == [""] * 6
    runs = {}
    for run in (tmp_path / "runs").iterdir():
        origin = json.loads((run / "callbacks.json").read_text())["summary"]
        runs[run] = origin["epochs"]
        check_trial(run, origin["epochs"])
    epochs = [len(reported(tmp_path, trial["id"])) for trial in trials]
    assert sorted(epochs) == sorted(runs.values())
    assert (max(epochs), min(epochs)) == (6, 2)
    for trial, last in zip(trials, epochs, strict=True):
        assert reported(tmp_path, trial["id"]) == list(range(1, last + 1))
        value = trial["config"]["goodness"] * (1 - 0.5**last)
        assert (trial["metrics"]["epoch"], trial["metrics"]["mAP50"]) == (last, pytest.approx(value))
        assert torch.load(Path(trial["checkpoint"], "weights", "last.pt"), weights_only=False)["epoch"] in (
            last - 1,
            -1,
        )


@pytest.mark.parametrize("api", ["", "-function"])
def test_a_killed_trial_decides_as_if_it_had_not_been_killed(api, tmp_path, scenes):
    found = {}
    for kind in ("whole", "killed"):
        folder = tmp_path / kind
        folder.mkdir()
        (trial,) = search(folder, scenes, kind + api)
        assert trial["error"] == ""
        assert reported(folder, trial["id"]) == [1, 2, 3, 4, 5]
        (run,) = (folder / "runs").iterdir()
        rows = [json.loads(line) for line in (run / "callbacks.jsonl").read_text().splitlines()]
        decided = ("epoch", "best/mAP50", "lr/scale", "early_stopping/wait", "lr/pg0", "mAP50")
        found[kind] = {
            "outcomes": [row["outcome"].replace(str(run), "") for row in summary_of(run)["callbacks"]],
            "status": summary_of(run)["status"],
            "rows": [{key: row[key] for key in decided if key in row} for row in rows],
            "epochs": [row["epoch"] for row in results_csv(run)],
            "files": sorted(path.name for path in (run / "weights").iterdir()),
            "kept": [path.read_text() for path in sorted((run / "weights").glob("*.json"))],
        }
    assert (tmp_path / "killed" / "killed").exists()
    assert found["killed"] == found["whole"]
    assert "stopped at epoch 5, mAP50: no improvement in 2 checks (best 0.81 at epoch 3)" in found["whole"]["outcomes"]


def test_a_trial_takes_over_another_one(tmp_path, scenes):
    """The worse one goes on with weights and state of the better one, with a folder and a rate of its own."""
    trials = search(tmp_path, scenes, "population")
    assert [trial["error"] for trial in trials] == ["", ""]
    worse = trials[1]["id"]
    assert reported(tmp_path, worse) == [1, 2, 3, 4, 5, 6]
    check_trial(tmp_path / "runs" / worse, 2)
    clone = tmp_path / "runs" / f"{worse}-2"
    arguments = yaml.safe_load((clone / "args.yaml").read_text())
    assert arguments["lr0"] in (0.02, 0.04, 0.08)
    assert [row["metrics/mAP50(B)"] for row in results_csv(clone)][:2] == [0.45, 0.675]  # those of the better one
    assert summary_of(clone)["status"] in ("finished", "pruned")  # it may be taken over again


def test_the_search_of_ultralytics(tmp_path, scenes):
    file = tmp_path / "callbacks.yaml"
    file.write_text("callbacks:\n  - SaveBest: {monitor: mAP50}\n  - RayTuneReporter\n  - JsonlLogger\n")
    trials = search(tmp_path, scenes, "ultralytics", YOLO_CALLBACKS=str(file))
    runs = sorted(path.parent for path in tmp_path.glob("runs/*/callbacks.json"))
    assert len(trials) == len(runs) == 3
    for trial in trials:
        assert trial["error"] == ""
        run = tmp_path / "runs" / f"tune_{trial['id'].split('_')[-1]}"
        last = trial["metrics"]["epoch"]
        assert trial["metrics"]["training_iteration"] == last  # each epoch once
        check_trial(run, last, planned=3)
        assert "train/box_loss" in trial["metrics"]
        assert Path(trial["checkpoint"], "weights", "last.pt").is_file()
