"""MLflow: the scalars of the other loggers, the right run with the right status, and no harm to the training."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow_runs import read_runs
from mlflow_server import Gate
from stand_in_trial import StandInTrial
from trainings import TINY, interrupted
from ultralytics import YOLO

from yolo_callbacks import JsonlLogger, MLflowLogger, OptunaPruning, SaveBest, attach
from yolo_callbacks.loggers.mlflow_parts.names import MetricNames
from yolo_callbacks.loggers.mlflow_parts.opened_run import OpenedRun
from yolo_callbacks.loggers.mlflow_parts.pictures import draw
from yolo_callbacks.loggers.mlflow_parts.target import parameters
from yolo_callbacks.trainer.validated_image import Classified
from yolo_callbacks.trainer.validation_images import AnnotatedImage, Box

pytest.importorskip("mlflow")


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty store, which is also the one that MLflow itself uses."""
    store = f"file:{tmp_path}/store"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    return store


def logger(**more: Any) -> MLflowLogger:
    return MLflowLogger(**{"experiment": "crowns", "images": 0, "log_model": False, "finish_timeout": 60, **more})


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "callbacks.jsonl").read_text().splitlines()]


# What is logged -------------------------------------------------------------------------------------------------------


@pytest.mark.training
def test_it_logs_what_the_other_loggers_log(train, two_of_three, uri, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["train.py", "token=sesame", "data=https://me:sesame@host/crowns.yaml"])
    model, mlflow = YOLO(TINY), logger(images=2, log_model="best", registered_name="crowns")
    attach(model, SaveBest("recall"), JsonlLogger(), mlflow, report=True, strict=True)
    folder = train(model, data=str(two_of_three), epochs=2)
    (run,) = read_runs(uri)
    assert (run.id, run.status, run.name, run.experiment) == (mlflow.run_id, "FINISHED", "run", "crowns")
    names = MetricNames()
    expected: dict[str, list[tuple[int, float]]] = {}
    for epoch, line in zip((1, 2, 2), lines(folder), strict=True):
        for key, value in line.items():
            expected.setdefault(names.of(key), []).append((epoch, value))
    assert {"metrics/mAP50-95B", "per_class/zero/recall", "final/metrics/mAP50B", "epoch"} <= set(expected)
    assert run.points == expected
    assert run.parameters["epochs"] == "2"
    assert run.parameters["dataset/train/images"] == "8"
    assert run.tags["yolo_callbacks.task"] == "detect"
    assert run.tags["yolo_callbacks.command"] == "train.py token=••• data=https://host/crowns.yaml"
    images = {path.partition("+step+")[0] for path in run.artifacts if path.startswith("images/")}
    assert {name.rpartition("~")[0] for name in images} == {"images/validation~images", "images/final~images"}
    assert len(images) == 4
    written = {"callbacks.json", "config.json", "model/best.json", "model/best.pt", "report.html", "results.csv"}
    assert {path for path in run.artifacts if not path.startswith("images/")} == {*written, "weights/best-recall.json"}
    stored = [path for path in (tmp_path / "store").rglob("*") if path.is_file() and path.suffix != ".pt"]
    assert not [path for path in stored if b"sesame" in path.read_bytes()]
    assert mlflow.outcome() == f"crowns version 1 is 'best'; run {run.id} in {uri}"


def test_parameters_are_flat_and_have_no_empty_values():
    description = {"lr0": 0.01, "cfg": "", "dataset": {"names": {"0": "a"}, "train": {"images": 8}}, "git": {"a": "b"}}
    assert parameters(description) == {"lr0": "0.01", "dataset/names": "{'0': 'a'}", "dataset/train/images": "8"}


def test_labels_and_predictions_are_drawn(tmp_path):
    import cv2
    import numpy as np

    path = tmp_path / "grey.png"
    cv2.imwrite(str(path), np.full((100, 200, 3), 128, np.uint8))
    label = Box(0.1, 0.1, 0.4, 0.6, 0)
    drawn = draw(AnnotatedImage(path, (200, 100), truth=(label,)), {0: "tree"})
    assert drawn.shape == (100, 200, 3)
    assert drawn[30, 20].tolist() == [60, 180, 75]  # its left edge
    sure, unsure = Box(0.5, 0.1, 0.9, 0.6, 0, 0.9), Box(0.5, 0.1, 0.9, 0.6, 0, 0.1)
    assert draw(AnnotatedImage(path, (200, 100), predictions=(sure,)), {})[30, 100].tolist() == [230, 25, 75]
    assert np.ptp(draw(AnnotatedImage(path, (200, 100), predictions=(unsure,)), {})) <= 4
    others = Box(0.5, 0.1, 0.9, 0.6, 0, 0.9, ((((0.5, 0.2), (0.8, 0.2), (0.8, 0.5))),), (), ((0.6, 0.4),))
    assert draw(AnnotatedImage(path, (200, 100), predictions=(others,)), {})[40, 120].tolist() == [230, 25, 75]
    captioned = draw(AnnotatedImage(path, (200, 100), classified=Classified(0, 0, 0.9)), {0: "tree"})
    assert captioned.shape[0] == 120
    assert captioned[:100, 0].max() < 135 < captioned[110].max()


