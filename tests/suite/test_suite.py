"""The suite: attaching, order, errors inside callbacks, state, and the table at the end."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from trainings import FAST, TINY, interrupted, results_csv
from ultralytics import YOLO
from ultralytics.engine import trainer as engine
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils.callbacks.base import default_callbacks

from yolo_callbacks import (
    Callback,
    EarlyStopping,
    Event,
    JsonlLogger,
    MemoryCleanup,
    MemoryMonitor,
    ReduceLROnPlateau,
    SaveBest,
    TensorBoardLogger,
    TrainingRun,
    WandbLogger,
    attach,
    detach,
)
from yolo_callbacks.callbacks import events
from yolo_callbacks.trainer.installation import installed_version


class Failing(Callback):
    """Raises in one event, in chosen epochs."""

    def __init__(self, epochs: set[int]) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: Any) -> None:
        if trainer.epoch + 1 in self.epochs:
            raise RuntimeError(f"broken in epoch {trainer.epoch + 1}")


class Order(Callback):
    """Notes when it is called."""

    def __init__(self, calls: list[str], name: str) -> None:
        self.calls, self.name = calls, name

    def on_train_start(self, trainer: Any) -> None:
        self.calls.append(self.name)


class Logger(Order):
    """Runs last."""

    is_logger = True


class Publisher(Callback):
    """Publishes a scalar each epoch."""

    def on_fit_epoch_end(self, trainer: Any) -> None:
        TrainingRun.of(trainer).record().log("memory/host", 1.5)


class Reader(Callback):
    """Reads what was published."""

    is_logger = True

    def __init__(self) -> None:
        self.seen: list[dict[str, float]] = []

    def on_fit_epoch_end(self, trainer: Any) -> None:
        self.seen.append(dict(TrainingRun.of(trainer).record().scalars))


def test_events_are_those_of_ultralytics_and_methods_of_a_callback():
    assert {event.value for event in Event} == set(default_callbacks)
    assert all(getattr(Callback, event.value).__doc__ for event in Event)
    assert all(str(event) == event.value for event in Event)


def test_the_loop_is_documented_with_every_event():
    others = ("on_predict", "on_export")
    assert not [event for event in Event if not event.startswith(others) and event.value not in events.__doc__]


@pytest.mark.parametrize(
    ("callbacks", "error", "message"),
    [
        (
            [JsonlLogger(), JsonlLogger()],
            ValueError,
            "JsonlLogger and JsonlLogger would both write callbacks.jsonl: att",
        ),
        ([TensorBoardLogger(), TensorBoardLogger()], ValueError, "would both write tensorboard/: attach one"),
        (
            [WandbLogger(), WandbLogger(images=0)],
            ValueError,
            "both write the W&B run: give one of them a name, project ",
        ),
        (
            [WandbLogger("a", "b", entity="c", id="d"), WandbLogger("a", "b", entity="c", id="d", mode="offline")],
            ValueError,
            "both write the W&B run of entity 'c', project 'a', name 'b', id 'd': give one of them a name, ",
        ),
        ([SaveBest], TypeError, r"attach takes callbacks, received <class .*SaveBest'>: write SaveBest\(\)"),
        (["EarlyStopping"], TypeError, "attach takes callbacks, received 'EarlyStopping'"),
        ([SaveBest(), SaveBest()], ValueError, "SaveBest and SaveBest would both write weights/best-map50-95.pt"),
        ([SaveBest(), SaveBest("mAP50-95")], ValueError, "would both write weights/best-map50-95.pt"),
        ([SaveBest("mAP50"), SaveBest("recall", filename="BEST-map50")], ValueError, "would both write"),
        ([SaveBest("mAP50", promote=True), SaveBest("recall", promote=True)], ValueError, "promote only one"),
        ([SaveBest("mAP50/a b"), SaveBest("mAP50/a?b")], ValueError, "give one of them a filename of its own"),
    ],
)
def test_wrong_callbacks(callbacks, error, message):
    with pytest.raises(error, match=message):
        attach(YOLO(TINY), *callbacks)


def test_wrong_model_strict_and_repetition():
    with pytest.raises(TypeError, match=r"attach needs a YOLO model or .* trainer, received 'yolo11n.pt'"):
        attach("yolo11n.pt", SaveBest())
    with pytest.raises(TypeError, match="strict must be True or False, received 1"):
        attach(YOLO(TINY), SaveBest(), strict=1)
    twice = EarlyStopping()
    with pytest.raises(ValueError, match="attach was given the same EarlyStopping twice"):
        attach(YOLO(TINY), twice, twice)


def test_files_may_differ_by_top_k_and_name():
    suite = attach(YOLO(TINY), SaveBest("mAP50"), SaveBest("mAP50", top_k=3), SaveBest("mAP50", filename="mine"))
    assert len(suite.callbacks) == 3


def test_loggers_may_differ_by_target():
    loggers = [WandbLogger(**target) for target in ({}, {"project": "a"}, {"name": "a"}, {"entity": "a"}, {"id": "a"})]
    suite = attach(YOLO(TINY), *loggers, JsonlLogger(), TensorBoardLogger(), report=True)
    assert [type(callback).__name__ for callback in suite.callbacks].count("JsonlLogger") == 1
    assert len(suite.callbacks) == 8  # with what the report needs


def test_without_callbacks_the_default_suite():
    found = [type(callback) for callback in attach(YOLO(TINY)).callbacks]
    assert found == [SaveBest, EarlyStopping, MemoryCleanup, WandbLogger]


@pytest.mark.training
def test_order_is_as_given_with_loggers_last(train):
    calls: list[str] = []
    model = YOLO(TINY)
    attach(model, Logger(calls, "logger"), Order(calls, "a"), Order(calls, "b"))
    train(model, epochs=1)
    assert calls == ["a", "b", "logger"]


@pytest.mark.training
def test_loggers_see_what_others_publish_in_the_same_epoch(train, scripted):
    scripted([0.3, 0.2])
    model, reader = YOLO(TINY), Reader()
    attach(model, reader, Publisher(), SaveBest(), EarlyStopping(), EarlyStopping("mAP50"))
    train(model, epochs=2)
    epoch = {"memory/host": 1.5, "best/mAP50-95": 0.3, "early_stopping/wait": 1, "early_stopping/wait(mAP50)": 1}
    assert reader.seen[1] == epoch
    assert reader.seen[2] == {"memory/host": 1.5}


@pytest.mark.training
def test_attaching_again_replaces(train, scripted):
    scripted([0.3, 0.2, 0.1])
    model, first, second = YOLO(TINY), EarlyStopping(patience=1), EarlyStopping(patience=9)
    attach(model, first)
    with pytest.warns(UserWarning, match="attach replaces the callbacks that this model has"):
        attach(model, second)
    train(model, epochs=3)
    assert (first.best_epoch, second.best_epoch, second.wait_count) == (0, 1, 2)


@pytest.mark.training
def test_an_error_is_logged_once_and_training_goes_on(train, scripted, messages):
    scripted([0.3, 0.4, 0.5, 0.6])
    model, saved = YOLO(TINY), SaveBest()
    attach(model, Failing({1, 2, 4}), saved)
    folder = train(model, epochs=4)
    assert saved.best_epoch == 4
    assert sum("Traceback" in message for message in messages) == 1
    assert any("Failing failed in on_train_epoch_end" in m and "broken in epoch 1" in m for m in messages)
    row = json.loads((folder / "callbacks.json").read_text())["summary"]["callbacks"][0]
    assert (row["name"], row["failures"], row["switched_off"]) == ("Failing", 3, False)


class FailingInTwoLines(Callback):
    """Fails in one line, then in another one, and in the first one again."""

    def on_epoch(self, run, record):
        if record.epoch == 2:
            record.metrics["mAP50"]
        raise ValueError(f"broken in epoch {record.epoch}")


@pytest.mark.training
def test_each_line_that_fails_is_logged_once(train, scripted, messages):
    scripted([0.3, 0.4, 0.5])
    model = YOLO(TINY)
    attach(model, FailingInTwoLines())
    train(model, epochs=3)
    logged = [message.splitlines()[-1] for message in messages if "Traceback" in message]
    assert logged == [
        "ValueError: broken in epoch 1",
        "KeyError: \"no metric 'mAP50' in this epoch, did you mean 'metrics/mAP50(B)'?\"",
    ]


@pytest.mark.training
def test_three_errors_in_a_row_switch_off_for_the_run(train, scripted, messages):
    scripted([0.3] * 5)
    model, failing = YOLO(TINY), Failing({1, 2, 3, 4, 5})
    attach(model, failing, SaveBest())
    folder = train(model, epochs=5)
    summary = json.loads((folder / "callbacks.json").read_text())["summary"]
    assert (summary["callbacks"][0]["failures"], summary["callbacks"][0]["switched_off"]) == (3, True)
    assert re.search(r"failed 3 times, the last time with \w+: .+; switched off", messages[-1])
    failing.epochs = {1}
    scripted([0.3])
    again = train(model, epochs=1, name="again")
    assert not json.loads((again / "callbacks.json").read_text())["summary"]["callbacks"][0]["switched_off"]


@pytest.mark.training
@pytest.mark.skipif(sys.version_info < (3, 11), reason="an exception has no notes")
def test_a_mistake_names_its_callback(train):
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"), EarlyStopping("mAP5O"))
    with pytest.raises(ValueError, match="'mAP5O' does not exist") as raised:
        train(model, epochs=1)
    assert raised.value.__notes__ == ["The mistake is in an argument of EarlyStopping."]


class WithFaultyState(Callback):
    """Has a state that is none, and stops with the second epoch."""

    def state_dict(self):
        raise ValueError("no state")

    def on_epoch(self, run, record):
        record.log("n", float(record.epoch))
        if record.epoch == 2:
            run.stop(record, "two are enough")

    def logged_scalars(self, task):
        return ("n",)


@pytest.mark.training
def test_a_callback_whose_state_fails_still_decides_and_is_named_where_it_stops(train, messages):
    model, best = YOLO(TINY), SaveBest("n", "max", skip_untrained=False)
    attach(model, WithFaultyState(), best, report=True)
    folder = train(model, epochs=4)
    assert [row["epoch"] for row in results_csv(folder)] == [1, 2]
    assert best.best_score == 2.0
    assert messages[0].startswith("WithFaultyState failed in state_dict: its state is not stored, training goes on")
    assert not [message for message in messages if "switched off" in message]
    (table,) = [message for message in messages if message.startswith("Callbacks: finished")]
    assert table.splitlines()[1] == "  stopped by WithFaultyState: two are enough"
    assert "stopped by WithFaultyState: two are enough" in (folder / "report.html").read_text()


@pytest.mark.training
@pytest.mark.smoke
def test_strict_raises(train, messages):
    model = YOLO(TINY)
    attach(model, Failing({2}), strict=True)
    with pytest.raises(RuntimeError, match="broken in epoch 2"):
        train(model, epochs=3)
    tables = [message for message in messages if message.startswith("Callbacks:")]
    assert [table.partition(" in ")[0] for table in tables] == ["Callbacks: ended by RuntimeError after 1 of 3 epochs"]


@pytest.mark.training
def test_a_validation_or_prediction_of_the_user_is_no_event_of_a_run(train, scenes):
    model, calls = YOLO(TINY), []

    class Listener(Callback):
        def on_val_end(self, validator: Any) -> None:
            calls.append(validator.training)

        def on_predict_end(self, predictor: Any) -> None:
            calls.append("predicted")

    attach(model, Listener())
    train(model, epochs=1)
    assert calls == [True, False]
    model.val(data=str(scenes), imgsz=32, device="cpu", verbose=False, plots=False)
    assert calls == [True, False]
    model.predict(next((scenes.parent / "images" / "val").iterdir()), imgsz=32, verbose=False)
    assert calls == [True, False, "predicted"]


@pytest.mark.training
def test_the_table_says_what_happened(train, scripted, messages):
    scripted([0.3, 0.2, 0.1])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"), EarlyStopping(patience=2), Publisher())
    folder = train(model, epochs=5)
    table = messages[-1].splitlines()
    assert table[0].startswith("Callbacks: finished after 3 epochs in ")
    assert [row.split()[0] for row in table[1:4]] == ["SaveBest", "EarlyStopping", "Publisher"]
    assert table[1].endswith(f"  mAP50 0.3 at epoch 1: {Path('weights', 'best-mAP50.pt')}")
    assert table[2].endswith("  stopped at epoch 3, fitness: no improvement in 2 checks (best 0.3 at epoch 1)")
    assert re.fullmatch(
        r"  all callbacks together took (\d+ ms once, )?\d+ ms an epoch \(\d+\.\d\d % of training\)", table[4]
    )
    assert table[5:] == [f"  files in {folder}"]
    state = json.loads((folder / "callbacks.json").read_text())
    assert (state["schema"], state["epoch"], state["summary"]["status"]) == (2, 3, "finished")
    assert state["callbacks"]["EarlyStopping(fitness)"]["stopped_epoch"] == 3
    assert set(state["versions"]) == {"python", "torch", "ultralytics", "yolo_callbacks"}


RESUMED = """
import os, sys
from pathlib import Path
from trainings import FAST, TINY, detection_metrics
from ultralytics import YOLO
from ultralytics.engine.validator import BaseValidator
from yolo_callbacks import EarlyStopping, ReduceLROnPlateau, SaveBest, attach

