"""WandbLogger offline, on real trainings, read back from the run's own file."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import ultralytics
import wandb
from pages import block_with
from trainings import (
    READS_ANY_CSV,
    TINY,
    TINY_CLASSIFY,
    TINY_POSE,
    TINY_SEGMENT,
    detection_metrics,
    interrupted,
    results_csv,
)
from ultralytics import YOLO
from ultralytics.models.yolo.detect import DetectionTrainer
from wandb_runs import Run, read_runs

from yolo_callbacks import EarlyStopping, FailingImages, SaveBest, WandbLogger, attach
from yolo_callbacks.loggers.wandb_parts.content import draw_mask
from yolo_callbacks.loggers.wandb_parts.history import History
from yolo_callbacks.loggers.wandb_parts.media import ValidationImages
from yolo_callbacks.trainer.validated_image import Classified
from yolo_callbacks.trainer.validation_images import AnnotatedImage, Box

ULTRALYTICS = tuple(int(part) for part in ultralytics.__version__.split(".")[:3])


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "wandb-data"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield
    wandb.teardown()


def runs(folder: Path) -> list[Run]:
    wandb.teardown()  # finish() may return before the file is written
    return read_runs(folder)


@pytest.mark.training
def test_the_folds_of_an_experiment_are_a_group(train, tmp_path):
    """The recipe of the page on folds; the training gives each run its folder."""
    code = block_with("docs/folds.md", "group=", "python")
    for index in range(2):
        namespace = {"YOLO": lambda _: YOLO(TINY)}
        exec(f"from yolo_callbacks import *\n{code}", namespace)
        train(namespace["model"], epochs=1, name=f"fold{index}")
    found = [(run.project, run.group, run.name, run.exit_code) for run in runs(tmp_path)]
    assert found == [("folds", "yolo11n-256", f"fold{index}", 0) for index in range(2)]


def rows(run: Run) -> list[dict[str, Any]]:
    """The rows that are epochs."""
    return [row for row in run.rows if "epoch" in row]


@pytest.mark.training
def test_everything_worth_seeing(train, two_of_three, blank_figures):
    model = YOLO(TINY)
    logger = WandbLogger(images=3, image_period=2, batch_period=1)
    deciders = SaveBest("val/box_loss", skip_untrained=False), EarlyStopping(patience=9, skip_untrained=False)
    attach(model, logger, *deciders)
    folder = train(model, data=str(two_of_three), epochs=3, plots=True)
    (run,) = runs(folder)
    assert (run.exit_code, run.project, run.name) == (0, folder.parent.name, "run")

    epochs = rows(run)
    assert [row["epoch"] for row in epochs] == [1, 2, 3]
    for row, expected in zip(epochs, results_csv(folder), strict=True):
        values = {key: value for key, value in expected.items() if key not in ("epoch", "time")}
        assert {key: row[key] for key in values} == pytest.approx(values, rel=1e-5)
    assert [row["early_stopping/wait"] for row in epochs] == [0, 1, 2]
    assert {key for key in epochs[0] if key.startswith("per_class/")} == {
        f"per_class/{name}/{metric}"
        for name in ("zero", "one")
        for metric in ("precision", "recall", "mAP50", "mAP50-95")
    }
    assert [row["batch/step"] for row in run.rows if "batch/step" in row] == [1, 2, 3, 4, 5, 6]
    assert all("epoch" not in row for row in run.rows if "batch/step" in row)

    axes = {metric.get("name") or metric.get("glob"): metric for metric in run.metrics}
    assert axes["val/*"]["step_metric"] == axes["metrics/*"]["step_metric"] == "epoch"
    assert axes["batch/*"]["step_metric"] == "batch/step"
    assert "max" in axes["metrics/*"]["summary"]
    assert "min" in axes["val/*"]["summary"]
    assert run.summary["final/metrics/mAP50(B)"] >= 0

    assert run.config["epochs"] == 3
    assert run.config["dataset"]["names"] == {"0": "zero", "1": "one", "2": "two"}
    assert run.config["dataset"]["train"]["images"] == 8
    boxes = [len(file.read_text().splitlines()) for file in (two_of_three.parent / "labels/val").glob("*.txt")]
    assert run.config["dataset"]["val"] == {"images": 4, "boxes": sum(boxes)}
    assert run.config["model_size"]["parameters"] == sum(each.numel() for each in YOLO(TINY).model.parameters())
    assert {"ultralytics", "torch", "yolo_callbacks"} <= set(run.config["versions"])

    (artifact,) = [found for found in run.artifacts if found["type"] == "model"]
    assert {"best", "latest"} <= set(artifact["aliases"])
    assert artifact["files"] == {"best.pt": (folder / "weights" / "best.pt").stat().st_size}
    best = max(epochs, key=lambda row: (row["fitness"], row["epoch"]))  # best.pt is the last of equals
    assert (artifact["metadata"]["epoch"], artifact["metadata"]["score"]) == (best["epoch"], best["fitness"])
    shown = {key for row in run.rows for key in row}
    # 8.4.51 does not report the confusion matrix among its plots
    assert {f"plots/{name}/path" for name in ("results", "val_batch0_pred")} <= shown
    assert any(key.startswith("curves/") for key in shown)


class Ragged(DetectionTrainer):
    """Has a metric from its second epoch on, and one that is no number."""

    def validate(self) -> tuple[dict[str, Any], float]:
        metrics, fitness = super().validate()
        return (metrics | {"metrics/f1": 0.5} if self.epoch else metrics), fitness

    def save_model(self) -> Any:
        metrics, self.metrics = self.metrics, {**self.metrics, "note": "of mine"}
        try:
            return super().save_model()
        finally:
            self.metrics = metrics


@pytest.mark.training
@pytest.mark.skipif(not READS_ANY_CSV, reason="Ultralytics itself raises")
@pytest.mark.parametrize("best", [1, 2])
def test_a_metric_that_comes_later_costs_no_artifact(train, scripted, messages, best):
    """Its rows are longer than the header of results.csv."""
    scripted([0.5 if epoch == best else 0.1 for epoch in (1, 2, 3)])
    model = YOLO(TINY)
    attach(model, WandbLogger(images=0))
    folder = train(model, epochs=3, trainer=Ragged)
    lengths = [len(line.split(",")) for line in (folder / "results.csv").read_text().splitlines()]
    assert lengths[0] == lengths[1] < lengths[2]
    (artifact,) = [found for found in runs(folder)[0].artifacts if found["type"] == "model"]
    assert artifact["files"] == {"best.pt": (folder / "weights" / "best.pt").stat().st_size}
    assert (artifact["metadata"]["epoch"], artifact["metadata"]["score"]) == (best, 0.5)
    assert artifact["metadata"].get("metrics/f1") == (0.5 if best > 1 else None)
    assert not [text for text in messages if "could not be logged" in text]


@pytest.mark.training
@pytest.mark.skipif(not READS_ANY_CSV, reason="Ultralytics itself raises")
def test_without_results_csv_the_artifact_has_no_epoch(train, messages):
    class Silent(DetectionTrainer):
        def save_metrics(self, metrics: dict[str, float]) -> None:
            pass

    model = YOLO(TINY)
    attach(model, WandbLogger(images=0))
    folder = train(model, epochs=1, trainer=Silent)
    assert not (folder / "results.csv").exists()
    (artifact,) = [found for found in runs(folder)[0].artifacts if found["type"] == "model"]
    assert artifact["metadata"]["epoch"] is None
    assert not [text for text in messages if "could not be logged" in text]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"projekt": "a"}, "WandbLogger has no argument 'projekt', did you mean 'project'?"),
        ({"tags": ["a"], "Grup": "b", "images": 0}, "WandbLogger has no argument 'Grup', did you mean 'group'?"),
        ({"image": 3}, "WandbLogger has no argument 'image', did you mean 'images'?"),
        ({"zzz": 3}, "WandbLogger has no argument 'zzz', and wandb.init has none"),
        ({"init": {}}, "WandbLogger has no argument 'init', did you mean"),
    ],
)
def test_an_unknown_argument(given, message):
    with pytest.raises(TypeError, match=rf"^{re.escape(message)}"):
        WandbLogger(**given)


def test_every_argument_of_wandb_is_taken_as_it_is(monkeypatch):
    given = {
        "settings": wandb.Settings(),
        "config": {"a": 1},
        "tags": ["a"],
        "group": "b",
        "id": "c",
        "resume": "allow",
    }
    assert WandbLogger(**given, dir="d").init == {**given, "dir": "d"}
    own = {"self", "entity", "project", "name", "mode"}
    others = {name: None for name in inspect.signature(wandb.init).parameters if name not in own}
    assert WandbLogger(**others).init == others
    monkeypatch.setitem(sys.modules, "wandb", None)  # not installed: nobody knows
    assert WandbLogger(projekt="a").init == {"projekt": "a"}


@pytest.mark.training
def test_images_with_boxes_that_match_the_labels(train, scenes):
    model = YOLO(TINY)
    attach(model, WandbLogger(images=2, image_period=2, log_model=False))
    folder = train(model, epochs=3)
    (run,) = runs(folder)
    logged = {row["epoch"]: row for row in rows(run) if "validation/images/captions" in row}
    assert list(logged) == [2, 3]
    names = [row["validation/images/captions"] for row in logged.values()]
    assert names[0] == names[1]
    assert len(names[0]) == 2
    for caption, boxes in zip(names[0], logged[2]["validation/images/all_boxes"], strict=True):
        path = next(file for file in run.files if str(file).endswith(boxes["ground_truth"]["path"]))
        found = sorted(
            (
                box["class_id"],
                (box["position"]["minX"] + box["position"]["maxX"]) / 2,
                (box["position"]["minY"] + box["position"]["maxY"]) / 2,
            )
            for box in json.loads(path.read_text())["box_data"]
        )
        label = scenes.parent / "labels" / "val" / f"{Path(caption).stem}.txt"
        lines = [line.split() for line in label.read_text().splitlines()]
        expected = sorted((int(line[0]), float(line[1]), float(line[2])) for line in lines)
        assert [index for index, *_ in found] == [index for index, *_ in expected]
        for box, truth in zip(found, expected, strict=True):
            assert box == pytest.approx(truth, abs=0.01)


def test_images_of_different_sizes_are_padded_to_one(tmp_path, monkeypatch):
    """W&B shows others wrongly, and warns of them."""
    images = []
    for name, (width, height) in (("wide", (400, 100)), ("high", (100, 200))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((height, width, 3), 255, np.uint8))
        box = Box(0.0, 0.0, 1.0, 1.0, 0)
        images.append(AnnotatedImage(tmp_path / f"{name}.png", (width, height), (box,), ()))
    validation = ValidationImages(2, 1)
    monkeypatch.setattr(validation.collection, "take", lambda: images)
    made = validation.take({0: "zero"}, "validation/images")()["validation/images"]
    assert {(image._width, image._height) for image in made} == {(400, 200)}
    places = [image._boxes["ground_truth"]._val[0]["position"] for image in made]
    assert [(place["maxX"], place["maxY"]) for place in places] == [(1.0, 0.5), (0.25, 1.0)]
    validation.forget()


@pytest.mark.training
def test_the_default_suite_uploads_no_picture_and_no_weights(train, blank_figures):
    model = YOLO(TINY)
    attach(model)
    folder = train(model, epochs=2, plots=True)
    (run,) = runs(folder)
    assert [row["epoch"] for row in rows(run)] == [1, 2]
    pictures = [file.name for file in run.files if file.suffix in (".jpg", ".jpeg")]
    assert [name for name in pictures if not name.startswith("labels")] == []
    assert [artifact for artifact in run.artifacts if artifact["type"] == "model"] == []


def test_masks_keypoints_and_rotated_boxes_are_masks_of_wandb():
    square = ((0.1, 0.1), (0.4, 0.1), (0.4, 0.4), (0.1, 0.4))
    found = draw_mask(
        [
            Box(0.1, 0.1, 0.4, 0.4, 0, 0.9, mask=(square,)),
            Box(
                0.0, 0.0, 0.3, 0.3, 4, 0.5, mask=(tuple((x - 0.1, y - 0.1) for x, y in square),)
            ),  # below the other one
            Box(0.6, 0.6, 1.0, 1.0, 1, 0.6, corners=tuple((x + 0.5, y + 0.5) for x, y in square)),
            Box(0.6, 0.1, 0.9, 0.4, 300, 0.6, points=((0.75, 0.25),)),
            Box(0.0, 0.0, 1.0, 1.0, 9, 0.2, mask=(((0, 0), (1, 0), (1, 1), (0, 1)),)),  # not confident enough
        ],
        (200, 100),
        (0.5, 1.0),
    )
    assert (found.shape, found.dtype) == ((100, 200), np.uint8)
    assert set(np.unique(found)) == {0, 1, 2, 5, 255}
    assert (found[25, 25], found[5, 5], found[75, 75], found[60, 75], found[25, 75]) == (1, 5, 0, 2, 255)
    assert not found[:, 100:].any()  # the picture takes the left half


@pytest.mark.training
@pytest.mark.parametrize("task", ["segment", pytest.param("pose", marks=pytest.mark.slow)])
def test_images_of_other_tasks_have_masks(train, tmp_path, task, messages):
    import digits

    model = YOLO({"segment": TINY_SEGMENT, "pose": TINY_POSE}[task])
    attach(model, WandbLogger(images=2, image_period=1, log_model=False), strict=True)
    folder = train(model, data=str(digits.for_task(tmp_path / "data", task, size=64)), epochs=1, imgsz=64)
    (run,) = runs(folder)
    for key in ("validation/images", "final/images"):
        (row,) = (row for row in run.rows if f"{key}/captions" in row)
        masks = [each["ground_truth"]["path"] for each in row[f"{key}/all_masks"]]
        assert len(masks) == 2
        for path in masks:
            (file,) = (file for file in run.files if str(file).endswith(path))
            assert len(np.unique(cv2.imread(str(file), cv2.IMREAD_UNCHANGED))) > 1
    assert not [message for message in messages if "no images" in message]


@pytest.mark.training
def test_a_classification_has_its_classes_in_the_captions(train, tmp_path):
    import digits

    data, name = digits.classification(tmp_path / "data", train=8, val=4), TINY_CLASSIFY
    model = YOLO(name)
    attach(model, WandbLogger(images=3, image_period=1), strict=True)
    folder = train(model, data=str(data), epochs=2)
    (run,) = runs(folder)
    logged = [row["validation/images/captions"] for row in rows(run) if "validation/images/captions" in row]
    assert [len(captions) for captions in logged] == [3, 3]
    assert [caption.split(":")[0] for caption in logged[0]] == [caption.split(":")[0] for caption in logged[1]]
    for caption in logged[0]:
        assert re.fullmatch(r"\S+\.png: label \w+, predicted \w+ \d\.\d\d", caption)
    assert run.config["dataset"]["train"]["images"] > 0


@pytest.mark.training
def test_the_worst_images_are_a_table_of_each_validation_with_images(train, scenes):
    model = YOLO(TINY)
    attach(model, FailingImages(), WandbLogger(images=1, image_period=2, log_model=False), strict=True)
    folder = train(model, epochs=3)
    (run,) = runs(folder)
    logged = [row for row in run.rows if "failing/worst/path" in row]
    assert [row.get("epoch") for row in logged] == [2, 3, 3]  # the last one with the final evaluation
    lines = [json.loads(line) for line in (folder / "failures.jsonl").read_text().splitlines()]
    for row, line in zip(logged, lines[1:], strict=True):
        table = json.loads((run.path.parent / "files" / row["failing/worst/path"]).read_text())
        assert table["columns"] == ["image", "file", "F1", "right", "false", "missed", "suspected labels"]
        assert [[each[1], *each[2:6]] for each in table["data"]] == [
            [image["image"], *(image[key] for key in ("f1", "tp", "fp", "fn"))] for image in line["worst"]
        ]
    artifacts = [artifact for artifact in run.artifacts if "failing" in artifact["name"]]
    assert len(artifacts) == 3
    pictures = [{name for name in artifact["files"] if name.endswith(".jpg")} for artifact in artifacts]
    assert len(pictures[0]) == len(lines[1]["worst"])
    assert len(set.union(*pictures)) == len({image["image"] for line in lines[1:] for image in line["worst"]})
    content = json.loads(Path(artifacts[-1]["paths"]["failing/worst.table.json"]).read_text())
    for row in content["data"]:
        assert len(row[0]["boxes"]["missed"]) == row[5]


@pytest.mark.training
@pytest.mark.parametrize("images", [0, 4])
def test_no_table_without_images_or_without_a_comparison(train, images):
    model = YOLO(TINY)
    callbacks = [FailingImages()] if not images else []
    attach(model, *callbacks, WandbLogger(images=images, image_period=1, log_model=False), strict=True)
    (run,) = runs(train(model, epochs=1))
    assert not [key for row in run.rows for key in row if key.startswith("failing/worst")]


def test_classes_in_words():
    assert Classified(0, 7, 0.826).in_words({0: "cat"}) == "label cat, predicted 7 0.83"


@pytest.mark.training
def test_a_run_that_is_open_is_used_and_left_open(train, tmp_path):
    run = wandb.init(project="mine", dir=str(tmp_path), config={"epochs": 99})
    model = YOLO(TINY)
    attach(model, WandbLogger(images=0, log_model=False))
    folder = train(model, epochs=2)
    assert wandb.run is run
    run.log({"mine": 1})
    run.finish()
    (found,) = runs(tmp_path)
    assert (found.project, found.config["epochs"]) == ("mine", 99)
    assert [row["epoch"] for row in rows(found)] == [1, 2]
    assert not (folder / "wandb").exists()


@pytest.mark.training
def test_a_failed_training_is_a_failed_run(train):
    model = YOLO(TINY)
    attach(model, WandbLogger(images=0, alerts=True))

    def fail(trainer: Any) -> None:
        if trainer.epoch == 1:
            raise RuntimeError("CUDA out of memory, says the test")

    model.add_callback("on_train_epoch_end", fail)
    with pytest.raises(RuntimeError, match="says the test"):
        train(model, epochs=3)
    (run,) = runs(Path(model.trainer.save_dir))
    assert run.exit_code == 1
    assert [row["epoch"] for row in rows(run)] == [1]
    assert [alert["title"] for alert in run.alerts] == ["Out of memory"]


@pytest.mark.training
def test_workers_of_a_loader_do_not_keep_wandb_waiting(train, monkeypatch, messages):
    """Ultralytics forks them for the last epochs again, while wandb starts its process, and git."""
    starting, original = threading.Event(), subprocess.Popen._execute_child

    def slow(self, *arguments):
        if threading.current_thread().name == "wandb-session" and "git" in arguments[0]:
            starting.set()  # with its pipes open
            time.sleep(0.5)
        return original(self, *arguments)

    def use_workers(trainer):
        trainer.args.workers = 2  # on a CPU Ultralytics sets it to 0

    monkeypatch.setattr(subprocess.Popen, "_execute_child", slow)
    model = YOLO(TINY)
    model.add_callback("on_pretrain_routine_start", use_workers)
    attach(model, WandbLogger(finish_timeout=20), strict=True)
    model.add_callback("on_train_epoch_start", lambda _: starting.wait(60))  # the workers are forked after this
    folder = train(model, epochs=2)
    assert model.trainer.train_loader.num_workers == 2
    assert not [line for line in messages if "does not answer" in line]
    (run,) = runs(folder)
    assert [row["epoch"] for row in rows(run)] == [1, 2]


def test_alerts(train, scripted):
    scripted([0.3, detection_metrics(0.2, **{"val/box_loss": float("nan")}), 0.1, 0.1])
    model = YOLO(TINY)
    attach(model, WandbLogger(images=0, alerts=True, log_model=False), EarlyStopping(patience=2))
    folder = train(model, epochs=5)
    (run,) = runs(folder)
    assert [alert["title"] for alert in run.alerts] == ["NaN", "Training stops", "Training ended"]


@pytest.mark.training
def test_a_resumed_training_is_one_run(train, scripted, messages):
    scripted([0.1, 0.2])
    model = YOLO(TINY)
    attach(model, WandbLogger(images=0, log_model=False))
    folder = interrupted(train, model, 2, epochs=4)
    scripted([0.3, 0.4])
    resumed = YOLO(folder / "weights" / "last.pt")
    attach(resumed, WandbLogger(images=0, log_model=False))
    resumed.train(resume=True)
    first, second = runs(folder)
    assert first.id == second.id
    assert [row["epoch"] for row in (*rows(first), *rows(second))] == [1, 2, 3, 4]
    command = next(line for line in messages[-1].splitlines() if "wandb sync" in line)
    assert str(first.path.parent) in command
    assert str(second.path.parent) in command


@pytest.mark.training
@pytest.mark.parametrize("lost", [False, True], ids=["rows of the first part written", "rows of the first part lost"])
def test_a_resumed_training_whose_run_cannot_be_opened(train, scripted, messages, monkeypatch, lost):
    """All rows are saved, each one once: also those that the first part did not bring to its file."""
    scripted([0.1, 0.2])
    model = YOLO(TINY)
    attach(model, WandbLogger(images=0, log_model=False))
    folder = interrupted(train, model, 2, epochs=4)
    if lost:
        (run,) = runs(folder)
        shutil.rmtree(run.path.parent)

    def refused(*_: Any, **__: Any) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr("yolo_callbacks.loggers.wandb_parts.session_run.open_run", refused)
    scripted([0.3, 0.4])
    resumed = YOLO(folder / "weights" / "last.pt")
    attach(resumed, WandbLogger(images=0, log_model=False))
    resumed.train(resume=True)
    found = runs(folder)
    assert len({run.id for run in found}) == 1
    assert sorted(row["epoch"] for run in found for row in rows(run)) == [1, 2, 3, 4]
    assert all(str(run.path.parent) in messages[-1] for run in found)


@pytest.mark.training
def test_pictures_that_fail_cost_no_scalars_and_no_run(train, monkeypatch, messages):
    """And the next training has a run of its own."""

    def full(path: Path, **_: Any) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("yolo_callbacks.loggers.logger_parts.picture_files.encode_jpeg", full)
    model = YOLO(TINY)
    attach(model, WandbLogger(images=2, image_period=1, log_model=False))
    folders = [train(model, epochs=2, name=name) for name in ("first", "second")]
    for folder in folders:
        (run,) = runs(folder)
        assert ([row["epoch"] for row in rows(run)], run.exit_code) == ([1, 2], 0)
    assert sum("no images from here on: OSError" in message for message in messages) == 2


@pytest.mark.training
def test_a_callback_that_was_switched_off_still_closes(train, monkeypatch):
    def broken(*arguments: Any) -> None:
        raise RuntimeError("broken")

    model, logger = YOLO(TINY), WandbLogger(images=0, log_model=False)
    monkeypatch.setattr(History, "log_epoch", broken)
    attach(model, logger)
    folder = train(model, epochs=4)
    (run,) = runs(folder)
    assert run.exit_code == 0
    assert wandb.run is None


@pytest.mark.training
def test_the_metadata_name_what_was_promoted(train, scripted):
    scripted([detection_metrics(value, **{"metrics/recall(B)": 1 - value}) for value in (0.1, 0.2, 0.3)])
    model = YOLO(TINY)
    attach(model, SaveBest("recall", promote=True), WandbLogger(images=0))
    (run,) = runs(train(model, epochs=3))
    (artifact,) = [found for found in run.artifacts if found["type"] == "model"]
    metadata = artifact["metadata"]
    assert (metadata["epoch"], metadata["monitor"], metadata["score"]) == (1, "recall", 0.9)


@pytest.mark.training
def test_too_many_classes_are_a_table_at_the_end(train, monkeypatch):
    for module in ("metrics.scalars", "loggers.wandb_parts.media"):
        monkeypatch.setattr(f"yolo_callbacks.{module}.MAX_CLASSES", 2)
    model = YOLO(TINY)
    attach(model, WandbLogger(images=0, log_model=False))
    (run,) = runs(train(model, epochs=1))
    assert not [key for row in rows(run) for key in row if key.startswith("per_class/")]
    table = json.loads(next(path for path in run.files if "per_class" in path.name).read_text())
    assert table["columns"][0] == "class"
    assert {row[0] for row in table["data"]} == {"zero", "one", "two"}


@pytest.mark.training
@pytest.mark.parametrize("how", ["environment", "argument", "settings"])
def test_disabled_is_disabled(train, monkeypatch, how, messages):
    if how == "environment":
        monkeypatch.setenv("WANDB_MODE", "disabled")
    given = {"environment": {}, "argument": {"mode": "disabled"}, "settings": {"settings": {"mode": "disabled"}}}[how]
    model = YOLO(TINY)
    attach(model, WandbLogger(images=0, log_model=False, **given))
    folder = train(model, epochs=1)
    assert runs(folder) == []
    assert any(re.match(r"  WandbLogger .*  disabled$", line) for line in messages[-1].splitlines())


@pytest.mark.training
def test_repeated_epochs_are_logged_once(train, scripted):
    import torch

    scripted([0.3, 0.4, float("nan"), 0.2])
    model, passes = YOLO(TINY), []

    def poison(trainer: Any) -> None:
        passes.append(trainer.epoch + 1)
        if passes == [1, 2, 3]:
            trainer.loss = torch.tensor(float("nan"))

    model.add_callback("on_train_epoch_end", poison)
    attach(model, WandbLogger(images=0, log_model=False, batch_period=1, alerts=True))
    folder = train(model, epochs=3)
    (run,) = runs(folder)
    assert [row["epoch"] for row in rows(run)] == [1, 2, 3]
    assert [row["batch/step"] for row in run.rows if "batch/step" in row] == [1, 2, 3, 4, 5, 6]
    assert [alert["title"] for alert in run.alerts] == ["NaN", "Training ended"]


@pytest.mark.training
@pytest.mark.skipif(ULTRALYTICS < (8, 4, 60), reason="tries again with smaller batches from 8.4.29 or so on")
def test_the_first_epoch_again_after_an_out_of_memory_error(train, messages):
    """A real retry; only the error itself is made up, since there is no accelerator here."""
    model = YOLO(TINY)

    def run_out_once(trainer: Any) -> None:
        preprocess = trainer.preprocess_batch

        def fail(batch: Any) -> Any:
            trainer.preprocess_batch = preprocess
            raise RuntimeError("CUDA out of memory")

        trainer.preprocess_batch = fail

    model.add_callback("on_train_start", run_out_once)
    attach(model, WandbLogger(images=0, log_model=False, batch_period=1, alerts=True), SaveBest(), strict=True)
    folder = train(model, epochs=2)
    (run,) = runs(folder)
    assert [row["epoch"] for row in rows(run)] == [1, 2]
    assert [row["batch/step"] for row in run.rows if "batch/step" in row] == list(range(1, 9))
    assert [alert["title"] for alert in run.alerts] == ["Out of memory", "Training ended"]


ALONE = """
import os, signal, time
from trainings import FAST, TINY
from ultralytics import YOLO
from ultralytics.utils import SETTINGS
from yolo_callbacks import WandbLogger, attach

