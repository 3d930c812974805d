"""promote, guards, StopOnOverfit, training phases and monitors by class, on real trainings."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import ultralytics
from trainings import TINY, as_task, detection_metrics, results_csv
from ultralytics import YOLO

from yolo_callbacks import (
    Callback,
    EarlyStopping,
    ReduceLROnPlateau,
    SaveBest,
    StopOnOverfit,
    StoppingReason,
    TrainingRun,
    attach,
)
from yolo_callbacks.decisions import Guarded, OverfitRule, broken_guard

ULTRALYTICS = tuple(int(part) for part in ultralytics.__version__.split(".")[:3])


def load(path: Path) -> dict[str, Any]:
    return torch.load(path, map_location="cpu", weights_only=False)


def by_recall(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    """Epochs in which mAP (and so fitness) and recall differ."""
    return [detection_metrics(value, **{"metrics/recall(B)": recall}) for value, recall in pairs]


class StopAt(Callback):
    """Stops the training with an epoch, as another callback of the user would."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_fit_epoch_end(self, trainer: Any) -> None:
        trainer.stop = trainer.stop or trainer.epoch + 1 == self.epoch


@pytest.mark.training
@pytest.mark.parametrize(
    ("arguments", "others", "best"),
    [
        ({}, [], 2),
        ({"top_k": 2}, [], 2),
        ({}, [StopAt(3)], 2),
        ({}, [StopAt(2)], 2),
        ({"start_epoch": 2}, [], 4),
    ],
    ids=["to the end", "top_k", "stopped later", "stopped in the best epoch", "start_epoch"],
)
@pytest.mark.parametrize("save", [True, False])
def test_promoted_is_what_the_model_ends_with(train, scripted, arguments, others, best, save):
    """mAP is best in the last epoch, recall in the second."""
    scripted(by_recall((0.3, 0.4), (0.2, 0.9), (0.4, 0.5), (0.5, 0.6)))
    model, saved = YOLO(TINY), SaveBest("recall", promote=True, **arguments)
    attach(model, saved, *others)
    folder = train(model, epochs=4, save=save)
    assert saved.best_epoch == best
    promoted, own = load(folder / "weights" / "best.pt"), load(saved.best_model_path)
    assert promoted["train_metrics"]["metrics/recall(B)"] == saved.best_score
    assert promoted["optimizer"] is own["optimizer"] is None
    weights = own["model"].float().state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in promoted["model"].float().state_dict().items())
    assert all(torch.equal(value.cpu(), weights[name]) for name, value in model.model.float().state_dict().items())


@pytest.mark.training
def test_the_final_validation_is_of_the_promoted(train, scenes):
    """Nothing scripted here: what model.val() says afterwards is what was measured in the chosen epoch."""
    model, saved = YOLO(TINY), SaveBest("val/box_loss", "max", promote=True, skip_untrained=False)
    attach(model, saved)
    folder = train(model, epochs=4)
    rows = results_csv(folder)
    losses = [row["val/box_loss"] for row in rows]
    assert saved.best_epoch == losses.index(max(losses)) + 1
    assert load(folder / "weights" / "best.pt")["train_metrics"]["val/box_loss"] == max(losses)
    metrics = model.val(data=str(scenes), imgsz=32, batch=4, device="cpu", plots=False, verbose=False)
    expected = rows[saved.best_epoch - 1]["metrics/mAP50-95(B)"]
    assert metrics.box.map == pytest.approx(expected, abs=0.02)


@pytest.mark.training
def test_promoted_again_after_a_resume(train, scripted):
    epochs = by_recall((0.3, 0.4), (0.2, 0.9), (0.4, 0.5), (0.5, 0.6))
    scripted(epochs)
    model = YOLO(TINY)
    attach(model, SaveBest("recall", promote=True))

    def kill(trainer):
        if trainer.epoch == 2:
            raise KeyboardInterrupt

    model.add_callback("on_fit_epoch_end", kill)
    with pytest.raises(KeyboardInterrupt):
        train(model, epochs=4)
    last = Path(model.trainer.last)
    scripted(epochs[3:])
    resumed, saved = YOLO(last), SaveBest("recall", promote=True)
    attach(resumed, saved)
    resumed.train(resume=True)
    assert saved.best_epoch == 2
    assert load(last.with_name("best.pt"))["train_metrics"]["metrics/recall(B)"] == 0.9


WITH_WANDB = """
from trainings import FAST, TINY, detection_metrics
from ultralytics import YOLO
from ultralytics.engine.validator import BaseValidator
from ultralytics.utils import SETTINGS
from yolo_callbacks import SaveBest, attach

SETTINGS.update(wandb=True)
recalls = [0.4, 0.9, 0.5]

def validate(self, trainer=None, model=None):
    self.training = trainer is not None
    self.run_callbacks("on_val_start")
    self.run_callbacks("on_val_end")
    epoch = trainer.epoch if trainer else 2
    metrics = detection_metrics(0.1 * epoch + 0.1, **{"metrics/recall(B)": recalls[epoch]})
    return {"fitness": 0.1 * epoch + 0.1, **metrics}

BaseValidator.__call__ = validate
model = YOLO(TINY)
attach(model, SaveBest("recall", promote=True))
model.train(**{**FAST, "data": data, "epochs": 3, "project": folder, "name": "run"})
"""