values = [0.1, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1]

def validate(self, trainer=None, model=None):
    self.training = trainer is not None
    self.run_callbacks("on_val_start")
    self.run_callbacks("on_val_end")
    value = values[trainer.epoch] if trainer else 0.5
    return {"fitness": value, **detection_metrics(value)}

BaseValidator.__call__ = validate
folder, kill_after = Path(folder), int(sys.argv[1])
model = YOLO(folder / "run/weights/last.pt" if "resume" in sys.argv else TINY)
attach(model, SaveBest("mAP50", top_k=2), EarlyStopping(patience=3), ReduceLROnPlateau("recall", patience=0))

def kill(trainer):
    if trainer.epoch + 1 == kill_after:
        os._exit(9)

model.add_callback("on_fit_epoch_end", kill)
arguments = {"resume": True} if "resume" in sys.argv else {**FAST, "epochs": 7, "patience": 0}
model.train(data=data, project=str(folder), name="run", **arguments)
"""


@pytest.mark.training
def test_a_resumed_run_decides_as_if_never_stopped(interpreter, tmp_path, scenes):
    outcomes = []
    for folder, calls in ((tmp_path / "whole", [["0"]]), (tmp_path / "killed", [["3"], ["0", "resume"]])):
        for call in calls:
            ended = interpreter.run(RESUMED, *call, data=str(scenes), folder=str(folder))
            assert ended.status == (9 if call == ["3"] else 0), ended.said
        state = json.loads((folder / "run" / "callbacks.json").read_text())
        files = {path.name for path in (folder / "run" / "weights").glob("best-*")}
        rates = [[row[key] for key in row if key.startswith("lr/")] for row in results_csv(folder / "run")]
        outcomes.append((state["epoch"], state["callbacks"], files, rates))
    assert "restored: SaveBest(best-mAP50), EarlyStopping(fitness), ReduceLROnPlateau(recall)" in ended.said
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][1]["EarlyStopping(fitness)"]["stopped_epoch"] == 5
    assert outcomes[0][1]["ReduceLROnPlateau(recall)"]["cuts"] == [3, 4, 5]


@pytest.mark.training
@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"schema": 99}', '{"schema": 1, "callbacks": {"EarlyStopping(mAP50)": 3}}']
)
def test_a_broken_state_starts_fresh(train, scripted, content, messages):
    scripted([0.1, 0.2, 0.3, 0.3, 0.3])
    folder = interrupted(train, YOLO(TINY), 2, epochs=3)
    (folder / "callbacks.json").write_text(content)
    resumed, stopping = YOLO(folder / "weights" / "last.pt"), EarlyStopping("mAP50")
    attach(resumed, stopping)
    resumed.train(resume=True)
    assert stopping.best_epoch == 3
    assert any("started fresh: EarlyStopping(mAP50)" in message for message in messages)
    assert (folder / "callbacks.json.corrupt").exists()


@pytest.mark.training
def test_a_folder_that_cannot_be_written_only_warns(train, scripted, monkeypatch, messages):
    """The writes fail at the narrowest seams: a real full disk needs a file system of its own."""
    scripted([0.1, 0.2, 0.3])
    model, saved = YOLO(TINY), SaveBest("mAP50")
    attach(model, saved)

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("yolo_callbacks.utils.files.shutil.copyfile", full)
    monkeypatch.setattr("yolo_callbacks.trainer.linked_copies.os.link", full)
    train(model, epochs=3)
    assert saved.best_model_path is None
    assert sum("could not be saved: [Errno 28] No space left" in message for message in messages) == 3


@pytest.mark.training
def test_a_disk_almost_full_is_left_to_ultralytics(train, scripted, monkeypatch, messages):
    import shutil
    from types import SimpleNamespace

    scripted([0.1, 0.2])
    model, saved = YOLO(TINY), SaveBest("mAP50")
    attach(model, saved)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=300_000))
    train(model, epochs=2)
    assert saved.best_model_path is None
    assert any("the disk has no room for it and two checkpoints more" in message for message in messages)


class Broken(Callback):
    """Raises, or answers nonsense, in one of the methods that a suite calls beside the events."""

    def __init__(self, method: str, answer: Any = RuntimeError) -> None:
        self.method, self.answer = method, answer

    def _answer(self, method: str, good: Any) -> Any:
        if method != self.method:
            return good
        if isinstance(self.answer, type):
            raise self.answer("broken")
        return self.answer

    def reset(self) -> None:
        self._answer("reset", None)

    def validate(self, run: Any) -> bool:
        return self._answer("check", True)

    def state_dict(self) -> dict[str, Any]:
        return self._answer("state_dict", {"kept": 1})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._answer("load_state_dict", None)

    def outcome(self) -> str:
        return self._answer("outcome", "fine")


@pytest.mark.training
@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("reset", RuntimeError),
        ("check", RuntimeError),
        ("state_dict", KeyError),
        ("state_dict", {"a set": {1, 2}}),
        ("outcome", RuntimeError),
        ("outcome", 5),
    ],
)
def test_no_method_of_a_callback_ends_the_training(train, scripted, method, answer):
    scripted([0.1, 0.3, 0.2])
    model, saved = YOLO(TINY), SaveBest()
    attach(model, Broken(method, answer), saved)
    state = json.loads((train(model, epochs=3) / "callbacks.json").read_text())
    assert saved.best_epoch == 2
    assert state["callbacks"]["SaveBest(best-mAP50-95)"]["kept"] == [[2, 0.3]]
    assert (state["epoch"], state["summary"]["epochs"]) == (3, 3)


@pytest.mark.training
def test_a_state_that_cannot_be_loaded_starts_fresh(train, scripted, messages):
    scripted([0.1, 0.3, 0.2, 0.2])
    model = YOLO(TINY)
    attach(model, Broken("load_state_dict"), SaveBest())
    folder = interrupted(train, model, 2, epochs=4)
    scripted([0.2, 0.2])
    resumed, saved = YOLO(folder / "weights" / "last.pt"), SaveBest()
    attach(resumed, Broken("load_state_dict"), saved)
    resumed.train(resume=True)
    assert saved.best_epoch == 2
    assert any("restored: SaveBest(best-mAP50-95); started fresh: Broken" in message for message in messages)


@pytest.mark.training
@pytest.mark.smoke
def test_a_run_killed_after_its_stop_ends_at_once(train, scripted):
    scripted([0.3, 0.2, 0.1, 0.1, 0.9])
    model = YOLO(TINY)
    attach(model, SaveBest(), EarlyStopping(patience=2))
    folder = interrupted(train, model, 3, epochs=8)
    scripted([0.9, 0.9, 0.9, 0.9, 0.9])
    resumed, saved, stopping = YOLO(folder / "weights" / "last.pt"), SaveBest(), EarlyStopping(patience=2)
    attach(resumed, saved, stopping)
    resumed.train(resume=True)
    assert (stopping.stopped_epoch, stopping.best_epoch, saved.best_epoch) == (3, 1, 1)
    assert len(results_csv(folder)) == 3


@pytest.mark.training
def test_resumed_from_an_older_checkpoint_what_came_after_is_forgotten(train, scripted, messages):
    scripted([0.1, 0.2, 0.8, 0.1, 0.1, 0.1])
    model = YOLO(TINY)
    attach(model, SaveBest(top_k=2), EarlyStopping(patience=4), ReduceLROnPlateau(patience=0, factor=0.5))
    folder = interrupted(train, model, 5, epochs=6, save_period=1)
    scripted([0.3, 0.3, 0.3, 0.3])
    resumed = YOLO(folder / "weights" / "epoch1.pt")
    saved, stopping, plateau = SaveBest(top_k=2), EarlyStopping(patience=4), ReduceLROnPlateau(patience=0, factor=0.5)
    attach(resumed, saved, stopping, plateau)
    resumed.train(resume=True)
    assert list(saved.best_k_models.values()) == [0.3, 0.3]
    assert (stopping.best_epoch, stopping.wait_count, plateau.reductions) == (3, 3, [4, 5, 6])
    assert any("best-mAP50-95-epoch001.pt no longer holds epoch 1" in message for message in messages)


@pytest.mark.training
@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (SaveBest("mAP50", top_k=3), SaveBest("mAP50", top_k=2), [0.3, 0.2]),
        (SaveBest("mAP50", top_k=3), SaveBest("mAP50"), [0.15]),
        (SaveBest("mAP50", filename="mine"), SaveBest("val/box_loss", filename="mine"), [0.85]),
    ],
)
def test_resumed_with_other_arguments(train, scripted, first, second, kept):
    scripted([0.1, 0.2, 0.3, 0.15])
    model = YOLO(TINY)
    attach(model, first)
    folder = interrupted(train, model, 3, epochs=4)
    scripted([0.15])
    resumed = YOLO(folder / "weights" / "last.pt")
    attach(resumed, second)
    resumed.train(resume=True)
    assert list(second.best_k_models.values()) == pytest.approx(kept)
    assert all(path.is_file() for path in second.best_k_models)


@pytest.mark.training
def test_a_record_read_early_harms_nobody(train, scripted):
    class Early(Callback):
        def on_train_epoch_end(self, trainer: Any) -> None:
            TrainingRun.of(trainer).record()

    scripted([0.1, 0.3, 0.2, 0.9])
    model, saved = YOLO(TINY), SaveBest(top_k=9)
    attach(model, Early(), saved)
    train(model, epochs=4)
    epochs = [int(path.stem[-3:]) for path in saved.best_k_models]
    assert dict(zip(epochs, saved.best_k_models.values(), strict=True)) == {1: 0.1, 2: 0.3, 3: 0.2, 4: 0.9}


@pytest.mark.training
def test_predicting_in_the_middle_of_a_run_harms_nobody(train, scripted, scenes):
    class Predicted(Callback):
        calls = 0

        def on_predict_end(self, predictor: Any) -> None:
            self.calls += 1

    scripted([0.1, 0.3, 0.2])
    model, saved, predicted = YOLO(TINY), SaveBest(), Predicted()
    attach(model, saved, predicted)
    picture = next((scenes.parent / "images" / "val").iterdir())
    other = YOLO(TINY)
    other.callbacks = model.callbacks
    model.add_callback("on_train_epoch_start", lambda trainer: other.predict(picture, imgsz=32, verbose=False))
    folder = train(model, epochs=3)
    assert (saved.best_epoch, predicted.calls) == (2, 3)
    assert json.loads((folder / "callbacks.json").read_text())["summary"]["epochs"] == 3


@pytest.mark.training
def test_several_of_a_kind_on_one_monitor(train, scripted):
    scripted([0.5] * 4)
    model, published = YOLO(TINY), []
    stoppings = [EarlyStopping("mAP50", patience=patience) for patience in (9, 8, 3)]
    attach(model, *stoppings)
    model.add_callback("on_fit_epoch_end", lambda t: published.append(set(TrainingRun.of(t).record().scalars)))
    train(model, epochs=6)
    assert [stopping.stopped_epoch for stopping in stoppings] == [0, 0, 4]
    name = "early_stopping/wait"
    assert published[0] == {name, f"{name}(mAP50)", f"{name}(mAP50)#2"}


@pytest.mark.training
def test_a_run_trained_while_an_error_is_handled_is_no_failed_one(train, scripted):
    scripted([0.5])
    model = YOLO(TINY)
    attach(model, SaveBest())
    try:
        raise MemoryError
    except MemoryError:
        folder = train(model, epochs=1)
    assert json.loads((folder / "callbacks.json").read_text())["summary"]["status"] == "finished"


@pytest.mark.training
def test_a_stop_with_save_false_in_a_folder_of_an_earlier_run(train, scripted):
    scripted([0.9])
    model = YOLO(TINY)
    train(model, epochs=1)
    scripted([0.3, 0.2, 0.1])
    model = YOLO(TINY)
    attach(model, EarlyStopping(patience=1))
    train(model, epochs=9, save=False, exist_ok=True)
    assert torch.load(model.trainer.last, weights_only=False)["train_metrics"]["metrics/mAP50-95(B)"] == 0.2


@pytest.mark.training
def test_a_failure_in_set_up_is_shown_unchanged(train, monkeypatch, messages):
    """Before there is an optimizer; with no table, since there was no training."""
    model = YOLO(TINY)
    attach(model, ReduceLROnPlateau())
    monkeypatch.setattr(DetectionTrainer, "setup_model", lambda trainer: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(model, epochs=1)
    assert messages == []


@pytest.mark.training
def test_a_wrong_monitor_is_reported_once_and_without_a_table(train, messages):
    model = YOLO(TINY)
    attach(model, SaveBest(), ReduceLROnPlateau("val/bxo_loss"))
    with pytest.raises(ValueError, match="Did you mean 'val/box_loss'"):
        train(model, epochs=1)
    assert messages == []


# A suite that comes late ----------------------------------------------------------------------------------------------


class Early(Callback):
    """Needs the event in which everything is there for the first time."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_pretrain_routine_end(self, trainer: Any) -> None:
        self.calls.append("set up")

    def on_fit_epoch_end(self, trainer: Any) -> None:
        self.calls.append("epoch")

    def on_train_end(self, trainer: Any) -> None:
        self.calls.append("end")

    def finalize(self, run: Any) -> None:
        self.calls.append("release")

    def outcome(self) -> str:
        return "did much"