# Which run ------------------------------------------------------------------------------------------------------------


@pytest.mark.training
def test_the_active_run_is_used_and_left_open(train, scripted, uri):
    import mlflow

    scripted([0.1, 0.2])
    with mlflow.start_run(run_name="mine") as mine:
        model, ours = YOLO(TINY), logger(experiment=None)
        attach(model, ours, strict=True)
        train(model, epochs=2)
        (run,) = read_runs(uri)
        assert (
            (run.id, run.name, run.status) == (mine.info.run_id, "mine", "RUNNING") == (ours.run_id, "mine", "RUNNING")
        )
        assert run.steps("metrics/mAP50B") == [1, 2]
        assert mlflow.active_run().info.run_id == mine.info.run_id


@pytest.mark.training
def test_a_trial_of_optuna_is_a_child_of_the_active_run(train, scripted, uri):
    import mlflow

    with mlflow.start_run(run_name="study") as study:
        scripted([0.1])
        model = YOLO(TINY)
        attach(model, OptunaPruning(StandInTrial(), "mAP50"), logger(), strict=True)
        train(model, epochs=1)
    parent, trial = read_runs(uri)
    assert parent.points == {}
    assert (trial.name, trial.status, trial.tags["mlflow.parentRunId"]) == ("run", "FINISHED", study.info.run_id)


@pytest.mark.training
def test_two_trainings_in_threads_have_runs_of_their_own(scenes, tmp_path, uri):
    from trainings import FAST

    def train_one(name: str, epochs: int) -> None:
        model = YOLO(TINY)
        attach(model, logger(), strict=True)
        model.train(**{**FAST, "data": str(scenes), "project": str(tmp_path), "name": name, "epochs": epochs})

    threads = [threading.Thread(target=train_one, args=(name, epochs)) for name, epochs in (("a", 1), ("b", 2))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {run.name: run.steps("epoch") for run in read_runs(uri)} == {"a": [1], "b": [1, 2]}


def test_two_with_one_target_are_refused():
    model = YOLO(TINY)
    with pytest.raises(ValueError, match="the MLflow run of experiment 'crowns'"):
        attach(model, logger(), logger())
    attach(model, logger(name="a"), logger(name="b"))


@pytest.mark.training
def test_the_integration_of_ultralytics_is_off(train, scripted, uri, messages):
    called: list[str] = []

    def theirs(trainer: Any) -> None:
        called.append("theirs")

    theirs.__module__ = "ultralytics.utils.callbacks.mlflow"
    scripted([0.1])
    model = YOLO(TINY)
    model.add_callback("on_pretrain_routine_end", theirs)
    model.add_callback("on_fit_epoch_end", theirs)
    attach(model, logger(), strict=True)
    train(model, epochs=1)
    assert called == []
    assert "MLflowLogger: Ultralytics' own MLflow integration is off in this training, this one logs" in messages


# How it ends ----------------------------------------------------------------------------------------------------------


@pytest.mark.training
def test_a_failed_training_has_a_failed_run(train, uri):
    model = YOLO(TINY)
    attach(model, logger(log_model="best"))

    def fail(trainer: Any) -> None:
        raise RuntimeError("no more")

    model.add_callback("on_train_epoch_end", fail)
    with pytest.raises(RuntimeError, match="no more"):
        train(model, epochs=2)
    (run,) = read_runs(uri)
    assert run.status == "FAILED"
    assert [path for path in run.artifacts if path.endswith(".pt")] == []


@pytest.mark.training
def test_a_resumed_training_continues_its_run_with_every_epoch_once(train, scripted, uri):
    scripted([0.1, 0.2, 0.3, 0.4])
    model = YOLO(TINY)
    attach(model, logger())
    folder = interrupted(train, model, 2, epochs=4)
    (run,) = read_runs(uri)
    assert (run.status, run.steps("epoch")) == ("KILLED", [1, 2])
    scripted([0.3, 0.4])
    resumed = YOLO(folder / "weights" / "last.pt")
    attach(resumed, logger(), strict=True)
    resumed.train(resume=True)
    (again,) = read_runs(uri)
    assert (again.id, again.status) == (run.id, "FINISHED")
    assert again.points["metrics/mAP50B"] == [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)]
    assert again.steps("final/metrics/mAP50B") == [4]


