"""Cause real faults around a training: full disks, read-only folders, signals, broken files."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from trainings import TINY, interrupted, results_csv
from ultralytics import YOLO
from ultralytics.engine.trainer import BaseTrainer
from wandb_runs import read_runs

from yolo_callbacks import Callback, EarlyStopping, JsonlLogger, SaveBest, attach
from yolo_callbacks.callbacks.events import Event

pytestmark = pytest.mark.training

TRAINING_EVENTS = [event.value for event in Event if not event.startswith(("on_predict", "on_export"))]
RESERVED = ("optimizer_step", "on_before_zero_grad", "on_params_update")


# Files ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    mount = subprocess.run(command, capture_output=True, check=False)
    if mount.returncode:
        pytest.skip(f"no file system can be mounted here: {mount.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The room of replaced checkpoints is free at once, as where there is little from the start."""
    monkeypatch.setattr("yolo_callbacks.trainer.linked_copies._PLENTY", 10**9)


@pytest.mark.usefixtures("nothing_kept")
def test_a_disk_that_fills_up(train, scripted, small_disk, messages):
    """Room for Ultralytics' own two checkpoints comes first; the best that was there before stays whole."""
    scripted([0.1, 0.2, 0.3, 0.4, 0.4])
    model, saved = YOLO(TINY), SaveBest("mAP50", keep_optimizer=True)
    attach(model, saved, JsonlLogger())

    def fill(trainer: Any) -> None:
        if trainer.epoch == 2:
            free = shutil.disk_usage(small_disk).free
            (small_disk / "other").write_bytes(bytes(free - 2 * trainer.last.stat().st_size))

    model.add_callback("on_train_epoch_end", fill)
    folder = train(model, epochs=4, project=str(small_disk))
    assert len(results_csv(folder)) == 4
    assert (saved.best_epoch, saved.best_score) == (2, 0.2)
    kept = torch.load(saved.best_model_path, map_location="cpu", weights_only=False)
    assert kept["epoch"] == 1
    assert sum("no room for it and two checkpoints more" in message for message in messages) == 2


def test_a_disk_that_others_fill_leaves_the_room_of_the_replaced_checkpoints(train, scripted, small_disk, messages):
    """It is kept from one write of them to the next: as much as Ultralytics, writing in place, never gives away."""
    scripted([0.1, 0.2, 0.3, 0.4, 0.4])
    model, saved = YOLO(TINY), SaveBest("mAP50", keep_optimizer=True)
    attach(model, saved)
    inodes: list[int] = []

    def fill(trainer: Any) -> None:
        inodes.append(trainer.last.stat().st_ino if trainer.epoch else 0)
        if trainer.epoch == 2:
            (small_disk / "other").write_bytes(bytes(shutil.disk_usage(small_disk).free))

    model.add_callback("on_train_epoch_end", fill)
    folder = train(model, epochs=4, project=str(small_disk))
    assert len(results_csv(folder)) == 4
    assert inodes[2] != inodes[3]  # a new file, not one written in place
    assert saved.best_epoch == 2
    assert sum("no room for it and two checkpoints more" in message for message in messages) == 2


