"""Real trainings: what SaveBest and EarlyStopping leave behind, and the traps of Ultralytics' loop."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
import torch
import ultralytics
from trainings import FAST, TINY, detection_metrics, results_csv
from ultralytics import YOLO

from yolo_callbacks import Callback, EarlyStopping, SaveBest, StoppingReason, TrainingRun, attach

pytestmark = pytest.mark.training

ULTRALYTICS = tuple(int(part) for part in ultralytics.__version__.split(".")[:3])
MAP = "metrics/mAP50-95(B)"


class Recorder(Callback):
    """Keeps every record it sees."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def on_fit_epoch_end(self, trainer: Any) -> None:
        self.records.append(TrainingRun.of(trainer).record())

    @property
    def epochs(self) -> list[int]:
        return [record.epoch for record in self.records if not record.final]


def load(path: Path) -> dict[str, Any]:
    return torch.load(path, map_location="cpu", weights_only=False)


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
    assert any(f"not stopped, mAP50/two: no check in 3 epochs: {reason}" in message for message in messages)
    said = f"EarlyStopping: epoch 1 is no check for 'mAP50/two': {reason}"
    assert [message for message in messages if "is no check" in message] == [said]


@pytest.mark.smoke
def test_same_seed_same_metrics_with_and_without_the_suite(train):
    with_suite, without = YOLO("yolo11n.yaml"), YOLO("yolo11n.yaml")
    attach(with_suite, SaveBest(top_k=2), EarlyStopping(patience=50))
    rows = [results_csv(train(model, epochs=3, name=name)) for model, name in ((with_suite, "a"), (without, "b"))]
    for row in (*rows[0], *rows[1]):
        del row["time"]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("values", "patience", "stopped", "best"),
    [
        ([0.1, 0.2, 0.2, 0.2, 0.2, 0.2], 3, 5, 2),
        ([0.1, 0.2, 0.1, 0.3, 0.1, 0.1], 2, 6, 4),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 1, 0, 6),
        ([0.3, 0.2, 0.2, 0.2, 0.2, 0.2], 1, 2, 1),
    ],
)
def test_stops_at_the_right_epoch(train, scripted, values, patience, stopped, best):
    scripted(values)
    model, stopping, recorder = YOLO(TINY), EarlyStopping(patience=patience), Recorder()
    attach(model, recorder, stopping)
    folder = train(model, epochs=len(values), patience=0)
    assert len(results_csv(folder)) == (stopped or len(values))
    assert recorder.epochs == list(range(1, (stopped or len(values)) + 1))
    assert (stopping.stopped_epoch, stopping.best_epoch) == (stopped, best)
    reason = StoppingReason.PATIENCE_EXHAUSTED if stopped else StoppingReason.NOT_STOPPED
    assert stopping.stopping_reason is reason


def test_patience_none_is_the_patience_of_the_run(train, scripted):
    scripted([0.5] * 8)
    # the run's own stopper counts epochs from the best; ours, one check earlier or later, must not be what is seen
    model, ours = YOLO(TINY), EarlyStopping("mAP50")
    attach(model, ours)
    folder = train(model, epochs=8, patience=3)
    assert ours.stopped_epoch == len(results_csv(folder)) == 4


def test_run_without_patience_is_never_stopped_by_none(train, scripted):
    scripted([0.5] * 5)
    model, ours = YOLO(TINY), EarlyStopping()
    attach(model, ours)
    assert len(results_csv(train(model, epochs=5, patience=0))) == 5
    assert (ours.wait_count, ours.stopped_epoch) == (4, 0)


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


def test_a_value_that_is_not_finite_stops(train, scripted):
    scripted([0.2, detection_metrics(float("nan"), fitness=0.1), 0.3])
    model, stopping = YOLO(TINY), EarlyStopping("mAP50", patience=9)
    attach(model, stopping)
    train(model, epochs=3)
    assert (stopping.stopped_epoch, stopping.stopping_reason) == (2, StoppingReason.NON_FINITE)


