"""The lines of every run: at the start, at a new best, and what continues it."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from trainings import TINY, interrupted
from ultralytics import YOLO

from yolo_callbacks import (
    Callback,
    EarlyStopping,
    ExportBest,
    JsonlLogger,
    MemoryCleanup,
    Mirror,
    SaveBest,
    WandbLogger,
    attach,
)
from yolo_callbacks.suite.messages import repeat_at_exit, show_summary
from yolo_callbacks.suite.next_step import PLUGIN_ATTRIBUTE, next_step
from yolo_callbacks.suite.run_end import numbered
from yolo_callbacks.trainer import launched_training
from yolo_callbacks.utils.launcher import Launch
from yolo_callbacks.utils.repeating import repeated_by

pytestmark = pytest.mark.training


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Every message of the library."""
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("ultralytics.yolo_callbacks")
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def test_one_line_at_the_start_and_one_for_each_new_best(train, scripted, lines):
    scripted([0.1, 0.3, 0.2, 0.4])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"), SaveBest("min(mAP50)", filename="worst"), MemoryCleanup(), JsonlLogger())
    folder = train(model, epochs=4)
    assert lines[0] == (
        f"Callbacks: SaveBest by mAP50, SaveBest by mAP50 of the worst class, MemoryCleanup, JsonlLogger; "
        f"files in {folder}"
    )
    best = [line for line in lines if line.startswith("SaveBest: best mAP50 so far")]
    assert best == [
        f"SaveBest: best mAP50 so far, {value} at epoch {epoch}" for value, epoch in ((0.1, 1), (0.3, 2), (0.4, 4))
    ]


def test_a_best_of_zero_is_no_best(train, scripted, lines):
    scripted([0.0, 0.0])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50", skip_untrained=False), EarlyStopping("recall", patience=9, skip_untrained=False))
    train(model, epochs=2)
    assert not [line for line in lines if "so far" in line]
    assert "mAP50 was 0 in every epoch: " in lines[-1]
    assert "not stopped, recall: 0 in every epoch, 1 check without improvement" in lines[-1]


def test_an_interrupted_run_says_what_continues_it_and_a_resumed_one_adds_up(train, scripted, lines, monkeypatch):
    scripted([0.1, 0.2, 0.3])
    monkeypatch.delenv("YOLO_CALLBACKS", raising=False)
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"))
    folder = interrupted(train, model, 2, epochs=3)
    last = folder / "weights" / "last.pt"
    trained = json.loads((folder / "callbacks.json").read_text())["seconds"]
    assert lines[-1].endswith(
        f"to continue: from ultralytics import YOLO; from yolo_callbacks import SaveBest, attach; "
        f"model = YOLO({str(last)!r}); attach(model, SaveBest(monitor='mAP50')); model.train(resume=True)"
    )
    resumed = YOLO(last)
    attach(resumed, SaveBest("mAP50"))
    scripted([0.3])
    resumed.train(resume=True)
    summary = json.loads((folder / "callbacks.json").read_text())["summary"]
    assert trained
    assert summary["seconds_before"] == trained != summary["seconds"]
    assert (summary["epochs"], summary["epochs_timed"], summary["next_step"]) == (3, 1, "")


@pytest.mark.parametrize("keep_resumable", [False, True])
def test_a_stopped_run_names_the_command_that_extends_it_only_where_it_works(train, scripted, lines, keep_resumable):
    scripted([0.5, 0.4, 0.3])
    model = YOLO(TINY)
    attach(model, EarlyStopping("mAP50", patience=1), keep_resumable=keep_resumable)
    folder = train(model, epochs=7)
    assert (
        lines[-1].endswith(
            "to continue: from yolo_callbacks import EarlyStopping, extend; "
            f"extend({str(folder)!r}, EarlyStopping(monitor='mAP50', patience=1), epochs=7)"
        )
        == keep_resumable
    )
    assert ("to continue" in lines[-1]) == keep_resumable


