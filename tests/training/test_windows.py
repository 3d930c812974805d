"""The rules of Windows, simulated: no hard links, a file that is open cannot be replaced or removed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trainings import TINY, interrupted, results_csv
from ultralytics import YOLO

from yolo_callbacks import EarlyStopping, JsonlLogger, SaveBest, attach
from yolo_callbacks.trainer import linked_copies

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks up the open files of this process")


def is_open(path: str | Path) -> bool:
    """Whether this process has a file open, under any of its names."""
    try:
        wanted = Path(path).stat()
    except OSError:
        return False
    for number in Path("/proc/self/fd").iterdir():
        try:
            found = os.fstat(int(number.name))
        except OSError:
            continue
        if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
            return True
    return False


@pytest.fixture(params=[True, False], ids=["NTFS", "no hard links"])
def windows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The rules; gives the refusals."""
    refused: list[str] = []

    def guarded(original: Any) -> Any:
        def call(*paths: Any, **options: Any) -> Any:
            for path in paths:
                if isinstance(path, (str, Path)) and is_open(path):
                    refused.append(str(path))
                    raise PermissionError(13, "The process cannot access the file because it is being used", str(path))
            return original(*paths, **options)

        return call

    for name in ("replace", "rename", "unlink", "remove"):
        monkeypatch.setattr(os, name, guarded(getattr(os, name)))

    def no_link(*_: Any, **__: Any) -> None:
        raise OSError(1, "The volume does not support hard links")

    here = {**vars(os), "name": "nt", **({} if request.param else {"link": no_link})}
    monkeypatch.setattr(linked_copies, "os", SimpleNamespace(**here))
    return refused


def test_the_rules_hold(windows, tmp_path):
    file = tmp_path / "file"
    with file.open("w"):
        for action in (file.unlink, lambda: file.replace(tmp_path / "other")):
            with pytest.raises(PermissionError):
                action()
    file.unlink()
    assert len(windows) == 2


def test_a_training(windows, train, scripted, messages):
    """Everything is written and removed as elsewhere: none of our files is open where it is replaced."""
    scripted([0.1, 0.3, 0.2, 0.4, 0.4])
    model, saved, every = YOLO(TINY), SaveBest("mAP50", promote=True), SaveBest("recall", top_k=2)
    attach(model, saved, every, EarlyStopping("mAP50", patience=9), JsonlLogger(), strict=True)
    folder = train(model, epochs=4)
    assert windows == []
    assert [message for message in messages if "could not" in message] == []
    assert (saved.best_epoch, saved.best_score) == (4, 0.4)
    assert sorted(path.name for path in (folder / "weights").iterdir()) == sorted(
        ["last.pt", "best.pt", "best-mAP50.pt", "best-mAP50.json"]
        + [path.name for model in every.best_k_models for path in (model, model.with_suffix(".json"))]
    )
    assert torch.load(saved.best_model_path, weights_only=False)["train_metrics"]["metrics/mAP50(B)"] == 0.4
    assert len(results_csv(folder)) == 4
    assert json.loads((folder / "callbacks.json").read_text())["summary"]["status"] == "finished"


def test_a_checkpoint_that_somebody_has_open(windows, train, scripted, messages):
    """As a viewer or a virus scanner: the previous best stays, the training goes on, and the next best is saved."""
    scripted([0.1, 0.2, 0.3, 0.3])
    model, saved = YOLO(TINY), SaveBest("mAP50")
    attach(model, saved)
    held: list[Any] = []

    def hold(trainer: Any) -> None:
        if trainer.epoch == 1:
            held.append((trainer.wdir / "best-mAP50.pt").open("rb"))
        elif held:
            held.pop().close()

    model.add_callback("on_train_epoch_end", hold)
    train(model, epochs=3)
    assert [message for message in messages if "best-mAP50.pt could not be saved: " in message]
    assert (saved.best_epoch, list(saved.best_k_models.values())) == (3, [0.3])
    assert torch.load(saved.best_model_path, weights_only=False)["train_metrics"]["metrics/mAP50(B)"] == 0.3


def test_ultralytics_own_checkpoint_that_somebody_has_open(windows, train, scripted):
    """It is written in place, as without a suite."""
    scripted([0.1, 0.2, 0.3, 0.3])
    model, saved = YOLO(TINY), SaveBest("mAP50")
    attach(model, saved)
    held: list[Any] = []

    def hold(trainer: Any) -> None:
        if trainer.epoch == 1:
            held.append(Path(trainer.last).open("rb"))  # noqa: SIM115 (closed below)

    model.add_callback("on_train_epoch_end", hold)
    folder = train(model, epochs=3)
    held.pop().close()
    assert str(folder / "weights" / "last.pt") in windows
    assert torch.load(folder / "weights" / "last.pt", weights_only=False)["train_metrics"]["metrics/mAP50(B)"] == 0.3
    assert (saved.best_epoch, saved.best_score) == (3, 0.3)


def test_a_state_that_somebody_has_open(windows, train, scripted, messages):
    """One warning; the journal makes up for it where the run is resumed."""
    scripted([0.3, 0.2, 0.1, 0.1])
    model = YOLO(TINY)
    attach(model, EarlyStopping("mAP50", patience=3))
    held: list[Any] = []

    def hold(trainer: Any) -> None:
        if trainer.epoch == 1:
            held.append((Path(trainer.save_dir) / "callbacks.json").open("rb"))

    model.add_callback("on_train_epoch_end", hold)
    folder = interrupted(train, model, 2, epochs=6)
    held.pop().close()
    assert len([message for message in messages if "callbacks.json cannot be written" in message]) == 1
    scripted([0.1, 0.1, 0.1])
    model, stopping = YOLO(folder / "weights" / "last.pt"), EarlyStopping("mAP50", patience=3)
    attach(model, stopping)
    model.train(resume=True)
    assert (stopping.stopped_epoch, stopping.best_epoch) == (4, 1)