def late_outcomes(folder: Path) -> dict[str, str | None]:
    summary = json.loads((folder / "callbacks.json").read_text())["summary"]
    return {row["name"]: row["outcome"] for row in summary["callbacks"]}


@pytest.mark.training
@pytest.mark.parametrize("event", ["on_train_start", "on_train_epoch_start", "on_train_batch_end"])
def test_what_is_attached_too_late_says_so(train, event, messages):
    """In an event it is too late for that event too. What needs no start works from then on."""
    model, early, saved, wandb = YOLO(TINY), Early(), SaveBest(), WandbLogger()

    def late(trainer: Any) -> None:
        if not suites:
            suites.append(attach(trainer, early, MemoryMonitor(), saved, wandb, JsonlLogger()))

    suites: list[Any] = []
    model.add_callback(event, late)
    folder = train(model, epochs=2)
    (warning,) = [text for text in messages if "attached after the training had begun" in text]
    assert "Early missed on_pretrain_routine_end; MemoryMonitor and WandbLogger missed on_train_start, and" in warning
    outcomes = late_outcomes(folder)
    assert outcomes["Early"] == "nothing: attached too late, it missed on_pretrain_routine_end"
    missed_start = "nothing: attached too late, it missed on_train_start"
    assert outcomes["WandbLogger"] == outcomes["MemoryMonitor"] == missed_start
    assert next(text for text in messages if "Callbacks: finished" in text).count("nothing: attached too late") == 3
    assert (early.calls, wandb.run_id) == ([], None)
    assert "best" in outcomes["SaveBest"]
    assert saved.best_model_path.is_file()
    assert len((folder / "callbacks.jsonl").read_text().splitlines()) == 3

    model.callbacks[event].remove(late)
    detach(model)  # before 8.4 a trainer shares the functions of its model
    attach(model, early, JsonlLogger())
    messages.clear()
    train(model, epochs=1)  # in the next run all is as ever
    assert early.calls == ["set up", "epoch", "epoch", "end", "release"]
    assert not [text for text in messages if "too late" in text or "begun" in text]