@pytest.mark.parametrize("old_convention", [False, True])
def test_the_final_evaluation_is_no_epoch(train, scripted, old_convention):
    """Up to 8.4.51 the extra event carries the last epoch again, from 8.4.52 on one more."""
    scripted([0.1, 0.2, 0.9])
    model, recorder, saved, stopping = YOLO(TINY), Recorder(), SaveBest(top_k=9), EarlyStopping(patience=1)

    def last_epoch_again(trainer):
        if not trainer.validator.training:
            trainer.epoch = trainer.epochs - 1

    if old_convention:
        model.add_callback("on_fit_epoch_end", last_epoch_again)
    attach(model, recorder, saved, stopping)
    train(model, epochs=3)
    assert [(record.epoch, record.final) for record in recorder.records] == [
        (1, False),
        (2, False),
        (3, False),
        (3, True),
    ]
    final = recorder.records[-1].metrics
    assert final[MAP] == 0.9
    assert not any(key.startswith(("val/", "train/", "lr/")) for key in final)
    assert sorted(saved.best_k_models.values()) == [0.1, 0.2, 0.9]
    assert stopping.wait_count == 0


@pytest.mark.smoke
def test_epochs_without_validation_are_no_checks(train):
    model, recorder = YOLO(TINY), Recorder()
    needs_it, function = (
        EarlyStopping("mAP50", patience=1, skip_untrained=False),
        EarlyStopping(lambda metrics: metrics[MAP], "max", patience=1),
    )
    training_loss = EarlyStopping("train/box_loss", patience=9)
    attach(model, recorder, needs_it, function, training_loss, saved := SaveBest("mAP50", skip_untrained=False))
    folder = train(model, epochs=4, val=False)
    assert [record.validated for record in recorder.records] == [False, False, False, True, True]
    assert all(MAP not in record.metrics and "fitness" not in record.metrics for record in recorder.records[:3])
    assert (needs_it.best_epoch, needs_it.wait_count, function.best_epoch) == (4, 0, 4)
    assert training_loss.best_epoch > 0
    assert saved.best_k_models == {folder / "weights" / "best-mAP50.pt": results_csv(folder)[-1]["metrics/mAP50(B)"]}


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


@pytest.mark.skipif(ULTRALYTICS < (8, 3, 213), reason="recovers from NaN from 8.3.213 on")
def test_an_epoch_repeated_after_nan_is_one_epoch(train, scripted):
    scripted([0.3, 0.4, float("nan"), 0.2, 0.1, 0.1])
    model, recorder = YOLO(TINY), Recorder()
    stopping, saved = EarlyStopping(patience=2), SaveBest(top_k=9)
    passes: list[int] = []

    def poison(trainer):
        passes.append(trainer.epoch + 1)
        if passes == [1, 2, 3]:
            trainer.loss = torch.tensor(float("nan"))

    model.add_callback("on_train_epoch_end", poison)
    attach(model, recorder, saved, stopping)
    train(model, epochs=6)
    assert passes == [1, 2, 3, 3, 4]
    assert recorder.epochs == [1, 2, 3, 4]
    assert [record.metrics[MAP] for record in recorder.records[:4]] == [0.3, 0.4, 0.2, 0.1]
    assert (stopping.stopped_epoch, stopping.best_epoch) == (4, 2)
    assert sorted(saved.best_k_models.values()) == [0.1, 0.2, 0.3, 0.4]


def test_one_suite_for_two_runs(train, scripted):
    model, saved, stopping, recorder = YOLO(TINY), SaveBest(), EarlyStopping(patience=1), Recorder()
    suite = attach(model, saved, stopping, recorder)
    scripted([0.9, 0.8, 0.7])
    first = train(model, epochs=3, name="first")
    assert (saved.best_score, stopping.stopped_epoch) == (0.9, 2)
    scripted([0.1, 0.2])
    second = train(model, epochs=2, name="second")
    assert (saved.best_score, saved.best_epoch, stopping.stopped_epoch, stopping.wait_count) == (0.2, 2, 0, 0)
    assert saved.best_model_path == second / "weights" / "best-mAP50-95.pt"
    assert (first / "weights" / "best-mAP50-95.pt").is_file()
    assert [json.loads((folder / "callbacks.json").read_text())["epoch"] for folder in (first, second)] == [2, 2]
    assert suite.callbacks == (saved, stopping, recorder)


