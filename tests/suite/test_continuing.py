"""resume_or_train: a run that starts, goes on in its folder or from a mirror elsewhere, or is over."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from faulty_store import FaultyFileSystem
from trainings import FAST, TINY, detection_metrics, results_csv
from ultralytics import YOLO
from ultralytics.engine.validator import BaseValidator

from yolo_callbacks import (
    EarlyStopping,
    JsonlLogger,
    Mirror,
    ReduceLROnPlateau,
    SaveBest,
    WandbLogger,
    attach,
    detach,
    resume_or_train,
)
from yolo_callbacks.callbacks.mirror_parts import uploader
from yolo_callbacks.state.mirror_store import MirrorStore
from yolo_callbacks.suite import continuing

pytestmark = pytest.mark.training

MAIN = (0.1, 0.5, 0.4, 0.6, 0.3, 0.3, 0.2, 0.9)
STOP = 7  # by patience=3


@pytest.fixture(autouse=True)
def by_epoch(monkeypatch):
    """Script the validation by the number of the epoch, so that each training is fed the same values."""

    def validate(self, trainer=None, model=None):
        self.training = trainer is not None
        self.run_callbacks("on_val_start")
        metrics = detection_metrics(MAIN[trainer.epoch] if trainer else 0.6)
        self.run_callbacks("on_val_end")
        kept = {key: value for key, value in metrics.items() if self.training or key.startswith("metrics/")}
        return {"fitness": metrics["metrics/mAP50-95(B)"], **kept}

    monkeypatch.setattr(BaseValidator, "__call__", validate)
    monkeypatch.setattr(continuing, "_DELAYS", (0.0,))
    monkeypatch.setattr(uploader, "DELAYS", (0.0,))


@pytest.fixture
def go_on(scenes):
    """Call `resume_or_train` as a script on a machine does, which `after` an epoch is killed by an exception."""

    def call(project, *others, after=0, mirror=None, attached=True, **arguments):
        model = YOLO(TINY, task="detect")
        callbacks = (
            SaveBest("mAP50", top_k=2),
            EarlyStopping("mAP50-95", patience=3),
            ReduceLROnPlateau("val/box_loss", factor=0.5, patience=0),
            JsonlLogger(),
            *others,
        )
        if attached:
            attach(model, *callbacks, strict=True)

        def interrupt(trainer):
            if trainer.epoch + 1 == after and trainer.validator.training:
                raise KeyboardInterrupt

        model.add_callback("on_fit_epoch_end", interrupt)
        place = arguments if "save_dir" in arguments else {"project": str(project), "name": "run", **arguments}
        given = {**FAST, "data": str(scenes), "epochs": 8, **place}
        try:
            resume_or_train(model, mirror, **given)
        except KeyboardInterrupt:
            assert after
        return model

    return call


def left_by(folder):
    """What a run leaves that depends neither on the time nor on the folder."""
    state = json.loads((folder / "callbacks.json").read_text())
    lines = [json.loads(line) for line in (folder / "callbacks.jsonl").read_text().splitlines()]
    return {
        "epoch": (state["epoch"], state["summary"]["status"]),
        "states": {key: value for key, value in state["callbacks"].items() if key not in ("Mirror", "WandbLogger")},
        "files": sorted(path.name for path in (folder / "weights").iterdir()),
        "rates": [[row[key] for key in row if key == "epoch" or key.startswith("lr/")] for row in results_csv(folder)],
        "rows": [{key: value for key, value in line.items() if not key.startswith("train/")} for line in lines],
    }


@pytest.fixture
def whole(go_on, tmp_path):
    go_on(tmp_path / "whole")
    left = left_by(tmp_path / "whole" / "run")
    assert left["epoch"] == (STOP, "finished")
    return left


def test_a_run_is_started_and_continued_in_its_folder_and_then_is_over(go_on, tmp_path, messages, whole):
    for after in (2, 4):
        go_on(tmp_path, after=after)
        step = json.loads((tmp_path / "run" / "callbacks.json").read_text())["summary"]["next_step"]
        assert step == "call resume_or_train again with the same callbacks and arguments"
    go_on(tmp_path)
    assert left_by(tmp_path / "run") == whole
    messages.clear()
    model = go_on(tmp_path)
    assert [type(callback).__name__ for callback in detach(model).callbacks][-1] == "JsonlLogger"
    assert left_by(tmp_path / "run") == whole
    assert model.trainer is None  # nothing was trained
    assert Path(model.ckpt_path) == tmp_path / "run" / "weights" / "best.pt"
    assert f"Callbacks: the run in {tmp_path / 'run'} is over, there is nothing to train" in messages
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "whole"]


def test_a_run_goes_on_elsewhere_as_an_uninterrupted_one(go_on, tmp_path, memory, messages, whole):
    wandb = {"images": 0, "log_model": False, "mode": "offline", "batch_period": 0}
    here = go_on(tmp_path / "here", Mirror(memory), WandbLogger(**wandb), after=4)
    shutil.move(tmp_path / "here", tmp_path / "lost")
    assert here.trainer.epoch + 1 == 4
    go_on(tmp_path / "there", Mirror(memory), WandbLogger(**wandb))
    assert not (tmp_path / "here").exists()
    there = tmp_path / "there" / "run"
    assert f"Callbacks: the run in {there} goes on after epoch 4, copied from {memory}" in messages
    assert left_by(there) == whole
    states = [json.loads((tmp_path / name / "run" / "callbacks.json").read_text()) for name in ("lost", "there")]
    runs = [next(state["callbacks"][key]["run_id"] for key in state["callbacks"] if "Wandb" in key) for state in states]
    assert runs[0] == runs[1] is not None
    found = list(MirrorStore(memory, {}).copies())
    assert (found[0].epoch, found[0].finished) == (STOP, True)
    assert len({copy.key for copy in found}) == 1
    # And on a third machine there is nothing to train.
    third = go_on(tmp_path / "third", Mirror(memory))
    assert third.trainer is None
    over = f"Callbacks: the run in {tmp_path / 'third' / 'run'} is over, there is nothing to train"
    assert f"{over}, copied from {memory}" in messages
    assert (tmp_path / "third" / "run" / "weights" / "best.pt").is_file()
    assert left_by(tmp_path / "third" / "run") == whole
    assert go_on(tmp_path / "third").trainer is None
    last = torch.load(tmp_path / "third" / "run" / "weights" / "last.pt", weights_only=False)
    assert last["optimizer"] is None


def test_the_later_of_folder_and_mirror_goes_on(go_on, tmp_path, memory, whole):
    go_on(tmp_path / "here", Mirror(memory), after=2)
    shutil.copytree(tmp_path / "here", tmp_path / "old")
    go_on(tmp_path / "here", Mirror(memory), after=4)
    go_on(tmp_path / "old", Mirror(memory))  # its folder has 2 epochs, the mirror 4
    assert left_by(tmp_path / "old" / "run") == whole


def test_a_folder_that_is_later_than_the_mirror_goes_on(go_on, tmp_path, memory, messages, whole):
    go_on(tmp_path, Mirror(memory), after=2)
    go_on(tmp_path, Mirror(memory, every=100), after=3)
    first = [message for message in messages if "goes on after epoch" in message]
    assert first == [f"Callbacks: the run in {tmp_path / 'run'} goes on after epoch 2"]
    go_on(tmp_path, Mirror(memory))
    assert left_by(tmp_path / "run") == whole


def test_a_mirror_is_attached_where_the_model_has_none(go_on, tmp_path, memory):
    model = go_on(tmp_path / "here", mirror=memory, after=2)
    assert [type(callback).__name__ for callback in detach(model).callbacks][-1] == "Mirror"
    assert next(MirrorStore(memory, {}).copies()).epoch == 2
    alone = go_on(tmp_path / "there", mirror=memory, attached=False, after=3)
    assert [type(callback).__name__ for callback in detach(alone).callbacks] == ["Mirror"]
    assert next(MirrorStore(memory, {}).copies()).epoch == 3


def test_another_run_in_the_mirror_does_not_replace_the_one_in_the_folder(go_on, tmp_path, memory, messages):
    go_on(tmp_path / "other", Mirror(memory), after=4)
    go_on(tmp_path / "here", after=1)
    go_on(tmp_path / "here", Mirror(memory), after=2)
    assert [message for message in messages if f"{memory} holds another run than" in message]
    assert [row["epoch"] for row in results_csv(tmp_path / "here" / "run")] == [1, 2]


def test_a_damaged_copy_gives_way_to_the_one_before(go_on, tmp_path, messages):
    url = f"file://{tmp_path}/store"
    go_on(tmp_path / "here", Mirror(url), after=2)
    newest, older = MirrorStore(url, {}).copies()
    last = next(path for path in (tmp_path / "store").rglob("*-last.pt"))
    name = next(name for name in newest.stored_names() - older.stored_names())
    changed = next((tmp_path / "store").rglob(name))
    changed.write_bytes(b"x" * changed.stat().st_size)
    assert last.is_file()
    go_on(tmp_path / "there", Mirror(url), after=3)
    assert [message for message in messages if "the copy of epoch 2 in" in message and "is not whole" in message]
    assert [row["epoch"] for row in results_csv(tmp_path / "there" / "run")] == [1, 2, 3]


def test_a_mirror_that_is_away_at_the_start(go_on, tmp_path, messages, monkeypatch):
    def away(step):
        raise ConnectionError("away")

    monkeypatch.setattr(FaultyFileSystem, "at_step", staticmethod(away))
    go_on(tmp_path, mirror=f"faulty://{tmp_path}/store", after=1)
    said = [message for message in messages if "cannot be read (ConnectionError: away)" in message]
    assert len(said) == 1
    assert [row["epoch"] for row in results_csv(tmp_path / "run")] == [1]


def test_a_mirror_that_fails_once_is_read_again(go_on, tmp_path, monkeypatch):
    url = f"faulty://{tmp_path}/store"
    go_on(tmp_path / "here", Mirror(url), after=2)
    failures = iter([OSError("a step fails")])

    def once(step):
        if step == "get last.pt":
            for failure in failures:
                raise failure

    monkeypatch.setattr(FaultyFileSystem, "at_step", staticmethod(once))
    go_on(tmp_path / "there", Mirror(url), after=3)
    assert next(failures, None) is None
    assert [row["epoch"] for row in results_csv(tmp_path / "there" / "run")] == [1, 2, 3]


def test_a_damaged_last_checkpoint_is_set_aside(go_on, tmp_path, messages):
    go_on(tmp_path, after=2)
    last = tmp_path / "run" / "weights" / "last.pt"
    last.write_bytes(b"damaged")
    go_on(tmp_path, after=1)
    assert (last.parent / "last.pt.corrupt").read_bytes() == b"damaged"
    assert [message for message in messages if "last.pt cannot be read" in message]
    assert [row["epoch"] for row in results_csv(tmp_path / "run")] == [1]


def test_save_dir_names_a_run_too(go_on, tmp_path):
    for after in (1, 2):
        go_on(tmp_path, after=after, save_dir=str(tmp_path / "place"))
    assert [row["epoch"] for row in results_csv(tmp_path / "place")] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "resume_or_train needs to know which run is meant: give name=, project= or save_dir="),
        ({"name": "run", "resume": True}, ValueError, "leave out resume="),
        ({"name": "run", "mirror": 3}, TypeError, "mirror must be a URL or a Mirror, received int"),
        ({"name": "run", "mirror": "s3:/a"}, ValueError, "url must begin with 's3://'"),
        ({"name": "run", "mirror": "nope://a"}, ValueError, "Protocol not known: nope"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        resume_or_train(YOLO(TINY, task="detect"), **arguments)