@pytest.mark.training
@pytest.mark.skipif(ULTRALYTICS < (8, 4, 52), reason="older integrations take no absolute path as project=")
def test_the_artifact_of_the_built_in_integration_is_the_promoted(interpreter, tmp_path, scenes):
    """By fitness it would be the third epoch. In a process of its own: under pytest the integration is off."""
    environment = {"WANDB_DATA_DIR": str(tmp_path / "wandb-data"), "WANDB_SILENT": "true"}
    ended = interpreter.run(WITH_WANDB, environment=environment, data=str(scenes), folder=str(tmp_path))
    assert ended.status == 0, ended.said
    best = tmp_path / "run" / "weights" / "best.pt"
    assert load(best)["train_metrics"]["metrics/recall(B)"] == 0.9
    staged = [path.read_bytes() for path in (tmp_path / "wandb-data").rglob("*") if path.is_file()]
    assert best.read_bytes() in staged


@pytest.mark.training
def test_a_guarded_class_must_not_drop(train, scripted):
    """Precision may be 0.05 worse than at the last best; epoch 2 is better by recall but loses more than that."""
    rows = [(0.5, 0.60), (0.7, 0.50), (0.6, 0.56), (0.8, 0.55), (0.9, 0.40)]
    scripted([detection_metrics(r, **{"metrics/precision(B)": p, "fitness": r}) for r, p in rows])
    model, saved = YOLO(TINY), SaveBest("recall", guard={"precision": 0.05})
    attach(model, saved)
    folder = train(model, epochs=5)
    assert (saved.best_epoch, saved.best_score) == (4, 0.8)
    state = json.loads((folder / "callbacks.json").read_text())["callbacks"]["SaveBest(best-recall)"]
    assert state["reference"] == {"precision": 0.55}


@pytest.mark.parametrize(
    ("value", "before", "mode", "broken"),
    [
        (0.50, 0.50, "max", False),
        (0.46, 0.50, "max", False),
        (0.44, 0.50, "max", True),
        (0.90, 0.50, "max", False),
        (1.04, 1.00, "min", False),
        (1.06, 1.00, "min", True),
        (None, 0.50, "max", True),
        (float("nan"), 0.50, "max", True),
        (0.10, None, "max", False),
        (0.10, float("nan"), "max", False),
        (None, None, "max", False),
    ],
)
def test_guard_decisions(value, before, mode, broken):
    reason = broken_guard({"m": Guarded(0.05, mode)}, {"m": value}, {"m": before})
    assert (reason is not None) == broken


@pytest.mark.parametrize(
    ("guard", "error", "message"),
    [
        (["mAP50"], TypeError, r"guard must map names of monitors to numbers, received \['mAP50'\]"),
        ({"mAP50": -0.1}, ValueError, r"guard\['mAP50'\] must be finite and at least 0, received -0.1"),
        ({"mAP50": "x"}, TypeError, r"guard\['mAP50'\] must be a number, received 'x'"),
        ({"": 0.1}, ValueError, "monitor must not be empty"),
    ],
)
def test_wrong_guards(guard, error, message):
    with pytest.raises(error, match=message):
        SaveBest(guard=guard)


@pytest.mark.training
def test_an_unknown_guard_raises_before_the_first_epoch(train):
    model = YOLO(TINY)
    attach(model, SaveBest(guard={"mAP50/on": 0.1}))
    with pytest.raises(ValueError, match=r"no class 'on'. Did you mean 'mAP50/one'"):
        train(model, epochs=1)


@pytest.mark.parametrize(
    ("pairs", "ratio", "patience", "stopped"),
    [
        ([(1, 1), (2, 1), (2, 1), (2, 1)], 1.5, 2, 3),
        ([(1, 1), (2, 1), (1, 1), (2, 1), (2, 1)], 1.5, 2, 5),
        ([(1.5, 1), (1.5, 1)], 1.5, 1, 0),
        ([(2, 1), (float("nan"), 1), (2, 1)], 1.5, 2, 3),
        ([(2, 1), (2, float("inf")), (2, 1)], 1.5, 2, 3),
        ([(1, 0), (0, 0)], 2.0, 1, 1),
    ],
)
def test_when_validation_has_parted_from_training(pairs, ratio, patience, stopped):
    rule = OverfitRule(ratio, patience)
    stops = [epoch for epoch, pair in enumerate(pairs, start=1) if rule.check(*pair).stop]
    assert (stops or [0])[0] == stopped


