"""Secrets in real trainings: in no message, no checkpoint that is uploaded, and nothing that W&B stores."""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

import pytest
import torch
from trainings import TINY
from ultralytics import YOLO

from yolo_callbacks import Callback, WandbLogger, attach
from yolo_callbacks.utils.origins import Origins, remember_origins

# In a training --------------------------------------------------------------------------------------------------------


class Leaky(Callback):
    """Says its argument wherever it fails."""

    every_rank = True

    def __init__(self, token: str, event: str = "on_fit_epoch_end") -> None:
        self.token, self.event = token, event

    def state_key(self, task: str) -> str:
        return f"Leaky({self.token})" if self.event == "key" else "Leaky"

    def validate(self, run: object) -> bool:
        self._fail("check")
        return True

    def on_fit_epoch_end(self, trainer: object) -> None:
        self._fail("on_fit_epoch_end")

    def on_train_batch_end(self, trainer: object) -> None:
        self._fail("on_train_batch_end")

    def state_dict(self) -> dict[str, str]:
        self._fail("state_dict")
        return {}

    def outcome(self) -> str:
        self._fail("outcome")
        return "sent to https://user:hunter2@host/x?token=hunter2"

    def written_files(self) -> list[Path]:
        self._fail("written_files")
        return []

    def _fail(self, event: str) -> None:
        if event == self.event:
            raise RuntimeError(f"cannot use {self.token}")


def leaky(event: str) -> Leaky:
    callback = Leaky("hunter2", event)
    remember_origins(callback, Origins("callbacks.yaml:2", {"token": ("TOKEN",)}))
    return callback


@pytest.mark.parametrize("event", ["on_fit_epoch_end", "on_train_batch_end", "state_dict", "outcome", "written_files"])
def test_a_callback_that_fails_shows_no_variable(event, train, scripted, messages):
    """In no log, table, file or report."""
    scripted([0.1, 0.2, 0.2])
    model = YOLO(TINY)
    attach(model, leaky(event), report=True)
    folder = train(model, epochs=2)
    failed = [message for message in messages if "Leaky failed in" in message]
    goes_on = "" if event == "outcome" else ", training goes on"  # the training is over
    goes_on = f": its state is not stored{goes_on}" if event == "state_dict" else goes_on
    assert failed[0].startswith(f"Leaky failed in {event}{goes_on}\nTraceback")
    assert "token (from ${TOKEN})" in failed[0]
    assert 'raise RuntimeError(f"cannot use {self.token}")' in failed[0]  # the code, not the value
    assert "hunter2" not in "\n".join(messages)
    texts = [path.read_bytes() for path in folder.rglob("*") if path.suffix in (".json", ".jsonl", ".html", ".csv")]
    assert len(texts) >= 4
    assert not [text for text in texts if b"hunter2" in text]


@pytest.mark.parametrize("event", ["on_fit_epoch_end", "on_train_batch_end", "state_dict"])
def test_strict_raises_without_the_variable(event, train, scripted):
    scripted([0.1, 0.2, 0.2])
    model = YOLO(TINY)
    attach(model, leaky(event), strict=True)
    with pytest.raises(RuntimeError, match=r"Leaky: RuntimeError; .* token \(from \$\{TOKEN\}\)") as raised:
        train(model, epochs=2)
    shown = "".join(traceback.format_exception(raised.value))
    assert "hunter2" not in shown
    assert "in _fail" in shown


def test_state_that_does_not_fit_shows_no_variable(train, scripted, messages):
    scripted([0.1, 0.2, 0.3, 0.3])
    model = YOLO(TINY)
    attach(model, Leaky("x", event=""))
    model.add_callback("on_train_epoch_start", lambda trainer: _stop_in(trainer, 2))
    with pytest.raises(InterruptedError):
        train(model, epochs=3)
    folder = Path(model.trainer.save_dir)

    class Stubborn(Leaky):
        def load_state_dict(self, state: object) -> None:
            raise ValueError(f"not with {self.token}")

    Stubborn.__name__ = "Leaky"
    callback = Stubborn("hunter2", event="")
    remember_origins(callback, Origins("callbacks.yaml:2", {"token": ("TOKEN",)}))
    model = YOLO(folder / "weights" / "last.pt")
    attach(model, callback)
    model.train(resume=True)
    (warning,) = [message for message in messages if "its state cannot be restored" in message]
    assert "token (from ${TOKEN})" in warning
    assert "hunter2" not in "\n".join(messages)


def _stop_in(trainer: object, epoch: int) -> None:
    if trainer.epoch == epoch:
        raise InterruptedError


# W&B ------------------------------------------------------------------------------------------------------------------


@pytest.mark.training
def test_nothing_that_wandb_stores_has_credentials(train, scripted, monkeypatch, tmp_path):
    """The command line, the arguments, the git origin, and the checkpoint that is uploaded."""
    data = tmp_path / "artifacts"
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DATA_DIR", str(data))
    monkeypatch.setattr(
        sys, "argv", ["yolo", "train", "tracker=https://u:hunter2@h/t.yaml", "token=hunter2", "epochs=2"]
    )
    monkeypatch.setattr(
        "yolo_callbacks.trainer.run_description._git",
        lambda: {"origin": "https://hunter2@github.com/a/b", "branch": "main"},
    )
    scripted([0.1, 0.2, 0.2])
    model = YOLO(TINY)
    attach(model, WandbLogger(images=0))
    folder = train(model, epochs=2, tracker="https://u:hunter2@h/t.yaml")
    import wandb

    wandb.teardown()
    assert "hunter2" in str(torch.load(folder / "weights" / "best.pt", weights_only=False)["train_args"])  # the user's
    stored = [path for root in (folder / "wandb", data) for path in root.rglob("*") if path.is_file()]
    (checkpoint,) = [path for path in data.rglob("*") if path.is_file()]
    assert not [path for path in stored if b"hunter2" in path.read_bytes()]
    uploaded = torch.load(checkpoint, weights_only=False)
    assert uploaded["train_args"]["tracker"] == "https://h/t.yaml"
    assert YOLO(_named(checkpoint)).names == model.names
    (run,) = folder.glob("wandb/*run-*/*.wandb")
    assert b"epochs=2" in run.read_bytes()


def _named(checkpoint: Path) -> Path:
    return Path(checkpoint).rename(checkpoint.with_name("best.pt"))


@pytest.mark.training
def test_a_checkpoint_without_credentials_is_uploaded_as_it_is(train, scripted, monkeypatch, tmp_path):
    data = tmp_path / "artifacts"
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DATA_DIR", str(data))
    scripted([0.1, 0.2, 0.2])
    model = YOLO(TINY)
    attach(model, WandbLogger(images=0))
    folder = train(model, epochs=2)
    import wandb

    wandb.teardown()
    assert not [path for path in data.rglob("*") if path.is_file()]
    (run,) = folder.glob("wandb/*run-*/*.wandb")
    assert str(folder / "weights" / "best.pt").encode() in run.read_bytes()
    state = json.loads((folder / "callbacks.json").read_text())
    assert state["summary"]["status"] == "finished"
