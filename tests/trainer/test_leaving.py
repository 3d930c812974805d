"""A training that a callback leaves early: with and without the final evaluation, resumable, with an exception."""

from __future__ import annotations

import ctypes
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trainings import TINY, results_csv
from ultralytics import YOLO

from yolo_callbacks import Callback, EarlyStopping, JsonlLogger, SaveBest, WandbLogger, attach
from yolo_callbacks.trainer import worker_exceptions
from yolo_callbacks.trainer.worker_exceptions import from_workers, hand_to_parent

pytestmark = pytest.mark.training

TrialPruned = type("TrialPruned", (Exception,), {"__module__": "optuna.exceptions"})


class Leaving(Callback):
    """Leaves with an epoch, and keeps what happens after that."""

    def __init__(self, epoch: int = 2, **arguments: Any) -> None:
        self.epoch, self.arguments = epoch, arguments
        self.seen: list[str] = []
        self.summary: dict[str, Any] = {}

    def on_epoch(self, run, record):
        if record.epoch == self.epoch:
            run.end(record, **self.arguments)

    def on_final_evaluation(self, run, record):
        self.seen.append("final evaluation")

    def on_train_end(self, trainer):
        self.seen.append("train end")

    def on_run_end(self, run, summary):
        assert json.loads((run.save_dir / "callbacks.json").read_text())["summary"]["status"] == summary["status"]
        self.seen.append("run end")
        self.summary = summary


def optimizer_in(path: Path) -> bool:
    return torch.load(path, map_location="cpu", weights_only=False)["optimizer"] is not None


@pytest.mark.parametrize(
    ("arguments", "seen", "status", "resumable"),
    [
        ({}, ["final evaluation", "train end", "run end"], "finished", False),
        ({"evaluate": False}, ["train end", "run end"], "finished", False),
        ({"evaluate": False, "resumable": True}, ["train end", "run end"], "left early", True),
        ({"resumable": True}, ["final evaluation", "train end", "run end"], "left early", True),
    ],
)
def test_it_ends_with_the_epoch(train, scripted, messages, arguments, seen, status, resumable):
    scripted([0.1, 0.2, 0.3])
    model, leaving, logger = YOLO(TINY), Leaving(reason="enough", **arguments), JsonlLogger()
    attach(model, leaving, SaveBest("mAP50"), logger, strict=True)
    folder = train(model, epochs=5, plots=True)
    assert leaving.seen == seen
    assert len(results_csv(folder)) == 2
    rows = [json.loads(line) for line in (folder / "callbacks.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows if "epoch" in row] == [1, 2]  # the loggers have had the epoch
    assert (leaving.summary["status"], leaving.summary["stopped_by"]) == (status, "Leaving: enough")
    assert optimizer_in(folder / "weights" / "last.pt") is resumable
    assert ("resume=True" in leaving.summary["next_step"]) is resumable
    assert (folder / "results.png").exists() is arguments.get("evaluate", True)
    assert not [message for message in messages if "Traceback" in message]


def test_a_run_that_was_left_resumable_goes_on(train, scripted, tmp_path):
    scripted([0.1, 0.2, 0.3, 0.2])
    model = YOLO(TINY)
    attach(model, Leaving(evaluate=False, resumable=True), SaveBest("mAP50"))
    folder = train(model, epochs=4)
    resumed, saved = YOLO(folder / "weights" / "last.pt"), SaveBest("mAP50")
    leaving = Leaving(epoch=9)
    attach(resumed, leaving, saved)
    resumed.train(resume=True)
    assert [row["epoch"] for row in results_csv(folder)] == [1, 2, 3, 4]
    assert (saved.best_epoch, leaving.summary["status"]) == (3, "finished")


@pytest.mark.parametrize(("error", "status"), [(TrialPruned("at 2"), "pruned"), (OSError("x"), "ended by OSError")])
def test_the_exception_comes_out_of_train_after_everything(train, scripted, messages, error, status):
    scripted([0.1, 0.2, 0.3])
    model, leaving = YOLO(TINY), Leaving(raising=error, evaluate=False)
    attach(model, leaving, SaveBest("mAP50"), strict=True)
    with pytest.raises(type(error)) as raised:
        train(model, epochs=5)
    assert raised.value is error
    assert leaving.seen == ["train end", "run end"]
    assert (leaving.summary["status"], leaving.summary["next_step"]) == (status, "")
    assert [row["failures"] for row in leaving.summary["callbacks"]] == [0, 0]
    assert not [message for message in messages if "Traceback" in message]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("event", ["on_epoch", "on_train_batch_end", "on_train_epoch_start", "on_val_end"])
def test_an_exception_that_prunes_passes_from_any_callback(train, scripted, messages, event, strict, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    scripted([0.1, 0.2, 0.3])

    def method(self, *_: Any) -> None:
        raise TrialPruned("not promising")

    callback, model = type("Pruning", (Callback,), {event: method})(), YOLO(TINY)
    last = Leaving(epoch=99)
    attach(model, callback, EarlyStopping(), WandbLogger(images=0, log_model=False), last, strict=strict)
    with pytest.raises(TrialPruned, match="not promising"):
        train(model, epochs=3)
    assert last.summary["status"] == "pruned"
    assert [(row["failures"], row["switched_off"]) for row in last.summary["callbacks"]] == [(0, False)] * 4
    assert not [message for message in messages if "Traceback" in message or "failed in" in message]


@pytest.mark.parametrize("inside", [True, False])
def test_what_the_agent_of_wandb_raises_in_the_thread_of_a_training_ends_it(train, scripted, messages, inside):
    """It raises a plain exception in the middle of anything, after it has marked the thread."""
    scripted([0.1, 0.2, 0.3])
    model, last, raised = YOLO(TINY), Leaving(epoch=99), []

    def stop(*_: Any) -> None:
        thread = threading.current_thread()
        thread._terminated = True
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Exception))

    if inside:
        attach(model, type("Stopped", (Callback,), {"on_train_epoch_end": stop})(), last)
    else:
        attach(model, last)
        model.add_callback("on_train_epoch_end", stop)

    def trial() -> None:
        try:
            train(model, epochs=3)
        except BaseException as error:
            raised.append(type(error))

    thread = threading.Thread(target=trial)
    thread.start()
    thread.join()
    assert raised == [SystemExit]  # a thread ends with it in silence
    assert last.summary["status"] == "ended by W&B's agent"
    assert not any(row["failures"] for row in last.summary["callbacks"])
    assert not [message for message in messages if "Traceback" in message]


def test_without_a_suite_the_exception_is_raised_at_once(train, scripted):
    scripted([0.1, 0.2, 0.3])
    model, leaving = YOLO(TINY), Leaving(epoch=1, raising=TrialPruned("now"))
    model.add_callback("on_fit_epoch_end", leaving.on_fit_epoch_end)
    with pytest.raises(TrialPruned, match="now"):
        train(model, epochs=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"raising": "stop"}, "raising must be an exception, received 'stop'"),
        ({"reason": 3}, "reason must be a string"),
    ],
)
def test_wrong_arguments(train, scripted, arguments, message):
    scripted([0.1, 0.2])
    model = YOLO(TINY)
    attach(model, Leaving(epoch=1, **arguments), strict=True)
    with pytest.raises(TypeError, match=message):
        train(model, epochs=2)