@pytest.mark.training
def test_stops_on_overfit_by_component_and_by_sum(train, scripted):
    """Validation losses far above the training's from epoch 2 on; cls_loss alone never."""
    low = {"val/box_loss": 0.0, "val/cls_loss": 0.0, "val/dfl_loss": 0.0}
    high = {**low, "val/box_loss": 999.0}
    scripted([detection_metrics(0.5, **(low if epoch < 2 else high)) for epoch in range(1, 7)])
    model, published = YOLO(TINY), []
    total, cls = StopOnOverfit(ratio=2.0, patience=3), StopOnOverfit("val/cls_loss", "train/cls_loss", patience=3)
    attach(model, total, cls)
    model.add_callback("on_fit_epoch_end", lambda t: published.append(dict(TrainingRun.of(t).record().scalars)))
    folder = train(model, epochs=6)
    assert (total.stopped_epoch, total.stopping_reason, total.wait_count) == (4, StoppingReason.OVERFITTING, 3)
    assert (cls.stopped_epoch, cls.wait_count) == (0, 0)
    row = results_csv(folder)[0]
    sums = [sum(row[f"{split}/{name}_loss"] for name in ("box", "cls", "dfl")) for split in ("val", "train")]
    assert published[0]["overfit/ratio"] == pytest.approx(sums[0] / sums[1], rel=1e-3)
    assert "overfit/ratio(val/cls_loss)" in published[0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"ratio": -1}, ValueError, "ratio must be greater than 0, received -1"),
        ({"ratio": None}, TypeError, "ratio must be a number, received None"),
        ({"patience": 0}, ValueError, "patience must be at least 1, received 0"),
        ({"against": 3}, TypeError, "monitor must be a name, a mapping"),
    ],
)
def test_wrong_overfit_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        StopOnOverfit(**arguments)


@pytest.mark.training
def test_an_unknown_second_monitor_raises_with_the_first_batch(train):
    model = YOLO(TINY)
    attach(model, StopOnOverfit(against="train/boxloss"))
    with pytest.raises(ValueError, match=r"'train/boxloss' does not exist in this run. Did you mean 'train/box_loss'"):
        train(model, epochs=1)


@pytest.mark.training
def test_training_phases(train, scripted, messages):
    """Eight epochs of two batches, warm-up in the first three, mosaic closed in the last three."""
    scripted([0.9, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
    model, checks = YOLO(TINY), []
    aware = EarlyStopping("mAP50", patience=3, training_phases=True)
    plateau = ReduceLROnPlateau("mAP50", patience=1, training_phases=True)
    plain = EarlyStopping("recall", patience=99)

    class Waits(Callback):
        def on_fit_epoch_end(self, trainer: Any) -> None:
            record = TrainingRun.of(trainer).record()
            if not record.final:
                checks.append((record.warming_up, record.mosaic_closed, aware.wait_count, plain.wait_count))

    attach(model, aware, plateau, plain, Waits())
    train(model, epochs=8, warmup_epochs=3.0, close_mosaic=3, patience=0)
    warming, closed, aware_waits, plain_waits = (list(column) for column in zip(*checks, strict=True))
    # up to 8.4.51 or so a warm-up has at least 100 iterations: all of this run
    if warming[-1]:
        assert all(warming)
        assert aware_waits == [0] * 8
    else:
        assert warming == [True] * 3 + [False] * 5
        # the first check is epoch 4, the best of what counts; then mosaic closes with epoch 6
        assert (aware_waits, aware.best_epoch) == ([0, 0, 0, 0, 1, 1, 2, 3], 4)
        assert (aware.stopped_epoch, plateau.reductions) == (8, [7])
    assert closed == [False] * 5 + [True] * 3
    assert plain_waits == list(range(8))
    line = re.compile("(EarlyStopping|ReduceLROnPlateau): mosaic closed with epoch 6, patience starts again")
    assert sum(bool(line.match(message)) for message in messages) == 2


@pytest.mark.training
@pytest.mark.parametrize(("task", "suffix"), [("segment", "M"), ("pose", "P")])
def test_values_by_class_of_masks_and_poses(tmp_path, train, two_of_three, task, suffix):
    """Three classes, one of them without validation; polygons and points made of the boxes."""
    data = as_task(two_of_three, tmp_path / "data", task)
    model, worst = (
        YOLO(f"yolo11n-{task[:3] if task == 'segment' else task}.yaml"),
        SaveBest(f"min(mAP50-95({suffix}))", skip_untrained=False),
    )
    one, main = SaveBest(f"mAP50({suffix})/one", skip_untrained=False), SaveBest()
    attach(model, worst, one, main, EarlyStopping(f"mAP50-95({suffix})/two", patience=1))
    folder = train(model, data=str(data), epochs=2)
    assert len(results_csv(folder)) == 2
    assert main.best_model_path.name == f"best-mAP50-95-{suffix}.pt"
    assert worst.best_model_path.name == f"best-min-mAP50-95-{suffix}.pt"
    per_class = json.loads(one.best_model_path.with_suffix(".json").read_text())["per_class"]
    assert set(per_class[f"mAP50({suffix})"]) == set(per_class["mAP50(B)"]) == {"zero", "one"}
    assert one.best_score == per_class[f"mAP50({suffix})"]["one"]
