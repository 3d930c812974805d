"""SaveBest on real trainings: which epochs are saved, and what the files hold."""

from __future__ import annotations

import json

import pytest
from recorder import Recorder, load
from trainings import TINY, detection_metrics, results_csv
from ultralytics import YOLO

from yolo_callbacks import EarlyStopping, SaveBest, attach

pytestmark = pytest.mark.training
MAP = "metrics/mAP50-95(B)"


def test_the_right_epochs_are_saved_and_load(train, scenes):
    model = YOLO(TINY)
    by_loss = SaveBest("val/box_loss", skip_untrained=False)
    three = SaveBest("val/loss", top_k=3, skip_untrained=False)
    folder = train(model, epochs=5) if attach(model, by_loss, three) else None
    rows = results_csv(folder)
    best = min(rows, key=lambda row: row["val/box_loss"])
    assert by_loss.best_epoch == best["epoch"]
    assert by_loss.best_model_path == folder / "weights" / "best-val-box_loss.pt"
    sidecar = json.loads((folder / "weights" / "best-val-box_loss.json").read_text())
    assert sidecar["value"] == by_loss.best_score == best["val/box_loss"]
    assert (sidecar["epoch"], sidecar["monitor"], sidecar["mode"]) == (by_loss.best_epoch, "val/box_loss", "min")
    assert {key: sidecar["metrics"][key] for key in best if key in sidecar["metrics"]} == pytest.approx(
        {key: value for key, value in best.items() if key not in ("epoch", "time")}, rel=1e-5
    )
    assert set(sidecar["per_class"]["mAP50(B)"]) == {"zero", "one", "two"}

    sums = {int(row["epoch"]): row["val/box_loss"] + row["val/cls_loss"] + row["val/dfl_loss"] for row in rows}
    expected = sorted(sums, key=lambda epoch: sums[epoch])[:3]
    assert list(three.best_k_models) == [folder / f"weights/best-val-loss-epoch{epoch:03d}.pt" for epoch in expected]
    assert list(three.best_k_models.values()) == pytest.approx([sums[epoch] for epoch in expected])
    files = {path.name for path in (folder / "weights").glob("best-val-loss*")}
    assert files == {f"best-val-loss-epoch{epoch:03d}.{kind}" for epoch in expected for kind in ("pt", "json")}

    checkpoint = load(by_loss.best_model_path)
    assert checkpoint["optimizer"] is None
    assert checkpoint["train_metrics"]["val/box_loss"] == by_loss.best_score
    image = next((scenes.parent / "images" / "val").iterdir())
    assert len(YOLO(by_loss.best_model_path).predict(image, imgsz=32, verbose=False)) == 1


def test_a_class_a_best_of_its_own_and_no_value_where_it_is_absent(train, two_of_three, messages):
    model = YOLO(TINY)
    recorder, absent = Recorder(), EarlyStopping("mAP50/two", patience=1, skip_untrained=False)
    present = EarlyStopping("mAP50/one", patience=9, skip_untrained=False)
    attach(model, recorder, absent, present)
    train(model, data=str(two_of_three), epochs=3)
    assert [set(record.per_class["mAP50(B)"]) for record in recorder.records] == [{0, 1}] * 4
    assert (absent.best_epoch, absent.wait_count, absent.stopped_epoch) == (0, 0, 0)
    assert present.best_epoch > 0
    reason = "the validation set has no object of class 'two'"
    assert any(f"not stopped, mAP50 of class two: no check in 3 epochs: {reason}" in message for message in messages)
    said = f"EarlyStopping: epoch 1 is no check for 'mAP50/two': {reason}"
    assert [message for message in messages if "is no check" in message] == [said]


def test_ties_keep_the_earlier_epoch_and_nan_never_improves(train, scripted):
    scripted([0.2, 0.4, 0.4, detection_metrics(float("nan"), fitness=0.1), 0.3])
    model, saved = YOLO(TINY), SaveBest("mAP50", keep_optimizer=True)
    stopping = EarlyStopping("mAP50", patience=9, check_finite=False)
    attach(model, saved, stopping)
    folder = train(model, epochs=5)
    assert (saved.best_epoch, saved.best_score, stopping.best_epoch) == (2, 0.4, 2)
    checkpoint = load(folder / "weights" / "best-mAP50.pt")
    assert checkpoint["epoch"] == 1
    assert checkpoint["optimizer"] is not None


def test_save_false_serialises_on_improvement_only_and_leaves_ultralytics_files_alone(train, scripted, monkeypatch):
    from ultralytics.engine.trainer import BaseTrainer

    written: list[int] = []
    save_model = BaseTrainer.save_model

    def counting(self):
        written.append(self.epoch + 1)
        return save_model(self)

    monkeypatch.setattr(BaseTrainer, "save_model", counting)
    scripted([0.1, 0.3, 0.2, 0.3, 0.4, 0.1, 0.1])
    model, saved, other = YOLO(TINY), SaveBest("mAP50"), SaveBest("recall")
    own: list[set[str]] = []
    model.add_callback(
        "on_train_epoch_start", lambda trainer: own.append({path.name for path in trainer.wdir.glob("*.pt")})
    )
    attach(model, saved, other, EarlyStopping(patience=1, start_epoch=5))
    folder = train(model, epochs=9, save=False, save_period=1)
    # the last one is that of the stop: without any checkpoint Model.train raises after the training
    assert written == [1, 2, 5, 7]
    ours = {"best-mAP50.pt", "best-recall.pt"}
    assert own[0] == set()
    assert all(names == ours for names in own[1:])
    assert saved.best_epoch == other.best_epoch == 5
    assert {path.name for path in (folder / "weights").glob("best-*.pt")} == {"best-mAP50.pt", "best-recall.pt"}
    assert load(folder / "weights" / "best-mAP50.pt")["train_metrics"][MAP] == 0.4


def test_a_stop_with_save_false_leaves_a_checkpoint(train, scripted):
    scripted([0.3, 0.2, 0.1])
    model = YOLO(TINY)
    attach(model, EarlyStopping(patience=1))
    folder = train(model, epochs=9, save=False)
    assert len(results_csv(folder)) == 2
    assert (folder / "weights" / "last.pt").is_file()
