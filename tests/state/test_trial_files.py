"""What a checkpoint of Ray Tune holds, and what the folder of a run is after it was restored."""

from __future__ import annotations

import json
import math

import pytest

from yolo_callbacks.state.trial_files import Origin, copy_from_trial, copy_to_trial, forget_logged_runs, read_origin

ORIGIN = Origin(trial="a_0", epoch=3, folder="/runs/a_0")


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def run(tmp_path):
    """The folder of a run after epoch 3."""
    folder = tmp_path / "run"
    kept = {"weights/last.pt": "last 3", "weights/best.pt": "best", "weights/best-mAP50.json": "{}"}
    rows = {"results.csv": "1\n2\n3\n", "callbacks.jsonl": "{}\n", "args.yaml": "lr0: 1"}
    state = {"callbacks.json": '{"epoch": 3}', "callbacks.journal.jsonl": "{}\n"}
    left_out = {"labels.jpg": "x", "wandb/run.json": "x", "weights/epoch2.pt": "x", "weights/.last.pt.1f.tmp": "x"}
    write(folder, {**kept, **rows, **state, **left_out})
    return folder


def test_a_checkpoint_has_what_a_resume_needs(run, tmp_path):
    target = tmp_path / "checkpoint"
    target.mkdir()
    copy_to_trial(run, target, ORIGIN)
    found = content(target)
    assert sorted(found) == [
        "args.yaml",
        "callbacks.journal.jsonl",
        "callbacks.json",
        "callbacks.jsonl",
        "results.csv",
        "trial.json",
        "weights/best-mAP50.json",
        "weights/best.pt",
        "weights/last.pt",
    ]
    assert found["weights/last.pt"] == "last 3"
    assert read_origin(target) == ORIGIN


def test_a_restored_folder_has_nothing_of_later_epochs(run, tmp_path):
    target, outside = tmp_path / "checkpoint", tmp_path / "outside.json"
    target.mkdir()
    copy_to_trial(run, target, ORIGIN)
    listed = ["weights/best-mAP50.json", "weights/best-epoch004.pt", "../outside.json", "gone.pt"]
    state = json.dumps({"epoch": 4, "files": listed})
    later = {"weights/last.pt": "last 4", "results.csv": "1\n2\n3\n4\n", "callbacks.json": state}
    (run / "weights" / "last.pt").unlink()  # a checkpoint is replaced, not written in place
    write(run, {**later, "weights/best-epoch004.pt": "x", "weights/mine.pt": "x"})
    outside.write_text("{}")
    copy_from_trial(target, run)
    found = content(run)
    assert (found["weights/last.pt"], found["results.csv"]) == ("last 3", "1\n2\n3\n")
    assert found["callbacks.json"] == '{"epoch": 3}'
    assert "weights/best-epoch004.pt" not in found
    assert {"weights/mine.pt", "weights/best-mAP50.json", "labels.jpg"} <= found.keys()
    assert "trial.json" not in found
    assert outside.exists()


@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"trial": "a", "epoch": 0, "folder": "/"}'])
def test_a_checkpoint_whose_origin_is_wrong(text, tmp_path, messages):
    (tmp_path / "trial.json").write_text(text)
    assert read_origin(tmp_path) is None
    assert "the trial starts afresh" in messages[-1]


def test_a_checkpoint_of_somebody_else(tmp_path, messages):
    assert read_origin(tmp_path) is None
    assert messages == []


def test_another_trial_has_a_run_of_its_own_in_wandb(tmp_path):
    states = {"WandbLogger": {"run_id": "abc", "folders": ["wandb/a"], "logged_epoch": 2}, "SaveBest(mAP50)": {"x": 1}}
    entry = {"epoch": 2, "states": states, "record": {"metrics": {"a": math.nan}}}
    (tmp_path / "callbacks.json").write_text(json.dumps({"epoch": 2, "callbacks": states}))
    (tmp_path / "callbacks.journal.jsonl").write_text(f"{json.dumps(entry)}\nnot JSON\n")
    forget_logged_runs(tmp_path)
    forgotten = {**states, "WandbLogger": {"run_id": None, "folders": [], "logged_epoch": 2}}
    assert json.loads((tmp_path / "callbacks.json").read_text()) == {"epoch": 2, "callbacks": forgotten}
    first, second = (tmp_path / "callbacks.journal.jsonl").read_text().splitlines()
    found = json.loads(first)
    assert math.isnan(found["record"]["metrics"]["a"])
    assert {**found, "record": None} == {**entry, "states": forgotten, "record": None}
    assert second == "not JSON"


def test_a_run_without_state(tmp_path):
    forget_logged_runs(tmp_path)
    assert content(tmp_path) == {}
