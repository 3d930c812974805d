"""Test status.json while a run trains: its states, the best epoch, the heartbeat, and each end."""

from __future__ import annotations

import json
import math
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from trainings import TINY, detection_metrics, interrupted
from ultralytics import YOLO

from yolo_callbacks import Callback, EarlyStopping, SaveBest, attach
from yolo_callbacks.state import status_file
from yolo_callbacks.suite import status_writer
from yolo_callbacks.suite.status_writer import Heartbeat
from yolo_callbacks.trainer.supervision import EventCount

THREAD = "yolo-callbacks-status"


@pytest.fixture
def at_once(monkeypatch) -> None:
    """Write each change at once."""
    monkeypatch.setattr(Heartbeat.__init__, "__kwdefaults__", {"interval": 0.01, "least": 0.0})


def content_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "status.json").read_text())
    return found


def status_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == THREAD}


def until(condition: Any) -> None:
    """Wait until a thread has done something."""
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("the thread did not do it")


class Seeing(Callback):
    """Waits in several events until the file has the state that it must have."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.contents: list[dict[str, Any]] = []

    def see(self, state: str, epoch: int, folder: Path) -> None:
        until((folder / "status.json").exists)
        until(lambda: (content_of(folder)["state"], content_of(folder)["epoch"]) == (state, epoch))
        self.seen.append((state, epoch))
        self.contents.append(content_of(folder))

    def on_train_batch_end(self, trainer):
        self.see("training", trainer.epoch + 1, Path(trainer.save_dir))
        self.folder, self.epoch = Path(trainer.save_dir), trainer.epoch + 1

    def on_val_end(self, validator):
        self.see("validating" if validator.training else "evaluating", self.epoch, self.folder)


@pytest.mark.training
def test_the_states_of_a_run(train, scripted, at_once):
    before = status_threads()
    scripted([0.1, 0.3, 0.2])
    model, seeing = YOLO(TINY), Seeing()
    attach(model, seeing, SaveBest("mAP50"), strict=True)
    folder = train(model, epochs=3, batch=8)
    assert seeing.seen == [
        *(each for epoch in (1, 2, 3) for each in (("training", epoch), ("validating", epoch))),
        ("evaluating", 3),
    ]
    assert [content["best"] and content["best"]["value"] for content in seeing.contents[::2]] == [None, 0.1, 0.3, 0.3]
    found = content_of(folder)
    assert (found["state"], found["reason"], found["epoch"], found["epochs"]) == ("finished", "", 3, 3)
    assert found["best"] == {"monitor": "mAP50", "value": 0.3, "epoch": 2}
    assert found["seconds_left"] == 0.0
    assert status_threads() <= before


@pytest.mark.training
def test_a_heartbeat_within_an_epoch(train, scripted, at_once):
    scripted([0.1])
    beats: list[str] = []

    class Long(Callback):
        def on_train_batch_end(self, trainer):
            folder = Path(trainer.save_dir)
            stamp = (folder / "status.json").stat().st_mtime_ns
            until(lambda: (folder / "status.json").stat().st_mtime_ns != stamp)
            beats.append(content_of(folder)["heartbeat"])

    model = YOLO(TINY)
    attach(model, Long(), strict=True)
    train(model, epochs=1)
    assert len(beats) == 2


@pytest.mark.training
@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (KeyboardInterrupt, "interrupted", "Ctrl-C"),
        (RuntimeError("https://user:secret@host/"), "failed", "RuntimeError"),
    ],
)
def test_a_training_that_is_cut_off(train, scripted, error, state, reason):
    before = status_threads()
    scripted([0.1, 0.2])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"))

    def fail(trainer: Any) -> None:
        if trainer.epoch == 1:
            raise error

    model.add_callback("on_train_batch_end", fail)
    with pytest.raises((KeyboardInterrupt, RuntimeError)):
        train(model, epochs=3)
    folder = Path(model.trainer.save_dir)
    found = content_of(folder)
    assert (found["state"], found["reason"], found["epoch"]) == (state, reason, 1)
    assert "secret" not in (folder / "status.json").read_text()
    assert status_threads() <= before


@pytest.mark.training
def test_a_run_that_was_stopped(train, scripted):
    scripted([0.5, 0.4, 0.3])
    model = YOLO(TINY)
    attach(model, EarlyStopping("mAP50", patience=1))
    found = content_of(train(model, epochs=5))
    assert (found["state"], found["epoch"], found["epochs"]) == ("stopped", 2, 5)
    assert found["reason"].startswith("EarlyStopping")
    assert found["best"] == {"monitor": "mAP50", "value": 0.5, "epoch": 1}


@pytest.mark.training
def test_a_wrong_argument_that_ends_the_run_is_told(train):
    model = YOLO(TINY)
    attach(model, EarlyStopping("val/bix_loss"))
    with pytest.raises(ValueError, match="bix_loss"):
        train(model, epochs=2)
    path = Path(model.trainer.save_dir) / "status.json"
    assert not path.exists() or content_of(path.parent)["state"] == "failed"


@pytest.mark.training
def test_without_a_monitor_the_best_epoch_is_that_of_the_fitness(train, scripted):
    scripted([0.1, 0.4, 0.2])
    model = YOLO(TINY)
    attach(model, Callback())
    assert content_of(train(model, epochs=3))["best"] == {"monitor": "fitness", "value": 0.4, "epoch": 2}


@pytest.mark.training
def test_a_resumed_run_keeps_its_best_fitness(train, scripted):
    scripted([0.4, 0.1])
    model = YOLO(TINY)
    attach(model, Callback())
    folder = interrupted(train, model, after=2, epochs=3)
    scripted([0.4, 0.1, 0.2])
    model = YOLO(folder / "weights" / "last.pt")
    attach(model, Callback())
    model.train(resume=True)
    found = content_of(folder)
    assert (found["state"], found["best"]) == ("finished", {"monitor": "fitness", "value": 0.4, "epoch": 1})


@pytest.mark.training
def test_a_fitness_that_is_no_number_is_no_best(train, scripted):
    scripted([detection_metrics(0.3, fitness=math.nan), 0.0, 0.2])
    seen: list[Any] = []

    class See(Callback):
        def on_epoch(self, run, record):
            seen.append(record.metrics["fitness"])

    model = YOLO(TINY)
    attach(model, See())
    assert content_of(train(model, epochs=3))["best"] == {"monitor": "fitness", "value": 0.2, "epoch": 3}
    assert math.isnan(seen[0])


@pytest.mark.training
def test_nothing_is_best_while_nothing_is_detected(train, scripted):
    scripted([0.0])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"))
    assert content_of(train(model, epochs=1))["best"] is None


@pytest.mark.training
def test_a_reason_shows_no_credentials(train, scripted):
    scripted([0.1])

    class Stopping(Callback):
        def on_epoch(self, run, record):
            run.stop(record, "see https://user:secret@host/page?token=secret")

    model = YOLO(TINY)
    attach(model, Stopping())
    folder = train(model, epochs=2)
    assert content_of(folder)["reason"] == "Stopping: see https://host/page"
    assert "secret" not in (folder / "callbacks.json").read_text()


# The thread alone -----------------------------------------------------------------------------------------------------


def test_changes_are_written_at_most_once_in_a_while(tmp_path, monkeypatch):
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(status_writer, "write_status", lambda folder, content: written.append(content))
    beat = Heartbeat(tmp_path, {"state": "starting"}, EventCount(), interval=1000.0, least=1000.0)
    until(lambda: written)
    for epoch in range(100):
        beat.update({"epoch": epoch})
    beat.close()
    assert [content.get("epoch") for content in written] == [None, 99]


def written_around_an_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str) -> list[dict[str, Any]]:
    """Return what is written some times before an event and some times after it, a second apart."""
    written: list[dict[str, Any]] = []
    moments = iter(range(1_800_000_000, 1_900_000_000))
    monkeypatch.setattr(status_writer, "write_status", lambda folder, content: written.append(content))
    monkeypatch.setattr(status_writer.time, "time", lambda: float(next(moments)))
    events = EventCount()
    beat = Heartbeat(tmp_path, {"state": state}, events, interval=0.001, least=0.0)
    until(lambda: len(written) > 2)
    events.number += 1
    count = len(written)
    until(lambda: len(written) > count + 2)
    beat.close()
    return written


def test_progress_is_that_of_the_events(tmp_path, monkeypatch):
    written = written_around_an_event(tmp_path, monkeypatch, "training")
    first, last = written[0], written[-1]
    assert first["progress"] == written[1]["progress"] < last["progress"]
    assert last["progress"] < last["heartbeat"]
    assert first["longest_idle"] == 0 < last["longest_idle"]


def test_a_validation_is_no_time_without_progress(tmp_path, monkeypatch):
    written = written_around_an_event(tmp_path, monkeypatch, "validating")
    assert written[-1]["longest_idle"] == 0


def test_a_disk_that_fails_ends_nothing(tmp_path, monkeypatch):
    failing, calls = [True], []

    def write(folder: Path, content: dict[str, Any]) -> None:
        calls.append(content)
        if failing[0]:
            raise OSError("no space left")
        status_file.write_status(folder, content)

    monkeypatch.setattr(status_writer, "write_status", write)
    beat = Heartbeat(tmp_path, {"state": "training"}, EventCount(), interval=0.001, least=0.0)
    until(lambda: len(calls) > 2)
    failing[0] = False
    beat.update({"state": "finished"})
    beat.close()
    assert content_of(tmp_path)["state"] == "finished"


def test_a_disk_that_hangs_is_not_waited_for(tmp_path, monkeypatch):
    before, hanging = status_threads(), threading.Event()
    monkeypatch.setattr(status_writer, "write_status", lambda folder, content: hanging.wait(60))
    monkeypatch.setattr(status_writer, "_PATIENCE", 0.01)
    beat = Heartbeat(tmp_path, {"state": "training"}, EventCount())
    beat.update({"state": "finished"})
    beat.close()  # returns although the thread does not
    assert status_threads() - before
    hanging.set()


def test_the_thread_ends_with_a_training_that_nobody_ended(tmp_path):
    class Run:
        pass

    run, before = Run(), status_threads()
    beat = Heartbeat(tmp_path, {"state": "training"}, EventCount(), owner=run, interval=0.001, least=0.0)
    until((tmp_path / "status.json").exists)
    assert status_threads() - before
    del run
    until(lambda: not status_threads() - before)
    beat.close()
