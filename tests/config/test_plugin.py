"""YOLO_CALLBACKS without a training."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

import _yolo_callbacks_boot as boot
from yolo_callbacks.config import plugin


@pytest.mark.training
def test_functions_are_copied_and_pickled_by_name(monkeypatch):
    """Ultralytics copies the functions for models and pickles them for workers: both must give the same function."""
    from ultralytics.utils.callbacks.base import default_callbacks, get_default_callbacks

    monkeypatch.setenv("YOLO_CALLBACKS", "EarlyStopping")
    before = {event: list(functions) for event, functions in default_callbacks.items()}
    try:
        plugin.register(default_callbacks)
        plugin.register(default_callbacks)
        for event, function in plugin.FUNCTIONS.items():
            assert get_default_callbacks()[event] == [function, *before.get(event, [])]
            assert pickle.loads(pickle.dumps(function)) is function
    finally:
        default_callbacks.clear()
        default_callbacks.update(before)


@pytest.mark.parametrize(
    "command",
    [
        ["yolo", "train", "data=x.yaml"],
        ["/usr/bin/ultralytics", "data=x.yaml", "mode=train"],
        ["yolo", "val", "data=x.yaml"],
        ["yolo", "mode=predict"],
        ["yolo.exe", "export"],
    ],
)
def test_a_mistake_ends_every_command(command, monkeypatch, capsys):
    monkeypatch.setenv("YOLO_CALLBACKS", "nothing")
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match="2"):
        boot.refuse(ValueError("one line"))
    assert capsys.readouterr().err == "one line\n"


def test_a_mistake_in_a_script_shows_nothing_of_the_error_behind_it(monkeypatch):
    """Its text may hold the value of a variable."""
    monkeypatch.setattr(sys, "argv", ["script.py"])
    try:
        raise ValueError("a value")
    except ValueError:
        with pytest.raises(ValueError, match="one line") as raised:
            boot.refuse(ValueError("one line"))
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    ("value", "kept"),
    [("default", True), ("SaveBest,EarlyStopping", True), ("mine:Mine", True), ("c.yaml", False), ("./c", False)],
)
def test_only_a_file_is_made_absolute(value, kept, monkeypatch):
    monkeypatch.setenv("YOLO_CALLBACKS", value)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    boot.install()
    boot.install()
    assert boot.os.environ["YOLO_CALLBACKS"] == (value if kept else str(Path(value).absolute()))
    assert sum(type(finder).__module__ == boot.__name__ for finder in sys.meta_path) == 1