class Easy(Early):
    """Does without it."""

    needs_start = False


@pytest.mark.training
def test_what_needs_no_start_works_from_then_on(train, messages):
    model, easy = YOLO(TINY), Easy()

    def late(trainer: Any) -> None:
        if trainer.epoch == 1:
            attach(trainer, easy)

    model.add_callback("on_train_epoch_start", late)
    folder = train(model, epochs=3)
    assert easy.calls == ["epoch", "epoch", "epoch", "end", "release"]  # two, and the final evaluation
    assert late_outcomes(folder) == {"Easy": "did much"}
    assert not [text for text in messages if "will do nothing" in text]


@pytest.mark.training
def test_attached_in_the_set_up_only_what_needs_it_is_late(train, messages):
    model, early, order = YOLO(TINY), Early(), []
    model.add_callback("on_pretrain_routine_end", lambda trainer: attach(trainer, early, Order(order, "started")))
    folder = train(model, epochs=1)
    assert (early.calls, order) == ([], ["started"])
    assert late_outcomes(folder) == {
        "Early": "nothing: attached too late, it missed on_pretrain_routine_end",
        "Order": None,
    }
    assert len([text for text in messages if "Early missed on_pretrain_routine_end, and will do nothing" in text]) == 1


@pytest.mark.training
@pytest.mark.parametrize("event", ["on_pretrain_routine_start", "on_train_epoch_start"])
def test_a_model_in_training_says_that_its_training_has_its_callbacks(train, event, messages):
    """From 8.4.140 on a trainer copies the callbacks of its model; before that it shares them."""
    copied = installed_version() >= (8, 4, 140)
    model, other, saved = YOLO(TINY), YOLO(TINY), SaveBest()

    def late(trainer: Any) -> None:
        if not suites:
            suites.append(attach(model, saved))
            attach(other, SaveBest())

    suites: list[Any] = []
    model.add_callback(event, late)
    train(model, epochs=1)
    assert saved.best_epoch == (0 if copied else 1)
    warned = [text for text in messages if "SaveBest will do nothing in this run. Attach before" in text]
    assert len(warned) == copied
    messages.clear()
    train(model, epochs=1)
    assert saved.best_epoch == 1
    attach(YOLO(TINY), SaveBest())
    assert not [text for text in messages if "do nothing" in text]


