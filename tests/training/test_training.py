"""Real trainings with a suite, and the traps of Ultralytics' loop."""

from __future__ import annotations

import copy
import json

import cloudpickle
import pytest
import torch
import ultralytics
from recorder import Recorder, load
from trainings import FAST, TINY, results_csv
from ultralytics import YOLO

from yolo_callbacks import EarlyStopping, SaveBest, attach

ULTRALYTICS = tuple(int(part) for part in ultralytics.__version__.split(".")[:3])
MAP = "metrics/mAP50-95(B)"


@pytest.mark.smoke
def test_same_seed_same_metrics_with_and_without_the_suite(train):
    with_suite, without = YOLO(TINY), YOLO(TINY)
    attach(with_suite, SaveBest(top_k=2), EarlyStopping(patience=50))
    rows = [results_csv(train(model, epochs=3, name=name)) for model, name in ((with_suite, "a"), (without, "b"))]
    for row in (*rows[0], *rows[1]):
        del row["time"]
    assert rows[0] == rows[1]


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
