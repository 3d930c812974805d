"""Secrets: in no text, no argument, no checkpoint that is handed on, and nothing that W&B stores."""

from __future__ import annotations

import copy
import json
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from trainings import TINY
from ultralytics import YOLO

from yolo_callbacks import Callback, WandbLogger, attach
from yolo_callbacks.utils.redaction import (
    MASK,
    Origins,
    clean_arguments,
    clean_checkpoint,
    clean_command_line,
    clean_text,
    one_line,
    origins_of,
    remember_origins,
    text_of,
    without_credentials,
)

HIDDEN = Origins("callbacks.yaml:3", {"token": ("SECRET",), "url": ("USER", "HOST")})


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("see https://me:pw@host/a?key=1#x and http://b@c:80/d, ok", "see https://host/a and http://c:80/d, ok"),
        ("cloned from me:pw@github.com:a/b.git", "cloned from github.com:a/b.git"),
        ("git@github.com:a/b.git", "git@github.com:a/b.git"),
        ("'s3://id:se/cret@bucket/x'", "'s3://bucket/x'"),
        ("wandb sync --include-online /a/b@c", "wandb sync --include-online /a/b@c"),
        ("best 0.5 at epoch 3: runs/x.pt", "best 0.5 at epoch 3: runs/x.pt"),
    ],
)
def test_text(text, clean):
    assert clean_text(text) == clean


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        (Path("https://user:pw@host/x"), "https:/host/x"),
        (Path("/data/a@b/c"), "/data/a@b/c"),
        ("C:/data/a@b/c?d", "C:/data/a@b/c?d"),
        ("https://user:p w@host/x", "https://host/x"),
        (("a", {"b": "ftp://u:p@h"}), ["a", {"b": "ftp://h"}]),
    ],
)
def test_values(value, clean):
    assert without_credentials(value) == clean


def test_arguments_named_like_secrets():
    names = ("key", "API_KEY", "wandbkey", "myToken", "client-secret", "PASSWORD", "db_passwd", "awsSecretId", "pwd")
    assert set(clean_arguments(dict.fromkeys(names, "hunter2")).values()) == {MASK}
    assert clean_arguments({"password": 12345, "tokens": [1], "auth": True}) == dict.fromkeys(
        ("password", "tokens", "auth"), MASK
    )
    harmless = {"keypoints": 17, "tokenizer": 5, "key": None, "monitor": "mAP50/person", "token": ""}
    assert clean_arguments(harmless) == harmless


def test_a_command_line():
    given = ["train", "data=https://u:hunter2@h/d?t=hunter2", "api_key=hunter2", "--token", "hunter2", "-x", "a=b"]
    cleaned = ["train", "data=https://h/d", f"api_key={MASK}", "--token", MASK, "-x", "a=b"]
    assert clean_command_line(given) == cleaned
    assert clean_command_line([f"--password={'hunter2'}", "--key", "--epochs=3"]) == [
        f"--password={MASK}",
        "--key",
        "--epochs=3",
    ]


def test_a_checkpoint_is_changed_where_it_has_credentials_only():
    plain = {"train_args": {"data": "coco8.yaml", "epochs": 3}, "git": {"origin": "git@github.com:a/b.git"}, "epoch": 1}
    assert clean_checkpoint(plain) is None
    model = SimpleNamespace(args={"data": "https://u:hunter2@h/d.zip", "epochs": 3})
    training = SimpleNamespace(args=SimpleNamespace(data="https://u:hunter2@h/d.zip", imgsz=32))
    given = {
        "model": model,
        "ema": training,
        "train_args": {"data": "https://u:hunter2@h/d.zip", "project": Path("/runs"), "classes": [0, 1]},
        "git": {"root": Path("/x"), "origin": "https://hunter2@github.com/a/b.git"},
        "epoch": 3,
    }
    before = copy.deepcopy({name: given[name] for name in ("train_args", "git")})
    cleaned = clean_checkpoint(given)
    assert "hunter2" not in repr(cleaned)
    assert cleaned["train_args"] == {"data": "https://h/d.zip", "project": Path("/runs"), "classes": [0, 1]}
    assert cleaned["git"] == {"root": Path("/x"), "origin": "https://github.com/a/b.git"}
    assert (model.args["epochs"], training.args.imgsz, cleaned["epoch"]) == (3, 32, 3)
    assert {name: given[name] for name in before} == before


def test_one_line():
    assert one_line(" a\n  b\r\nc\u2028d\te\x1b[31m\x00 ") == "a b c d e\\x1b[31m\\x00"


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_the_text_of_an_exception():
    assert text_of(ValueError("a\nb")) == "a b"
    assert (text_of(ValueError()), text_of(MuteError())) == ("ValueError", "MuteError")


def test_a_message_names_arguments_and_variables():
    error = ValueError("hunter2")
    assert "hunter2" not in HIDDEN.text(error) + HIDDEN.described(error)
    assert HIDDEN.text(error).endswith("token (from ${SECRET}), url (from ${USER}, ${HOST})")
    assert Origins().described(error) == "ValueError: hunter2"
    assert Origins().described(ValueError()) == "ValueError"


def test_a_trace_has_frames_and_no_text():
    try:
        try:
            raise KeyError("hunter2")
        except KeyError as cause:
            raise ValueError("hunter2") from cause
    except ValueError as error:
        trace = HIDDEN.trace(error)
    assert "test_a_trace_has_frames_and_no_text" in trace
    assert "ValueError; its text is not shown" in trace
    assert trace.count("hunter2") == 1  # the line of code, which has the text here
    assert 'raise ValueError("hunter2") from cause' in trace


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
    assert failed[0].startswith(f"Leaky failed in {event}\nTraceback")
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
    (told,) = [message for message in messages if "its state cannot be restored" in message]
    assert "token (from ${TOKEN})" in told
    assert "hunter2" not in "\n".join(messages)


def _stop_in(trainer: object, epoch: int) -> None:
    if trainer.epoch == epoch:
        raise InterruptedError


def test_where_arguments_came_from_travels_with_the_callback():
    assert origins_of(copy.deepcopy(leaky(""))) == Origins("callbacks.yaml:2", {"token": ("TOKEN",)})
    assert origins_of(Leaky("x")) == Origins()
    assert origins_of(3) == Origins()


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
