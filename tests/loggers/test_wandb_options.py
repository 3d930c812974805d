"""The arguments of WandbLogger."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from yolo_callbacks import WandbLogger
from yolo_callbacks.loggers.logger_parts.training_names import lasting_folder
from yolo_callbacks.loggers.wandb_parts.options import clean_name, target_of
from yolo_callbacks.utils.redaction import without_credentials


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("runs/detect", "runs-detect"),
        ("a:b?c%d#e", "a-b-c-d-e"),
        ("", "Ultralytics"),
        ("x" * 200, "x" * 128),
        (" ", "Ultralytics"),
        ("..", "Ultralytics"),
    ],
)
def test_project_names(name, clean):
    assert clean_name(name, "Ultralytics") == clean


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        ("rtsp://user:secret@camera/1", "rtsp://camera/1"),
        ("https://host/data.zip?token=abc", "https://host/data.zip"),
        ({"origin": "https://me:pat@github.com/a/b.git"}, {"origin": "https://github.com/a/b.git"}),
        ([1, 2.5, True, None, Path("a")], [1, 2.5, True, None, "a"]),
        ("what?", "what?"),
        ("https://user:p@ss@host/x", "https://host/x"),
        ("s3://key:a/b@host/x", "s3://host/x"),
        ("https://host/#access_token=abc", "https://host/"),
    ],
)
def test_no_credentials_in_the_config(value, clean):
    assert without_credentials(value) == clean


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"project": 3}, TypeError, "project must be a string or None, received 3"),
        ({"name": ""}, ValueError, "name must not be empty, received ''"),
        ({"mode": "on"}, ValueError, "mode must be one of online, offline, disabled, shared, received 'on'"),
        ({"images": -1}, ValueError, "images must be at least 0, received -1"),
        ({"image_period": 0}, ValueError, "image_period must be at least 1, received 0"),
        ({"batch_period": 2.5}, TypeError, "batch_period must be an integer, received 2.5"),
        ({"log_model": "all"}, ValueError, "log_model must be 'best' or False, received 'all'"),
        ({"alerts": "yes"}, TypeError, "alerts must be True or False, received 'yes'"),
        ({"background": 1}, TypeError, "background must be True or False, received 1"),
        ({"init_timeout": 0}, ValueError, "init_timeout must be finite and at least 1, received 0"),
        ({"finish_timeout": float("inf")}, ValueError, "finish_timeout must be finite and at least 1, received inf"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        WandbLogger(**arguments)


def training(folder: str, project: str | None) -> Any:
    """A training as far as the place of its W&B run depends on it."""
    save_dir = Path(folder)
    arguments = SimpleNamespace(project=project, name=save_dir.name)
    return SimpleNamespace(save_dir=save_dir, trainer=SimpleNamespace(args=arguments))


SEARCH = json.dumps({"folder": "/runs/crowns/tune-2", "project": "runs/crowns"})


@pytest.mark.parametrize(
    ("folder", "project", "search", "target"),
    [
        ("/runs/detect/train", None, "", {"project": "Ultralytics", "name": "train", "dir": "/runs/detect/train"}),
        ("/runs/crowns/a", "runs/crowns", "", {"project": "crowns", "name": "a", "dir": "/runs/crowns/a"}),
        # of an iteration: 8.4.139 and later, then older versions
        ("/runs/crowns/multitrain3/coco8", "/runs/crowns/multitrain3", SEARCH, {"name": "multitrain3-coco8"}),
        ("/runs/crowns/train3", "runs/crowns", SEARCH, {"name": "train3"}),
    ],
)
def test_the_place_of_a_run(folder, project, search, target, monkeypatch):
    for name in ("WANDB_PROJECT", "WANDB_NAME", "WANDB_DIR", "WANDB_RUN_GROUP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("YOLO_CALLBACKS_SEARCH", search)
    run = training(folder, project)
    of_search = {"project": "crowns", "group": "tune-2", "dir": "/runs/crowns/tune-2"} if search else {}
    assert target_of(run, None, None) == {**of_search, **target}
    assert str(lasting_folder(run)) == target_of(run, None, None)["dir"]
    assert {"project": "mine", "name": "own"}.items() <= target_of(run, "mine", "own").items()
    for name in ("WANDB_PROJECT", "WANDB_NAME", "WANDB_DIR", "WANDB_RUN_GROUP"):
        monkeypatch.setenv(name, "given")
    assert target_of(run, None, None) == {"project": "given", "name": "given"}