SETTINGS.update(wandb=built_in)

def kill_in_the_second(trainer):
    if kill and trainer.epoch == 1:
        time.sleep(1.5)
        os.kill(os.getpid(), signal.SIGKILL)

model = YOLO(TINY)
attach(model, WandbLogger(images=0, log_model=False, background=False))
model.add_callback("on_fit_epoch_end", kill_in_the_second)
model.train(**{**FAST, "data": data, "epochs": 3, "project": folder, "name": "run"})
"""


@pytest.mark.slow
@pytest.mark.training
def test_beside_the_built_in_integration_one_logs(interpreter, tmp_path, scenes):
    """In a process of its own, as the next: where pytest is imported, Ultralytics switches its integration off."""
    ended = interpreter.run(ALONE, data=str(scenes), folder=str(tmp_path), built_in=True, kill=False)
    assert ended.status == 0, ended.said
    assert "Ultralytics' own W&B integration is off in this training, this one logs" in ended.said
    (run,) = runs(tmp_path)
    assert [row["epoch"] for row in rows(run)] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.training
def test_what_was_logged_survives_a_kill(interpreter, tmp_path, scenes):
    ended = interpreter.run(ALONE, data=str(scenes), folder=str(tmp_path), built_in=False, kill=True)
    assert ended.status == -signal.SIGKILL, ended.said
    (run,) = runs(tmp_path)
    assert [row["epoch"] for row in rows(run)] == [1, 2]
    assert run.exit_code is None


KILLED_AT_THE_END = """
import os, shutil, signal, time
from pathlib import Path
from trainings import FAST, TINY
from ultralytics import YOLO
from yolo_callbacks import WandbLogger, attach
from yolo_callbacks.loggers.wandb_parts.file import logged_rows

