"""JSON lines and TensorBoard: the same scalars under the same names, each epoch once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trainings import TINY, detection_metrics, results_csv
from ultralytics import YOLO

from yolo_callbacks import Callback, EarlyStopping, JsonlLogger, SaveBest, TensorBoardLogger, TrainingRun, attach
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.scalars import MAX_CLASSES, epoch_scalars, final_scalars


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "callbacks.jsonl").read_text().splitlines()]


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the scalars as TensorBoard itself reads them."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(folder / "tensorboard")).Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_names_of_scalars():
    record = EpochRecord(
        epoch=3,
        epochs=9,
        metrics={"train/box_loss": 1.0, "metrics/mAP50(B)": 0.5},
        per_class={"mAP50(B)": {0: 0.4, 2: 0.6}, "mAP50(M)": {0: 0.3}},
        names={0: "cat", 1: "dog", 2: "cat"},
    )
    record.log("memory/host", 2.0)
    assert epoch_scalars(record) == {
        "train/box_loss": 1.0,
        "metrics/mAP50(B)": 0.5,
        "per_class/cat#0/mAP50": 0.4,
        "per_class/cat#2/mAP50": 0.6,
        "per_class/cat#0/mAP50(M)": 0.3,
        "memory/host": 2.0,
    }
    assert final_scalars(record)["final/metrics/mAP50(B)"] == 0.5


def test_too_many_classes_are_no_scalars():
    names = {index: str(index) for index in range(MAX_CLASSES + 1)}
    record = EpochRecord(
        epoch=1, epochs=1, metrics={"a": 1.0}, per_class={"mAP50(B)": dict.fromkeys(names, 0.5)}, names=names
    )
    assert epoch_scalars(record) == {"a": 1.0}


def test_a_thousand_classes_do_not_read_their_names_a_thousand_times():
    class Names(dict):
        reads = 0

        def values(self):
            Names.reads += 1
            return super().values()

    names = Names({index: f"class{index % 999}" for index in range(1000)})
    record = EpochRecord(epoch=1, epochs=1, metrics={}, names=names)
    assert [record.class_name(index) for index in (0, 1, 998, 999, 1000)] == [
        "class0#0",
        "class1",
        "class998",
        "class0#999",
        "1000",
    ]
    assert [record.class_name(index) for index in names][-1] == "class0#999"
    assert Names.reads == 1


@pytest.mark.training
def test_both_hold_every_epoch_once(train, scripted):
    scripted([0.1, 0.3, detection_metrics(float("nan"), fitness=0.1)])
    model = YOLO(TINY)
    attach(model, JsonlLogger(), TensorBoardLogger(), SaveBest(), EarlyStopping(patience=9, check_finite=False))
    folder = train(model, epochs=3)
    logged = lines(folder)
    assert [line.get("epoch") for line in logged] == [1, 2, 3, None]
    for line, row in zip(logged, results_csv(folder), strict=False):
        assert {
            key: line[key] for key in row if key not in ("epoch", "time") and row[key] == row[key]
        } == pytest.approx(
            {key: value for key, value in row.items() if key not in ("epoch", "time") and value == value}, rel=1e-5
        )
    assert [line["early_stopping/wait"] for line in logged[:3]] == [0, 0, 1]
    assert [line["best/mAP50-95"] for line in logged[:3]] == [0.1, 0.3, 0.3]
    assert logged[2]["metrics/mAP50-95(B)"] is None
    assert set(logged[3]) == {f"final/{key}" for key in detection_metrics(0) if key.startswith("metrics/")}
    shown = events(folder)
    assert shown["early_stopping/wait"] == [(1, 0.0), (2, 0.0), (3, 1.0)]
    assert [step for step, _ in shown["val/box_loss"]] == [1, 2, 3]
    assert shown["final/metrics/mAP50(B)"][0][0] == 3
    assert set(shown) == {key for line in logged for key in line if key != "epoch"}


@pytest.mark.training
def test_values_by_class_are_logged_by_name(train, two_of_three):
    model = YOLO(TINY)
    attach(model, JsonlLogger())
    folder = train(model, data=str(two_of_three), epochs=1)
    keys = {key for key in lines(folder)[0] if key.startswith("per_class/")}
    metrics = ("precision", "recall", "mAP50", "mAP50-95")
    assert keys == {f"per_class/{name}/{metric}" for name in ("zero", "one") for metric in metrics}


@pytest.mark.training
def test_a_resumed_run_goes_on_in_the_same_files(train, scripted):
    """With half a line at the end, and one of an epoch that is trained again."""
    scripted([0.1, 0.2, 0.3, 0.4])
    model = YOLO(TINY)

    def interrupt(trainer: Any) -> None:
        if trainer.epoch == 1:
            raise KeyboardInterrupt

    attach(model, JsonlLogger(), TensorBoardLogger())
    model.add_callback("on_fit_epoch_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(model, epochs=4)
    folder = Path(model.trainer.save_dir)
    with (folder / "callbacks.jsonl").open("a") as file:
        file.write('{"epoch": 3, "metrics/mAP50(B)": 9}\n{"epoch": 4, "met')
    scripted([0.3, 0.4])
    resumed = YOLO(folder / "weights" / "last.pt")
    attach(resumed, JsonlLogger(), TensorBoardLogger())
    resumed.train(resume=True)
    assert [(line.get("epoch"), line.get("metrics/mAP50(B)")) for line in lines(folder)[:4]] == [
        (1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4),
    ]  # fmt: skip
    assert [step for step, _ in events(folder)["metrics/mAP50(B)"]] == [1, 2, 3, 4]


@pytest.mark.training
def test_a_new_run_in_an_old_folder_starts_a_new_file(train, scripted):
    for value in (0.1, 0.2):
        scripted([value])
        model = YOLO(TINY)
        attach(model, JsonlLogger())
        folder = train(model, epochs=1, exist_ok=True)
    assert [line.get("metrics/mAP50(B)") for line in lines(folder)] == [0.2, None]


@pytest.mark.training
def test_without_tensorboard_the_training_does_not_start(train, monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    model = YOLO(TINY)
    attach(model, TensorBoardLogger())
    with pytest.raises(ModuleNotFoundError, match="pip install tensorboard"):
        train(model, epochs=1)
    assert not (tmp_path / "run" / "results.csv").exists()


@pytest.mark.training
def test_what_a_callback_of_the_user_publishes_is_logged(train, scripted):
    """The example of the README."""

    class Gap(Callback):
        def on_fit_epoch_end(self, trainer: Any) -> None:
            record = TrainingRun.of(trainer).record()
            if record.validated and not record.final:
                record.log("overfit/gap", record.metrics["val/box_loss"] - record.metrics["train/box_loss"])

    scripted([0.1, 0.2])
    model = YOLO(TINY)
    attach(model, JsonlLogger(), Gap())
    for line in lines(train(model, epochs=2))[:2]:
        assert line["overfit/gap"] == pytest.approx(line["val/box_loss"] - line["train/box_loss"])
