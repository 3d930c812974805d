"""Secrets: in no text, no argument, no checkpoint that is handed on, and nothing that W&B stores."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest

from yolo_callbacks import Callback
from yolo_callbacks.utils.messages import one_line, text_of
from yolo_callbacks.utils.origins import Origins, origins_of, remember_origins
from yolo_callbacks.utils.redaction import (
    MASK,
    clean_arguments,
    clean_checkpoint,
    clean_command_line,
    clean_text,
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


class Owner(Callback):
    def __init__(self, token: str) -> None:
        self.token = token


def test_where_arguments_came_from_travels_with_the_callback():
    callback = Owner("hunter2")
    remember_origins(callback, Origins("callbacks.yaml:2", {"token": ("TOKEN",)}))
    assert origins_of(copy.deepcopy(callback)) == Origins("callbacks.yaml:2", {"token": ("TOKEN",)})
    assert origins_of(Owner("x")) == Origins()
    assert origins_of(3) == Origins()
