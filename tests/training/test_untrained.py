"""Epochs in which nothing is detected: no checks before anything was learned, never an improvement after it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trainings import REPEATS_COLLAPSED, TINY, detection_metrics, results_csv
from ultralytics import YOLO
from ultralytics.models.yolo.detect import DetectionTrainer

from yolo_callbacks import EarlyStopping, ReduceLROnPlateau, SaveBest, StopOnOverfit, StoppingReason, attach
from yolo_callbacks.metrics.epoch_record import EpochRecord

BOX, MASK, POSE = ("metrics/mAP50(B)", "metrics/mAP50-95(B)"), ("metrics/mAP50-95(M)",), ("metrics/mAP50-95(P)",)
KEYS = ("metrics/recall(B)", *BOX, *MASK, "metrics/f1", "lr/pg0")


def epoch(**others: float) -> EpochRecord:
    values = dict.fromkeys((*KEYS, "val/box_loss", "val/cls_loss", "train/box_loss", "train/cls_loss"), 0.0)
    per_class = {name.removeprefix("metrics/"): {0: 0.0} for name in KEYS if name.startswith("metrics/m")}
    return EpochRecord(epoch=1, epochs=3, metrics={**values, "fitness": 0.0, **others}, per_class=per_class)


# Real trainings with scripted validation ------------------------------------------------------------------------------


def detected(value: float, loss: float, **others: float) -> dict[str, float]:
    """An epoch whose mAP is `value`, and whose losses are `loss`."""
    return detection_metrics(value, **{f"val/{name}_loss": loss for name in ("box", "cls", "dfl")}, **others)


# From scratch: losses that read 0 while nothing is matched, then learning, a divergence in epoch 6, and recovery.
FROM_SCRATCH = [(0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.1, 3.0), (0.2, 2.0), (0.0, 0.0), (0.3, 1.5)]


@pytest.fixture
def from_scratch(scripted):
    scripted([detected(*epoch) for epoch in FROM_SCRATCH])


@pytest.mark.training
@pytest.mark.skipif(REPEATS_COLLAPSED, reason="Ultralytics repeats an epoch whose fitness has dropped to 0")
def test_no_patience_no_reduction_and_no_best_before_anything_is_detected(train, from_scratch, messages):
    model = YOLO(TINY)
    deciders = [
        stop := EarlyStopping("val/box_loss", patience=2),
        own := EarlyStopping(),
        plateau := ReduceLROnPlateau("val/box_loss", patience=1),
        loss := SaveBest("val/box_loss"),
        best := SaveBest("mAP50", top_k=2),
        overfit := StopOnOverfit("val/box_loss", "train/box_loss", ratio=0.001, patience=9),
    ]
    attach(model, *deciders)
    folder = train(model, epochs=7, patience=2)
    assert len(results_csv(folder)) == 7
    assert (stop.best_epoch, stop.wait_count, own.best_epoch, own.wait_count) == (7, 0, 7, 0)
    assert (plateau.reductions, plateau.best_epoch) == ([], 7)
    assert (loss.best_epoch, loss.best_score) == (7, 1.5)
    assert [path.stem[-3:] for path in best.best_k_models] == ["007", "005"]
    assert sorted(path.name for path in (folder / "weights").glob("best-mAP50*.pt")) == [
        "best-mAP50-epoch005.pt",
        "best-mAP50-epoch007.pt",
    ]
    assert overfit.wait_count == 3  # not reset by the epoch that detected nothing
    assert not [message for message in messages if "no check" in message]


@pytest.mark.training
@pytest.mark.skipif(REPEATS_COLLAPSED, reason="Ultralytics repeats an epoch whose fitness has dropped to 0")
def test_the_rule_can_be_switched_off(train, from_scratch):
    model = YOLO(TINY)
    stop, loss = (kind("val/box_loss", skip_untrained=False) for kind in (EarlyStopping, SaveBest))
    plateau = ReduceLROnPlateau("val/box_loss", patience=1, skip_untrained=False)
    attach(model, stop, loss, plateau)
    train(model, epochs=7, patience=0)
    assert (stop.best_epoch, loss.best_epoch, plateau.reductions[0]) == (1, 1, 3)


@pytest.mark.training
@pytest.mark.parametrize("top_k", [1, 2])
def test_stand_ins_while_nothing_is_detected(train, scripted, messages, top_k):
    scripted([detected(0.0, 0.0)] * 4)
    model, saved = YOLO(TINY), SaveBest("val/box_loss", top_k=top_k, start_epoch=1, guard={"mAP50": 0.0}, min_delta=9)
    seen: list[Any] = []
    model.add_callback("on_train_epoch_start", lambda trainer: seen.append((saved.best_epoch, saved.best_score)))
    attach(model, saved)
    folder = train(model, epochs=4)
    # the callback runs before the suite's: what it sees is of the epoch before
    assert seen == [(0, None), (0, None), (2, None), (3, None)]
    kept = [4, 3][:top_k]
    names = [f"best-val-box_loss{'' if top_k == 1 else f'-epoch{epoch:03d}'}" for epoch in kept]
    assert saved.best_k_models == {folder / "weights" / f"{name}.pt": 0.0 for name in names}
    assert (saved.best_model_path, saved.best_score, saved.best_epoch) == (
        folder / "weights" / f"{names[0]}.pt",
        None,
        4,
    )
    found = {path.name for path in (folder / "weights").glob("best-*")}
    assert found == {f"{name}.{kind}" for name in names for kind in ("pt", "json")}
    sidecar = json.loads((folder / "weights" / f"{names[0]}.json").read_text())
    assert (sidecar["epoch"], sidecar["stand_in"]) == (4, True)
    (table,) = [message for message in messages if "SaveBest" in message]
    others = " and 1 more" if top_k == 2 else ""
    assert "no check in 3 epochs: nothing was detected; kept" in table
    assert "where nothing was detected, an epoch is no check; skip_untrained=False makes it one" in table
    assert f"; kept the latest, epoch 4: weights/{names[0]}.pt{others}" in table


@pytest.mark.training
def test_all_stand_ins_go_with_the_first_epoch_that_is_saved(train, scripted):
    scripted([detected(0.0, 0.0)] * 3 + [detected(0.2, 2.0), detected(0.1, 3.0)])
    model, saved = YOLO(TINY), SaveBest("mAP50", top_k=3, guard={"recall": 0.05})
    attach(model, saved)
    folder = train(model, epochs=5)
    assert {path.name for path in (folder / "weights").glob("best-*")} == {
        "best-mAP50-epoch004.pt",
        "best-mAP50-epoch004.json",
    }
    assert saved.best_score == 0.2
    assert json.loads((folder / "weights" / "best-mAP50-epoch004.json").read_text())["stand_in"] is False


@pytest.mark.training
def test_stand_ins_survive_a_resume(train, scripted, tmp_path):
    from trainings import interrupted

    scripted([detected(0.0, 0.0)] * 2 + [detected(0.0, 0.0), detected(0.4, 1.0)])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50", top_k=2), EarlyStopping(patience=1))
    folder = interrupted(train, model, 2, epochs=4)
    scripted([detected(0.0, 0.0), detected(0.4, 1.0)])
    resumed, saved, stop = YOLO(folder / "weights" / "last.pt"), SaveBest("mAP50", top_k=2), EarlyStopping(patience=1)
    attach(resumed, saved, stop)
    seen: list[Any] = []
    resumed.add_callback("on_train_epoch_start", lambda trainer: seen.append([p.stem for p in saved.best_k_models]))
    resumed.train(resume=True)
    assert seen == [
        ["best-mAP50-epoch002", "best-mAP50-epoch001"],
        ["best-mAP50-epoch003", "best-mAP50-epoch002"],
    ]
    assert (saved.best_epoch, stop.stopped_epoch, stop.wait_count) == (4, 0, 0)
    assert {path.name for path in (folder / "weights").glob("best-*.pt")} == {"best-mAP50-epoch004.pt"}


@pytest.mark.training
def test_promote_takes_a_stand_in(train, scripted):
    import torch

    scripted([detected(0.0, 0.0)] * 3)
    model, saved = YOLO(TINY), SaveBest("recall", promote=True, keep_optimizer=True, start_epoch=1)
    attach(model, saved)
    folder = train(model, epochs=3)
    best = torch.load(folder / "weights" / "best.pt", map_location="cpu", weights_only=False)
    assert saved.best_epoch == 3
    assert best["train_metrics"]["metrics/recall(B)"] == 0.0


@pytest.mark.training
def test_functions_training_losses_and_users_own_metrics_are_decided_on_from_the_start(train, scripted):
    scripted([detected(0.0, 1.0 - 0.1 * number) for number in range(4)])
    model = YOLO(TINY)
    function = SaveBest(lambda metrics: metrics["val/box_loss"], "min", filename="function")
    training = EarlyStopping("train/box_loss", patience=9)
    attach(model, function, training)
    train(model, epochs=4)
    assert (function.best_epoch, function.best_score) == (4, pytest.approx(0.7))
    assert training.best_epoch > 0


@pytest.mark.training
def test_a_fitness_of_the_users_own_is_decided_on_from_the_start(train):
    class Own(DetectionTrainer):
        def validate(self):
            metrics, _ = super().validate()
            return metrics, -5.0 + self.epoch

    model, saved, stop = YOLO(TINY), SaveBest("fitness"), EarlyStopping()
    attach(model, saved, stop)
    train(model, epochs=3, trainer=Own)
    assert (saved.best_epoch, saved.best_score, stop.best_score) == (3, -3.0, -3.0)


@pytest.mark.training
def test_a_loss_that_diverges_before_anything_is_detected_stops(train, scripted):
    scripted([detected(0.0, 0.0), detected(0.0, 21664.0), detected(0.0, 0.0)])
    model, stop = YOLO(TINY), EarlyStopping("val/box_loss", divergence_threshold=100.0)
    attach(model, stop, EarlyStopping("mAP50", divergence_threshold=0.05))
    train(model, epochs=3)
    assert (stop.stopped_epoch, stop.stopping_reason) == (2, StoppingReason.DIVERGENCE_THRESHOLD)


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize("task", ["segment", "pose"])
def test_as_many_epochs_as_without_a_suite_for_masks_and_poses(tmp_path, task):
    """Real validation: from random weights nothing is detected for all of these epochs."""
    import digits

    data = digits.for_task(tmp_path / "data", task, size=32)
    epochs = {}
    for suite in (False, True):
        model = YOLO(f"yolo11n-{'seg' if task == 'segment' else 'pose'}.yaml")
        plateau = ReduceLROnPlateau(patience=1)
        if suite:
            attach(model, SaveBest(), EarlyStopping(), plateau)
        model.train(
            data=str(data), epochs=4, patience=2, imgsz=32, batch=4, workers=0, device="cpu", plots=False,
            verbose=False, project=str(tmp_path), name=f"suite{suite}",
        )  # fmt: skip
        rows = results_csv(tmp_path / f"suite{suite}")
        epochs[suite] = len(rows)
        assert not any(value for row in rows for key, value in row.items() if key.startswith("metrics/mAP"))
    assert epochs[True] == epochs[False] == 4
    assert plateau.reductions == []