def test_a_disk_with_no_byte_left(train, scripted, small_disk, messages, tmp_path):
    """Our state cannot be written any more, said once; Ultralytics' own checkpoints go elsewhere here."""
    scripted([0.1, 0.2, 0.3, 0.3])
    model, saved = YOLO(TINY), SaveBest("mAP50")
    attach(model, saved, JsonlLogger())
    (tmp_path / "weights").mkdir()

    def fill(trainer: Any) -> None:
        if trainer.epoch == 1:
            (small_disk / "other").write_bytes(bytes(shutil.disk_usage(small_disk).free))

    def elsewhere(trainer: Any) -> None:
        for name in ("wdir", "last", "best"):
            setattr(trainer, name, tmp_path / "weights" / getattr(trainer, name).name)
        trainer.wdir = tmp_path / "weights"
        trainer.csv = tmp_path / "results.csv"

    model.add_callback("on_pretrain_routine_end", elsewhere)
    model.callbacks["on_pretrain_routine_end"].reverse()
    model.add_callback("on_train_epoch_end", fill)
    folder = train(model, epochs=3, project=str(small_disk))
    assert saved.best_epoch == 3
    assert sum("this run cannot be resumed exactly: [Errno 28]" in message for message in messages) == 1
    assert json.loads((folder / "callbacks.json").read_text())["epoch"] == 1  # the last that was whole
    lines = [json.loads(line).get("epoch") for line in (folder / "callbacks.jsonl").read_text().splitlines()]
    assert lines == [1, 2, 3, None][: len(lines)]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_may_not_grow(train, scripted, messages, monkeypatch, links):
    """Simulate a quota, since no file system can be mounted: a copy fails in the middle, a hard link does not."""

    def no_links(*_: Any) -> None:
        raise OSError("no hard links here")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    scripted([0.1, 0.2, 0.3, 0.3])
    model, saved = YOLO(TINY), SaveBest("mAP50")
    attach(model, saved)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    decided: list[int] = []

    def no_more(trainer: Any) -> None:
        if trainer.epoch == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (trainer.last.stat().st_size // 2, limit[1]))

    def enough(trainer: Any) -> None:
        decided.append(saved.best_epoch)
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    model.add_callback("on_model_save", no_more)
    try:
        attach_last(model, enough)
        folder = train(model, epochs=3)
    finally:
        enough(None)
        signal.signal(signal.SIGXFSZ, handler)
    failed = any("best-mAP50.pt could not be saved: [Errno 27] File too large" in message for message in messages)
    assert failed is not links
    assert decided[:3] == [1, 2 if links else 1, 3]
    assert not list((folder / "weights").glob(".*"))


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("separated", [True, False])
def test_a_disk_with_no_room_for_two_checkpoints_at_a_time(
    train, scripted, small_disk, messages, monkeypatch, separated
):
    """Ultralytics' own are written in place then, as without us; a best that never became a file of its own goes."""
    if not separated:
        monkeypatch.setattr("yolo_callbacks.trainer.linked_copies.break_hard_link", lambda path: None)
    scripted([0.1, 0.2, 0.1, 0.1, 0.1])
    model, saved = YOLO(TINY), SaveBest("mAP50", keep_optimizer=True)
    attach(model, saved)

    def fill(trainer: Any) -> None:
        if trainer.epoch == 2:
            free = shutil.disk_usage(small_disk).free
            (small_disk / "other").write_bytes(bytes(free - trainer.last.stat().st_size // 2))

    model.add_callback("on_train_epoch_end", fill)
    epochs: list[int] = []
    model.add_callback(
        "on_model_save", lambda trainer: epochs.append(torch.load(trainer.last, weights_only=False)["epoch"])
    )
    folder = train(model, epochs=4, project=str(small_disk))
    assert epochs == [0, 1, 2, 3]
    assert len(results_csv(folder)) == 4
    assert not list((folder / "weights").glob(".*"))
    assert any("best-mAP50.pt is given up" in message for message in messages) is not separated
    if separated:
        assert torch.load(saved.best_model_path, map_location="cpu", weights_only=False)["epoch"] == 1


def attach_last(model: YOLO, function: Any) -> None:
    model.add_callback("on_fit_epoch_end", function)


def test_a_folder_that_loses_its_write_permission(train, scripted, messages, tmp_path):
    scripted([0.1, 0.2, 0.3, 0.3])
    model, saved = YOLO(TINY), SaveBest("mAP50")
    attach(model, saved, JsonlLogger())
    folder = tmp_path / "run"

    def locked(lock: bool) -> None:
        if os.getuid():
            (folder / "weights").chmod(0o500 if lock else 0o700)
        else:  # permissions do not hold for root
            flag = "+i" if lock else "-i"
            subprocess.run(["chattr", flag, str(folder / "weights")], check=True, capture_output=True)

    def lock(trainer: Any) -> None:
        if trainer.epoch == 1:  # last.pt is there and can be written; what is new, such as our temporary file, cannot
            locked(True)

    model.add_callback("on_train_epoch_end", lock)
    try:
        attach_last(model, lambda trainer: locked(False))
        try:
            train(model, epochs=3)
        except subprocess.CalledProcessError:
            pytest.skip("no folder can be locked here")
    finally:
        subprocess.run(["chattr", "-i", str(folder / "weights")], capture_output=True, check=False)
    assert any("best-mAP50.pt could not be saved: [Errno" in message for message in messages)
    assert saved.best_epoch == 3
    assert saved.best_model_path.is_file()


def test_a_truncated_state_is_made_again_from_the_journal(train, scripted, messages):
    scripted([0.3, 0.2, 0.1, 0.1])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50", top_k=2), EarlyStopping(patience=3))
    folder = interrupted(train, model, 2, epochs=6)
    text = (folder / "callbacks.json").read_text()
    (folder / "callbacks.json").write_text(text[: len(text) // 2])
    sidecar = folder / "weights" / "best-mAP50-epoch001.json"
    sidecar.write_text(sidecar.read_text()[:50])
    scripted([0.1, 0.1, 0.1])
    model, saved, stopping = YOLO(folder / "weights" / "last.pt"), SaveBest("mAP50", top_k=2), EarlyStopping(patience=3)
    attach(model, saved, stopping)
    model.train(resume=True)
    assert (stopping.stopped_epoch, stopping.best_epoch) == (4, 1)
    assert list(saved.best_k_models.values()) == [0.3, 0.2]
    assert all(path.is_file() for path in saved.best_k_models)
    assert (folder / "callbacks.json.corrupt").read_text() == text[: len(text) // 2]
    assert sidecar.with_name(f"{sidecar.name}.corrupt").is_file()
    assert not [message for message in messages if "started fresh" in message]


def test_a_checkpoint_replaced_under_us(train, scripted, messages):
    """Whoever wrote it: the next best takes its place, and what is no checkpoint only warns."""
    scripted([0.1, 0.2, 0.3, 0.1, 0.1])
    model, one, two = YOLO(TINY), SaveBest("mAP50"), SaveBest("recall", top_k=9)
    attach(model, one, two)

    def replace(trainer: Any) -> None:
        if trainer.epoch == 1:
            (trainer.wdir / "best-mAP50.pt").write_text("somebody else's")
            (trainer.wdir / "best-recall-epoch001.pt").write_text("no checkpoint")
            (trainer.wdir / "best-recall-epoch002.pt").unlink()

    attach_last(model, replace)
    folder = train(model, epochs=4)
    assert torch.load(one.best_model_path, weights_only=False)["train_metrics"]["metrics/mAP50(B)"] == 0.3
    assert (folder / "weights" / "best-recall-epoch001.pt").read_text() == "no checkpoint"
    assert sum("could not be stripped and stays as it was" in message for message in messages) == 2


# Callbacks ------------------------------------------------------------------------------------------------------------


def raising(event: str) -> Callback:
    def fail(self: Callback, source: Any) -> None:
        raise RuntimeError(f"broken in {event}")

    return type("Raising", (Callback,), {event: fail})()


@pytest.mark.parametrize("strict", [False, True])
def test_a_callback_that_raises_on_any_event(train, scripted, strict, messages):
    events = [event for event in TRAINING_EVENTS if event not in RESERVED]
    for event in events if strict else ["all"]:
        scripted([0.1, 0.3, 0.2, 0.2])
        model, saved = YOLO(TINY), SaveBest("mAP50")
        attach(model, *([raising(event)] if strict else [raising(each) for each in events]), saved, strict=strict)
        if strict and not event.startswith("on_val_batch"):  # scripted: no batch
            with pytest.raises(RuntimeError, match=f"broken in {event}"):
                train(model, epochs=1, name=event)
        else:
            train(model, epochs=4, name=event)
            assert saved.best_epoch == 2
    assert sum("Traceback" in message for message in messages) == len(events) - 2
    if not strict:
        off = {message.split(" times in a row in ")[1].split(":")[0] for message in messages if "in a row" in message}
        assert {"on_train_epoch_start", "on_fit_epoch_end", "on_model_save", "on_val_end"} <= off


@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")  # Ultralytics' own, up to 8.4.140 at least
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_no_positive_in_validation(train, tmp_path, scenes, messages):
    """Real validation on images without a box: nothing has a value by class, and nobody fails."""
    data = tmp_path / "data"
    shutil.copytree(scenes.parent, data)
    for label in (data / "labels" / "val").glob("*.txt"):
        label.write_text("")
    shutil.rmtree(data / "labels" / "val.cache", ignore_errors=True)
    model, saved, one = YOLO(TINY), SaveBest(), SaveBest("mAP50/one")
    attach(model, saved, one, EarlyStopping("min(mAP50-95)", patience=1))
    folder = train(model, epochs=2, data=str(data / "data.yaml"))
    assert len(results_csv(folder)) == 2
    # nothing is detected in any epoch: the latest one is kept
    assert (one.best_epoch, saved.best_epoch, saved.best_score) == (2, 2, None)
    assert not [message for message in messages if "Traceback" in message]


@pytest.mark.skipif(not hasattr(BaseTrainer, "_build_train_pipeline"), reason="retries from 8.4.29 on")
def test_an_out_of_memory_error_in_the_first_epoch(train, scripted):
    """Ultralytics starts the epoch again with half the batch: one epoch, one row."""
    scripted([0.1, 0.2, 0.2])
    model, saved, passes = YOLO(TINY), SaveBest("mAP50", top_k=9), []

    def run_out(trainer: Any) -> None:
        passes.append(trainer.batch_size)
        if len(passes) == 1:
            forward = trainer.model.forward

            def once(*arguments: Any, **keywords: Any) -> Any:
                trainer.model.forward = forward
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

            trainer.model.forward = once

    model.add_callback("on_train_epoch_start", run_out)
    attach(model, saved, JsonlLogger())
    folder = train(model, epochs=2)
    assert passes == [4, 2, 2]
    assert list(saved.best_k_models.values()) == [0.2, 0.1]
    lines = [json.loads(line).get("epoch") for line in (folder / "callbacks.jsonl").read_text().splitlines()]
    assert lines == [1, 2, None]
    assert (folder / "callbacks.journal.jsonl").read_text().count("\n") == 2


# Signals --------------------------------------------------------------------------------------------------------------

SIGNALLED = """
import os, signal, subprocess, sys, time
from pathlib import Path
from killed_runs import validate
from trainings import FAST, TINY
from ultralytics import YOLO
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.engine.validator import BaseValidator
from yolo_callbacks import EarlyStopping, SaveBest, WandbLogger, attach

BaseValidator.__call__ = validate
folder, where, number = Path(folder), sys.argv[1], int(sys.argv[2])
last = folder / "run/weights/last.pt"
model = YOLO(last if where == "resume" else TINY)
stopping = EarlyStopping(patience=3)
attach(model, SaveBest("mAP50", top_k=2), stopping, WandbLogger(images=0, log_model=False))

if where == "group":  # as a scheduler ends it: the workers of the loaders get the signal too
    os.setpgid(0, 0)
    model.add_callback("on_pretrain_routine_start", lambda trainer: setattr(trainer.args, "workers", 2))

def send(trainer):
    if trainer.epoch == 2:
        if where == "group":  # a worker that gets it from its parent ends as if it had been asked to
            subprocess.run(["kill", f"-{number}", "--", f"-{os.getpid()}"], start_new_session=True, check=True)
            time.sleep(60)
        os.kill(os.getpid(), number)

save = Path.write_bytes

def in_the_middle(self, content):
    if self.name == "last.pt" and where == "write" and model.trainer.epoch == 2:
        save(self, content[:1000])
        os.kill(os.getpid(), number)
    return save(self, content)

Path.write_bytes = in_the_middle
if where in ("on_train_batch_end", "on_fit_epoch_end"):
    model.add_callback(where, send)
elif where == "group":
    model.add_callback("on_train_batch_end", send)
arguments = {"resume": True} if where == "resume" else {**FAST, "epochs": 8, "patience": 0}
try:
    model.train(data=data, project=str(folder), name="run", **arguments)
finally:
    print("HANDLER", signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
    print("CHILDREN", getattr(signal.getsignal(signal.SIGCHLD), "__module__", None))
"""


@pytest.mark.parametrize(
    ("where", "number"),
    [
        ("on_train_batch_end", 2),
        ("group", 15),
        pytest.param("write", 2, marks=pytest.mark.slow),
        pytest.param("write", 15, marks=pytest.mark.slow),
        pytest.param("on_fit_epoch_end", 15, marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_and_sigterm(interpreter, tmp_path, scenes, where, number):
    """The state is written, the W&B run is a failed one, no file is half, and the run can be resumed."""
    returned, name = {2: (-2, "Ctrl-C"), 15: (143, "SIGTERM")}[number]
    run = partial(interpreter.run, SIGNALLED, data=str(scenes), folder=str(tmp_path))
    status, said = run(where, str(number))
    assert status == returned, said
    assert "HANDLER True" in said
    epochs = {"on_train_batch_end": 2, "group": 2, "write": 2, "on_fit_epoch_end": 3}[where]
    folder = tmp_path / "run"
    state = json.loads((folder / "callbacks.json").read_text())
    assert (state["epoch"], state["summary"]["status"]) == (epochs, f"ended by {name}")
    (wandb_run,) = read_runs(folder / "wandb")
    assert wandb_run.exit_code == 1
    for checkpoint in (folder / "weights").glob("*.pt"):
        assert torch.load(checkpoint, map_location="cpu", weights_only=False)["optimizer"] is not None
    assert not list(folder.rglob(".*.tmp"))
    if where == "write":  # the checkpoint of the third epoch is whole: it goes on from there, and decides on it first
        status, said = run("resume", "0")
        assert status == 0, said
        state = json.loads((folder / "callbacks.json").read_text())
        assert state["callbacks"]["EarlyStopping(fitness)"]["stopped_epoch"] == 7
        rows = sorted(epoch for each in read_runs(folder / "wandb") for epoch in each.column("epoch"))
        assert rows == [1, 2, 3, 4, 5, 6, 7]