@pytest.fixture
def plugged(tmp_path, monkeypatch) -> SimpleNamespace:
    """A run of YOLO_CALLBACKS with epochs left, in a folder whose name has a space."""
    monkeypatch.setenv("YOLO_CALLBACKS", "my callbacks.yaml")
    weights = tmp_path / "a run" / "weights"
    weights.mkdir(parents=True)
    (weights / "last.pt").touch()
    values = {"last_epoch": 3, "planned_epochs": 9, "completed_epochs": 0, "single_process": True}
    trainer, supervision = SimpleNamespace(**{PLUGIN_ATTRIBUTE: True}), SimpleNamespace(has_checkpoint=True)
    return SimpleNamespace(
        save_dir=weights.parent, weights_dir=weights, trainer=trainer, supervision=supervision, left=None, **values
    )


class Own(Callback):
    """A callback of a user's script."""


def test_commands_keep_the_callbacks_and_are_quoted(plugged):
    folder = plugged.save_dir
    assert next_step(plugged, "ended by Ctrl-C", callbacks=[], options={}) == (
        f"YOLO_CALLBACKS='my callbacks.yaml' yolo train resume=True model='{folder / 'weights' / 'last.pt'}'"
    )
    assert next_step(plugged, "finished", callbacks=[], options={"keep_resumable": True}) == (
        f"YOLO_CALLBACKS='my callbacks.yaml' yolo-callbacks extend '{folder}' epochs=9"
    )


@pytest.mark.parametrize(
    ("variables", "start"),
    [
        ({"TORCHELASTIC_RUN_ID": "none", "SLURM_STEP_NUM_TASKS": "2"}, "torchrun … -m yolo_callbacks train"),
        ({"SLURM_STEP_NUM_TASKS": "2"}, "srun … yolo-callbacks train"),
        ({}, "<your launcher> … yolo-callbacks train"),
    ],
)
def test_under_a_launcher_the_command_is_one_for_it(plugged, monkeypatch, variables, start):
    monkeypatch.setattr(launched_training, "_launches", [Launch(0, 0, 2, 2)])
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    last = plugged.save_dir / "weights" / "last.pt"
    step = next_step(plugged, "ended by Ctrl-C", callbacks=[], options={})
    assert step == f"{start} callbacks='my callbacks.yaml' resume=True model='{last}'"
    with repeated_by("start the same command again"):
        assert next_step(plugged, "ended by Ctrl-C", callbacks=[], options={}) == "start the same command again"


def test_a_call_that_resumes_by_itself_is_repeated(plugged, monkeypatch):
    with repeated_by("start the same command again"):
        assert next_step(plugged, "left early", callbacks=[], options={}) == "start the same command again"
        plugged.supervision.has_checkpoint = False
        assert next_step(plugged, "left early", callbacks=[], options={}).startswith("start the training again")


@pytest.mark.parametrize(
    ("callbacks", "names", "calls"),
    [
        ([SaveBest()], "SaveBest, attach", "SaveBest()"),
        (
            [SaveBest("recall", mode="max", guard={"precision": 0.5}), EarlyStopping(patience=7)],
            "EarlyStopping, SaveBest, attach",
            "SaveBest(monitor='recall', mode='max', guard={'precision': 0.5}), EarlyStopping(patience=7)",
        ),
        ([SaveBest("mAP50").in_epochs("3:")], "SaveBest, attach", "SaveBest(monitor='mAP50').in_epochs('3:')"),
        ([SaveBest(), Own()], "", ""),
        ([SaveBest(lambda record: 0.0, "max")], "", ""),
        ([WandbLogger(images=3)], "WandbLogger, attach", "WandbLogger(images=3)"),
        ([WandbLogger(name="https://me:s3cret@example.org")], "", ""),
        ([WandbLogger(settings={"api_key": "s3cret"})], "", ""),
        ([WandbLogger(tags=["a"])], "WandbLogger, attach", "WandbLogger(tags=['a'])"),
        ([ExportBest(dynamic=True)], "ExportBest, attach", "ExportBest(dynamic=True)"),
        ([Mirror("memory://bucket", storage_options={"secret": "s3cret"})], "", ""),
        ([WandbLogger(notes="https://me:s3cret@example.org")], "", ""),
    ],
)
def test_python_to_paste(plugged, monkeypatch, callbacks, names, calls):
    monkeypatch.delenv("YOLO_CALLBACKS")
    last = plugged.weights_dir / "last.pt"
    options = {"strict": False, "report": True, "keep_resumable": True}
    step = next_step(plugged, "ended by Ctrl-C", callbacks=callbacks, options=options)
    if not calls:
        assert step == f"load {str(last)!r}, attach the same callbacks, and call model.train(resume=True)"
        return
    assert step == (
        f"from ultralytics import YOLO; from yolo_callbacks import {names}; model = YOLO({str(last)!r}); "
        f"attach(model, {calls}, report=True, keep_resumable=True); model.train(resume=True)"
    )
    compile(step, "step", "exec")