@pytest.mark.training
def test_a_dead_server_costs_no_training_and_a_resume_logs_what_it_has_lost(train, scripted, uri, messages):
    scripted([0.1, 0.2, 0.3])
    with Gate() as gate:
        model = YOLO(TINY)
        attach(model, logger(tracking_uri=gate.url, init_timeout=1, finish_timeout=1), strict=True)
        folder = interrupted(train, model, 2, epochs=3)
    row = "not logged: rows of epochs 1-2, results.csv, status KILLED, parameters, config.json; no run was opened"
    assert any(row in " ".join(message.split()) for message in messages)
    scripted([0.3])
    resumed = YOLO(folder / "weights" / "last.pt")
    attach(resumed, logger(), strict=True)
    resumed.train(resume=True)
    (run,) = read_runs(uri)
    assert run.steps("metrics/mAP50B") == [1, 2, 3]


@pytest.mark.training
def test_without_mlflow_the_training_does_not_start(train, monkeypatch, tmp_path):
    monkeypatch.setattr("yolo_callbacks.loggers.mlflow_logger.find_spec", lambda name: None)
    model = YOLO(TINY)
    attach(model, MLflowLogger())
    with pytest.raises(ModuleNotFoundError, match="pip install mlflow-skinny"):
        train(model, epochs=1)
    assert not (tmp_path / "run" / "results.csv").exists()


# Arguments ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"experiment": 3}, TypeError, "experiment must be a string or None"),
        ({"name": ""}, ValueError, "name must not be empty"),
        ({"log_model": True}, ValueError, "log_model must be 'best' or False"),
        ({"registered_name": "a", "log_model": False}, ValueError, "registered_name needs log_model='best'"),
        ({"nested": 1}, TypeError, "nested must be True or False"),
        ({"images": -1}, ValueError, "images must be at least 0"),
        ({"image_period": 0}, ValueError, "image_period must be at least 1"),
        ({"tracking_uri": "http:/localhost:5000"}, ValueError, "tracking_uri must begin with 'http://'"),
        ({"tracking_uri": "sqlite:runs.db"}, ValueError, "such as 'sqlite:///runs.db'"),
        ({"init_timeout": 0.1}, ValueError, "init_timeout must be finite and at least 1"),
        ({"finish_timeout": "long"}, ValueError, "finish_timeout must be a duration"),
    ],
)
def test_arguments_are_checked(arguments, error, message):
    with pytest.raises(error, match=message):
        MLflowLogger(**arguments)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("sqlite:///~/runs.db", "sqlite:////home/me/runs.db"),
        ("~/mlruns", "/home/me/mlruns"),
        ("file:///~/mlruns", "file:///home/me/mlruns"),
        ("sqlite:///runs.db", "sqlite:///runs.db"),
        ("file:/mnt/mlruns", "file:/mnt/mlruns"),
        ("http://localhost:5000", "http://localhost:5000"),
        ("databricks", "databricks"),
    ],
)
def test_the_home_folder_takes_the_place_of_its_sign(given, used, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert MLflowLogger(tracking_uri=given).tracking_uri == used


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("htp://me:sesame@x", "received 'htp', did you mean 'http'"),
        ("postgres://me:sesame@host/runs", "received 'postgres', did you mean 'postgresql'"),
        ("localhost:5000", "received 'localhost', write http://localhost:…"),
        ("s3://bucket", "received 's3' "),
    ],
)
def test_an_address_that_mlflow_does_not_know_is_refused(address, said):
    with pytest.raises(ValueError, match="tracking_uri") as caught:
        MLflowLogger(tracking_uri=address)
    assert said in str(caught.value)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        *("http://host:5000", "https://host", "sqlite:///mlflow.db", "mysql+pymysql://host/runs", "file:./mlruns"),
        *("databricks", "databricks://profile", "uc:https://host", "mlruns", "/data/mlruns", r"C:\mlruns"),
    ],
)
def test_an_address_that_mlflow_knows_is_accepted(address):
    assert MLflowLogger(tracking_uri=address).tracking_uri == address


def test_the_scheme_of_a_plug_in_is_accepted(monkeypatch):
    def installed(*, group: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="azureml")] * (group == "mlflow.tracking_store")

    monkeypatch.setattr("yolo_callbacks.loggers.mlflow_parts.address.entry_points", installed)
    assert MLflowLogger(tracking_uri="azureml://host").tracking_uri == "azureml://host"


@pytest.mark.parametrize("password", ["sesame", "ses,ame", "ses ame", "ses'ame"])
def test_no_password_in_its_repr(password):
    shown = MLflowLogger(tracking_uri=f"postgresql://me:{password}@host/runs")
    assert repr(shown) == "MLflowLogger(tracking_uri='postgresql://host/runs')"
    assert shown.output_files("detect") == {"the MLflow run of tracking_uri 'postgresql://host/runs'"}
    opened = OpenedRun(None, "1", "0", "", shown.tracking_uri, owned=True)
    assert opened.place == "run 1 in postgresql://host/runs"
