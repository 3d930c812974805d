"""The command that the user has run, after `yolo-callbacks` has put that of Ultralytics in its place."""

from __future__ import annotations

import sys
from types import SimpleNamespace

from wandb import Settings

from yolo_callbacks.loggers.mlflow_parts.target import tags_of
from yolo_callbacks.loggers.wandb_parts.command_line import hide_command_line
from yolo_callbacks.utils.command_line import command_line, continue_as


def test_the_command_of_the_user_is_kept(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/bin/yolo-callbacks", "train", "callbacks=big.yaml", "epochs=3"])
    before = sys.argv
    continue_as(["yolo", "train", "epochs=3"])
    continue_as(["yolo", "train", "resume", "model=last.pt"])  # what it finds out later
    assert sys.argv is before
    assert sys.argv == ["yolo", "train", "resume", "model=last.pt"]
    assert command_line() == ["yolo-callbacks", "train", "callbacks=big.yaml", "epochs=3"]


def test_a_script_has_its_own_command(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["yolo-callbacks", "train"])
    continue_as(["yolo", "train"])
    monkeypatch.setattr(sys, "argv", ["train.py", "epochs=3"])
    assert command_line() == ["train.py", "epochs=3"]


def test_mlflow_gets_the_command_of_the_user_without_credentials(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["/bin/yolo-callbacks", "train", "callbacks=big.yaml", "token=sesame"])
    continue_as(["yolo", "train"])
    tags = tags_of(SimpleNamespace(task="detect", save_dir=tmp_path), {}, "key")
    assert tags["yolo_callbacks.command"] == "yolo-callbacks train callbacks=big.yaml token=•••"


def test_wandb_gets_the_command_of_the_user_without_credentials(monkeypatch):
    monkeypatch.setattr(Settings, "_args", Settings._args)  # put back after the test
    monkeypatch.setattr(sys, "argv", ["/bin/yolo-callbacks", "train", "callbacks=big.yaml", "token=sesame"])
    continue_as(["yolo", "train", "epochs=3"])
    hide_command_line()
    assert Settings()._args == ["train", "callbacks=big.yaml", "token=•••"]
