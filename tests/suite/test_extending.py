"""Runs that are over and are trained for more epochs."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from trainings import TINY, interrupted, results_csv
from ultralytics import YOLO
from wandb_runs import read_runs

from yolo_callbacks import EarlyStopping, JsonlLogger, ReduceLROnPlateau, SaveBest, WandbLogger, attach, extend
from yolo_callbacks.cli.command import main
from yolo_callbacks.state.state_file import STATE_FILE
from yolo_callbacks.suite.extending import prepare_extension
from yolo_callbacks.trainer.installation import installed_version

pytestmark = pytest.mark.training

VALUES = [0.1, 0.5, 0.4, 0.3, 0.6, 0.2, 0.7, 0.1]


def rates(folder: Path) -> list[float]:
    return [row["lr/pg0"] for row in results_csv(folder)]


def state(folder: Path) -> dict:
    return json.loads((folder / STATE_FILE).read_text())


def checkpoint(path: Path) -> dict:
    return torch.load(path, map_location="cpu", weights_only=False)


@pytest.mark.parametrize(
    ("cos_lr", "lr"),
    [
        (False, "stretch"),
        pytest.param(False, "hold", marks=pytest.mark.slow),
        pytest.param(True, "stretch", marks=pytest.mark.slow),
        pytest.param(True, "hold", marks=pytest.mark.slow),
    ],
)
def test_four_epochs_and_four_more_decide_as_eight(train, scripted, lr, cos_lr):
    def callbacks():
        plateau = ReduceLROnPlateau("mAP50", factor=0.5, patience=1)
        return SaveBest("mAP50", top_k=2), plateau, JsonlLogger(), EarlyStopping("mAP50", patience=4)

    options = {"optimizer": "SGD", "lr0": 0.01, "warmup_epochs": 0, "cos_lr": cos_lr, "close_mosaic": 0}
    scripted(VALUES)
    model = YOLO(TINY)
    attach(model, *callbacks())
    whole = train(model, epochs=8, name="whole", **options)
    scripted(VALUES[:4])
    model = YOLO(TINY)
    attach(model, *callbacks(), keep_resumable=True)
    half = train(model, epochs=4, name="half", **options)
    assert checkpoint(half / "weights" / "last.pt")["optimizer"] is not None
    before = rates(half)
    scripted(VALUES[4:])
    extend(half, *callbacks(), epochs=8, lr=lr)

    assert [row["epoch"] for row in results_csv(half)] == list(range(1, 9))
    assert rates(half)[:4] == before
    # after the fourth epoch the plateau callback has halved the rate; results.csv rounds
    expected = rates(whole)[4:] if lr == "stretch" else [before[3] * 0.5] * 4
    assert rates(half)[4:] == pytest.approx(expected, rel=1e-5)
    for folder in (whole, half):
        assert sorted(path.name for path in (folder / "weights").glob("best-*.pt")) == [
            "best-mAP50-epoch005.pt", "best-mAP50-epoch007.pt",
        ]  # fmt: skip
        logged = [json.loads(line).get("epoch") for line in (folder / "callbacks.jsonl").read_text().splitlines()]
        assert logged == [*range(1, 9), None]
    outcomes = [[row["outcome"] for row in state(folder)["summary"]["callbacks"][1:3]] for folder in (whole, half)]
    assert [text.replace(str(half), str(whole)) for text in outcomes[1]] == outcomes[0]
    assert checkpoint(half / "weights" / "last.pt")["optimizer"] is None


def test_a_held_rate_stays_through_a_kill_and_another_extension(train, scripted):
    scripted(VALUES[:3])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"), keep_resumable=True)
    folder = train(model, epochs=3, optimizer="SGD", lr0=0.01, warmup_epochs=0)
    held = rates(folder)[-1]
    scripted(VALUES)
    model = YOLO(prepare_extension(folder, epochs=5))
    attach(model, SaveBest("mAP50"))
    interrupted(lambda model, **arguments: model.train(resume=True), model, 4)
    model = YOLO(folder / "weights" / "last.pt")
    attach(model, SaveBest("mAP50"), keep_resumable=True)
    model.train(resume=True)
    assert rates(folder)[3:] == pytest.approx([held] * 2)
    extend(folder, SaveBest("mAP50"), epochs=7)
    assert rates(folder)[3:] == pytest.approx([held] * 4)


def test_a_run_that_patience_ended_gets_patience_again(train, scripted):
    scripted([0.5, 0.4, 0.3, 0.2])
    model, stopping = YOLO(TINY), EarlyStopping("mAP50", patience=2)
    attach(model, stopping, keep_resumable=True)
    folder = train(model, epochs=10)
    assert stopping.stopped_epoch == 3
    scripted([0.1] * 8)
    again = EarlyStopping("mAP50", patience=2)
    extend(folder, again, epochs=12)
    assert again.stopped_epoch == 5
    assert (again.best_epoch, again.best_score) == (1, 0.5)


@pytest.mark.skipif(installed_version() < (8, 4, 190), reason="Ultralytics' stopper forgets its count on resume")
def test_ultralytics_own_stopper_gets_patience_again(train, scripted):
    scripted([0.5, 0.4, 0.3])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"), keep_resumable=True)
    folder = train(model, epochs=10, patience=2)
    assert len(results_csv(folder)) == 3
    scripted([0.1] * 8)
    extend(folder, SaveBest("mAP50"), epochs=10)
    assert len(results_csv(folder)) == 5


def test_a_run_is_extended_from_the_latest_checkpoint_that_has_its_optimizer(train, scripted):
    scripted(VALUES[:4])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50", top_k=2, keep_optimizer=True), EarlyStopping("mAP50", patience=6))
    folder = train(model, epochs=4)
    assert checkpoint(folder / "weights" / "last.pt")["optimizer"] is None
    scripted(VALUES[3:])
    stopping = EarlyStopping("mAP50", patience=6)
    extend(folder, SaveBest("mAP50", top_k=2, keep_optimizer=True), stopping, epochs=5)
    assert state(folder)["epoch"] == 5
    assert stopping.best_epoch == 5
    assert [row["epoch"] for row in results_csv(folder)][-2:] == [4, 5]  # epochs 4 and 5, after epoch 3


def test_an_extended_run_has_one_wandb_run(train, scripted, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    scripted(VALUES[:2])
    model = YOLO(TINY)
    attach(model, WandbLogger(images=0, log_model=False), keep_resumable=True)
    folder = train(model, epochs=2)
    scripted(VALUES[2:4])
    extend(folder, WandbLogger(images=0, log_model=False), epochs=4)
    runs = read_runs(folder / "wandb")
    assert len({run.id for run in runs}) == 1
    assert sorted(row["epoch"] for run in runs for row in run.rows if "epoch" in row) == [1, 2, 3, 4]
    finals = [row for run in runs for row in run.rows if any(key.startswith("final/") for key in row)]
    assert len(finals) == 2  # one for each end


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"epochs": 2}, ValueError, "epochs must be more than the 2 that .* has, received 2"),
        ({"epochs": 0}, ValueError, "epochs"),
        ({"epochs": "4"}, TypeError, "epochs"),
        ({"epochs": 4, "lr": "keep"}, ValueError, "lr must be 'hold' or 'stretch'"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(train, scripted, given, error, message):
    scripted(VALUES)
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"), keep_resumable=True)
    folder = train(model, epochs=2)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(error, match=message):
        extend(folder, SaveBest("mAP50"), **given)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_stripped_run_and_no_run_are_refused(train, scripted, tmp_path):
    scripted(VALUES)
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"))
    folder = train(model, epochs=1)
    with pytest.raises(ValueError, match=r"cannot be extended: none .* keep_resumable=True"):
        extend(folder, epochs=4)
    with pytest.raises(ValueError, match=r"there is no folder '.*nowhere': give the folder of a run"):
        extend(tmp_path / "nowhere", epochs=4)


def test_the_command_refuses_in_one_line(train, scripted, capsys):
    scripted(VALUES)
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"), keep_resumable=True)
    folder = train(model, epochs=2)
    for wrong in ([], ["epochs=two"], ["epochs=2"], ["epochs=4", "lr=no"]):
        capsys.readouterr()
        assert main(["extend", str(folder), *wrong]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_the_command_asks_for_the_callbacks_of_the_run(train, scripted, capsys, monkeypatch):
    monkeypatch.delenv("YOLO_CALLBACKS", raising=False)
    scripted(VALUES)
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"), JsonlLogger(), EarlyStopping(), keep_resumable=True)
    folder = train(model, epochs=2)
    capsys.readouterr()
    assert main(["extend", str(folder), "epochs=4"]) == 2
    assert capsys.readouterr().err == (
        "yolo-callbacks extend: the run has SaveBest(best-mAP50): give its callbacks with callbacks=FILE, or "
        "callbacks=default for the default ones\n"
    )


@pytest.mark.slow
def test_the_command_extends(train, scripted, tmp_path):
    scripted(VALUES)
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"), keep_resumable=True)
    folder = train(model, epochs=2)

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-c", "import sys; from yolo_callbacks.cli.command import main; sys.exit(main())"]
        return subprocess.run([*line, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path)

    resumed = command("train", "callbacks=SaveBest", "resume=True", f"model={folder / 'weights' / 'last.pt'}")
    assert resumed.returncode == 2
    assert f"yolo-callbacks extend {folder}" in resumed.stderr
    assert "Traceback" not in resumed.stderr
    done = command("extend", str(folder), "epochs=3", "callbacks=SaveBest", "plots=False")
    assert done.returncode == 0, done.stderr
    assert len(results_csv(folder)) == 3
    assert state(folder)["summary"]["status"] == "finished"
    assert not math.isnan(results_csv(folder)[-1]["lr/pg0"])