last = Path(folder) / "run/weights/last.pt"

def kill(trainer):
    if not resume and trainer.validator.training and trainer.epoch == 1:
        shutil.copy(last, folder)  # stripped before the final evaluation, it cannot be resumed
    if resume or trainer.validator.training:
        return
    while ("final", 0) not in logged_rows(Path(logger.run.sync_dir)):
        time.sleep(0.05)
    shutil.copy(Path(folder) / "last.pt", last)
    os.kill(os.getpid(), signal.SIGKILL)

model = YOLO(last if resume else TINY)
logger = WandbLogger(images=0, log_model=False)
attach(model, logger)
model.add_callback("on_fit_epoch_end", kill)
model.train(**({"resume": True} if resume else {**FAST, "data": data, "epochs": 2, "project": folder, "name": "run"}))
"""


@pytest.mark.slow
@pytest.mark.training
def test_a_kill_after_the_final_evaluation_repeats_no_row(interpreter, tmp_path, scenes):
    for resume, status in ((False, -signal.SIGKILL), (True, 0)):
        ended = interpreter.run(KILLED_AT_THE_END, data=str(scenes), folder=str(tmp_path), resume=resume)
        assert ended.status == status, ended.said
    found = runs(tmp_path)
    assert len({run.id for run in found}) == 1
    assert [row["epoch"] for run in found for row in rows(run)] == [1, 2]
    assert len([row for run in found for row in run.rows if any(key.startswith("final/") for key in row)]) == 1
