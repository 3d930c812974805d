"""The arguments of WandbLogger."""

from __future__ import annotations

from pathlib import Path

import pytest

from yolo_callbacks import WandbLogger
from yolo_callbacks.loggers.wandb_parts.options import clean_name
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