@pytest.mark.skipif(ULTRALYTICS < (8, 4, 140), reason="takes a list of data sets in a later version")
def test_a_list_of_data_sets(scenes, two_of_three, tmp_path):
    model, saved, recorder = YOLO(TINY), SaveBest("val/loss"), Recorder()
    attach(model, saved, recorder)
    model.train(**FAST, data=[str(scenes), str(two_of_three)], epochs=2, project=str(tmp_path))
    assert recorder.epochs == [1, 2, 1, 2]
    assert len(list(tmp_path.rglob("best-val-loss.pt"))) == 2
    assert len(list(tmp_path.rglob("callbacks.json"))) == 2


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda item: cloudpickle.loads(cloudpickle.dumps(item))])
def test_copied_callbacks_work(train, scripted, duplicate):
    """Ultralytics deep-copies default callbacks, and pickles those of a model for the workers of several GPUs."""
    scripted([0.2, 0.1, 0.1])
    model, original = YOLO(TINY), EarlyStopping(patience=1)
    attach(model, original, SaveBest(lambda metrics: metrics[MAP], "max"))
    model.callbacks = duplicate(model.callbacks)
    folder = train(model, epochs=3)
    assert len(results_csv(folder)) == 2
    assert (folder / "weights" / "best-custom.pt").is_file()
    assert original.stopped_epoch == 0


def test_plain_functions_work_alone(train, scripted):
    scripted([0.2, 0.3, 0.1, 0.1, 0.1])
    model, stopping, saved = YOLO(TINY), EarlyStopping(patience=2), SaveBest(top_k=2)
    model.add_callback("on_fit_epoch_end", saved.on_fit_epoch_end)
    model.add_callback("on_fit_epoch_end", stopping.on_fit_epoch_end)
    folder = train(model, epochs=5, name="first")
    assert (stopping.stopped_epoch, saved.best_epoch, len(results_csv(folder))) == (4, 2, 4)
    weights = {path.name for path in (folder / "weights").glob("best-*.pt")}
    assert weights == {"best-mAP50-95-epoch001.pt", "best-mAP50-95-epoch002.pt"}
    assert load(saved.best_model_path)["optimizer"] is None
    assert not (folder / "callbacks.json").exists()
    scripted([0.1, 0.2])
    train(model, epochs=2, name="second")
    assert (stopping.stopped_epoch, saved.best_score) == (0, 0.2)


def test_an_unknown_monitor_raises_before_the_first_epoch(train, tmp_path):
    model = YOLO(TINY)
    attach(model, EarlyStopping("mAP5O"))
    with pytest.raises(ValueError, match=r"'mAP5O' does not exist .* mean 'mAP50'\? Available: metrics/precision\(B\)"):
        train(model, epochs=1)
    assert not (tmp_path / "run" / "results.csv").exists()


@pytest.mark.smoke
def test_an_unknown_loss_raises_with_the_first_batch(train, tmp_path):
    model, batches = YOLO(TINY), []
    model.add_callback("on_train_batch_end", lambda trainer: batches.append(trainer.epoch))
    attach(model, SaveBest("val/box_los"))
    with pytest.raises(ValueError, match=r"'val/box_los' does not exist in this run. Did you mean 'val/box_loss'\?"):
        train(model, epochs=1)
    assert len(batches) <= 1
    assert not (tmp_path / "run" / "results.csv").exists()


def test_an_unknown_class_raises_before_the_first_epoch(train):
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50/thre", filename="three"))
    with pytest.raises(ValueError, match=r"no class 'thre'.* Classes: 0: zero, 1: one, 2: two"):
        train(model, epochs=1)