# What a training reached ----------------------------------------------------------------------------------------------


@pytest.mark.training
def test_results_of_one_training(train, scripted):
    scripted([0.1, 0.3, 0.2])
    model, saved = YOLO(TINY), SaveBest()
    suite = attach(model, saved)
    with pytest.raises(RuntimeError, match=r"No results yet: call model\.train\(\) first"):
        suite.load_results()
    train(model, epochs=3)
    results = suite.load_results()
    assert (results["epoch"], results["summary"]["status"], saved.best_epoch) == (3, "finished", 2)
    with pytest.warns(DeprecationWarning, match=r"suite\.results\(\) is called suite\.load_results\(\) now"):
        assert suite.results() == results


@pytest.mark.training
@pytest.mark.skipif(not hasattr(engine, "MultiTrainer"), reason="this version takes no list of data sets")
def test_results_of_a_list_of_data_sets(scenes, two_of_three, tmp_path, scripted):
    """One of them, and then the last of them, does not exist."""
    scripted([0.3, 0.2, 0.1, 0.4])
    model, saved = YOLO(TINY), SaveBest()
    suite = attach(model, saved)
    missing = str(tmp_path / "missing.yaml")
    arguments = {**FAST, "epochs": 2, "project": str(tmp_path)}
    metrics = model.train(data=[str(scenes), missing, str(two_of_three)], **arguments)
    reached = (saved.best_epoch, saved.best_score, saved.best_model_path)
    assert reached[:2] == (2, 0.4)
    saved.reset()  # as where workers of several GPUs have trained
    results = suite.load_results()
    first, failed, last = results
    assert list(results) == list(metrics)
    assert results[failed] is metrics[failed] is None
    assert (saved.best_epoch, saved.best_score, saved.best_model_path) == reached
    assert saved.best_model_path.is_relative_to(tmp_path / "multitrain" / last)
    assert [results[name]["summary"]["status"] for name in (first, last)] == ["finished", "finished"]
    assert [next(iter(results[name]["callbacks"].values()))["kept"][0] for name in (first, last)] == [
        [1, 0.3],
        [2, 0.4],
    ]

    scripted([0.2])
    model.train(data=[str(scenes), missing], **{**arguments, "epochs": 1})
    assert suite.load_results()[failed] is None
    assert saved.best_model_path.is_relative_to(tmp_path / "multitrain-2" / first)

    model.train(data=[missing], **arguments)
    with pytest.raises(RuntimeError, match=r"multitrain-3 has no callbacks\.json that can be read"):
        suite.load_results()


class StoresOnly(Callback):
    """Stores a state, and does not take it back."""

    def __init__(self) -> None:
        self.epochs = 0

    def on_epoch(self, run, record):
        self.epochs += 1

    def state_dict(self):
        return {"epochs": self.epochs}


@pytest.mark.training
def test_a_state_that_nobody_takes_back_is_not_called_restored(train, scripted, messages):
    scripted([0.1, 0.2, 0.3])
    model = YOLO(TINY)
    attach(model, StoresOnly(), EarlyStopping())
    folder = interrupted(train, model, epochs=3, after=2)
    messages.clear()
    model, stores = YOLO(folder / "weights" / "last.pt"), StoresOnly()
    attach(model, stores, EarlyStopping())
    model.train(resume=True)
    assert stores.epochs == 1
    assert any("StoresOnly: it has a state_dict but no load_state_dict, and starts fresh" in each for each in messages)
    (resumed,) = (each for each in messages if "resumed after epoch 2" in each)
    assert "started fresh: StoresOnly" in " ".join(resumed.split())