class UnpicklableError(Exception):
    def __reduce__(self):
        raise TypeError("no")


@pytest.mark.parametrize(
    ("error", "expected"),
    [(ValueError("why"), ValueError("why")), (UnpicklableError("why"), RuntimeError("UnpicklableError: why"))],
)
def test_a_worker_hands_its_exception_to_the_parent(monkeypatch, error, expected):
    with from_workers(SimpleNamespace(world_size=2)) as raised:
        assert raised() is None
        assert not hand_to_parent(error)  # this is no worker
        monkeypatch.setattr(worker_exceptions, "is_single_process", lambda: False)
        assert hand_to_parent(error)
        found = raised()
    assert (type(found), found.args) == (type(expected), expected.args)
    assert not hand_to_parent(error)  # nobody waits any more


def test_a_training_in_one_process_waits_for_no_worker():
    with from_workers(SimpleNamespace(world_size=1)) as raised:
        assert worker_exceptions._VARIABLE not in __import__("os").environ
        assert raised() is None


def test_an_exit_at_the_very_end_leaves_everything_closed(train, scripted):
    """As Ray Tune sends it to a callback that reports when the run is concluded."""

    class Exiting(Callback):
        def on_run_end(self, run, summary):
            raise SystemExit(0)

    scripted([0.1, 0.2])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"), Exiting())
    with pytest.raises(SystemExit):
        train(model, epochs=2)
    folder = Path(model.trainer.save_dir)
    assert not any(optimizer_in(path) for path in (folder / "weights").glob("*.pt"))
    assert "save_model" not in vars(model.trainer)