def test_a_checkpoint_of_an_earlier_run_in_the_folder_is_not_resumed(plugged):
    plugged.supervision.has_checkpoint = False
    step = next_step(plugged, "ended by Ctrl-C", callbacks=[], options={})
    assert step == "start the training again, no checkpoint was written yet"


def test_two_of_one_class_are_told_apart():
    rows: list[dict[str, Any]] = [
        {"name": "Mine", "outcome": None},
        {"name": "SaveBest", "outcome": "mAP50 0.5"},
        {"name": "Mine", "outcome": None},
        {"name": "SaveBest", "outcome": "recall 0.5"},
    ]
    assert [row["name"] for row in numbered(rows)] == ["Mine 1", "SaveBest", "Mine 2", "SaveBest"]


SUMMARY = {"status": "finished", "epochs": 1, "seconds": 1.0, "seconds_in_callbacks": 0.0, "folder": "run"}


class ZMQInteractiveShell:
    """The shell of a notebook, by its name."""


class ColabShell(ZMQInteractiveShell):
    """That of Google Colab is a subclass."""


@pytest.mark.parametrize(
    ("shell", "shown"), [(ZMQInteractiveShell(), True), (ColabShell(), True), (object(), False), (None, False)]
)
def test_a_notebook_shows_html_instead_of_text(shell, shown, monkeypatch, lines):
    pages: list[dict[str, str]] = []
    display = SimpleNamespace(display=lambda data, raw: pages.append(data))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    show_summary({**SUMMARY, "callbacks": []})
    assert (len(pages), len(lines)) == ((1, 0) if shown else (0, 1))
    assert not pages or "<table>" in pages[0]["text/html"]


def test_a_notebook_that_shows_nothing_gets_the_text(monkeypatch, lines):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=ZMQInteractiveShell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace())
    show_summary({**SUMMARY, "callbacks": []})
    assert lines[0].startswith("Callbacks: finished after 1 epoch")


@pytest.mark.parametrize("caught", [True, False])
def test_what_continues_the_run_is_repeated_after_a_traceback(monkeypatch, lines, caught):
    registered: list[Any] = []
    monkeypatch.setattr("atexit.register", lambda function, *arguments: registered.append((function, arguments)))
    repeat_at_exit("Callbacks: to continue: python train.py")
    monkeypatch.setattr(sys, "last_value", None if caught else KeyboardInterrupt(), raising=False)
    ((function, arguments),) = registered
    function(*arguments)
    assert lines == ([] if caught else ["Callbacks: to continue: python train.py"])


def test_an_epoch_without_a_decision_is_named(train, scripted, lines):
    """Ctrl-C may come between the checkpoint of an epoch and the decisions on it."""
    scripted([0.1, 0.3, 0.2])
    model = YOLO(TINY)

    def interrupt(trainer: Any) -> None:
        if trainer.epoch == 1:
            raise KeyboardInterrupt

    model.add_callback("on_model_save", interrupt)
    attach(model, SaveBest("mAP50"))
    with pytest.raises(KeyboardInterrupt):
        train(model, epochs=3)
    assert "\n  epoch 2 is complete, and the callbacks decide on it when the run is resumed\n" in lines[-1]
