"""A checkpoint of another trial, with the arguments of this one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from trainings import TINY

from yolo_callbacks.trainer.trial_arguments import new_folder, resume_from, rewrite_arguments

BEFORE = {"lr0": 0.01, "momentum": 0.9, "weight_decay": 0.0005, "epochs": 6, "save_dir": "/runs/a", "name": "a"}


def rewritten(tmp_path, groups, arguments):
    """The content of a checkpoint after it was rewritten."""
    path = tmp_path / "last.pt"
    torch.save({"train_args": BEFORE, "optimizer": {"param_groups": groups}, "epoch": 2}, path)
    rewrite_arguments(path, arguments, tmp_path / "b")
    return torch.load(path, weights_only=False)


def test_the_arguments_are_those_of_the_trial(tmp_path):
    given = {"lr0": 0.02, "data": "d.yaml", "resume": True, "model": "m.pt", "unknown": 1}
    content = rewritten(tmp_path, [], given)
    expected = {**BEFORE, "lr0": 0.02, "data": "d.yaml", "save_dir": str(tmp_path / "b")}
    assert (content["train_args"], content["epoch"]) == (expected, 2)


def test_what_is_mutated_reaches_the_optimizer(tmp_path):
    sgd = {"momentum": 0.9, "weight_decay": 0.001}  # scaled by the batch size
    adam = {"betas": (0.9, 0.999), "weight_decay": 0.0}
    content = rewritten(tmp_path, [sgd, adam], {"momentum": 0.8, "weight_decay": 0.001})
    assert content["optimizer"]["param_groups"] == [
        {"momentum": 0.8, "weight_decay": 0.002},
        {"betas": (0.8, 0.999), "weight_decay": 0.0},
    ]


@pytest.mark.parametrize("arguments", [{}, {"momentum": 0.9, "weight_decay": 0.0005}])
def test_what_is_not_mutated_stays(tmp_path, arguments):
    groups = [{"momentum": 0.85, "weight_decay": 0.001}]  # in a warm-up
    assert rewritten(tmp_path, groups, arguments)["optimizer"]["param_groups"] == groups


def test_a_new_folder_is_that_of_a_new_training(tmp_path):
    model = SimpleNamespace(overrides={"model": TINY}, task="detect")
    arguments = {"project": str(tmp_path), "name": "trial", "lr0": 0.1}
    folders = [new_folder(model, arguments) for _ in range(2)]
    assert folders[0] == tmp_path / "trial"
    assert folders[1] != folders[0]
    assert all(folder.is_dir() for folder in folders)


def test_a_model_resumes_from_the_checkpoint(tmp_path):
    model, arguments = SimpleNamespace(ckpt_path=None), {"data": "d.yaml"}
    resume_from(model, tmp_path / "last.pt", arguments)
    assert arguments == {"data": "d.yaml", "resume": str(tmp_path / "last.pt")}
    assert model.ckpt_path == str(tmp_path / "last.pt")
