"""MemoryCleanup: what is freed, when, and what stays readable."""

from __future__ import annotations

import copy
import gc
import json
import multiprocessing
import pickle
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trainings import TINY
from ultralytics import YOLO

from yolo_callbacks import Callback, JsonlLogger, MemoryCleanup, MemoryMonitor, TrainingRun, attach
from yolo_callbacks.trainer import finished
from yolo_callbacks.utils.memory import GIB, accelerator_of

MIB = 2**20


class Noting(Callback):
    """Notes events among the calls of the fake device."""

    def __init__(self, calls: list[str]) -> None:
        self.calls = calls

    def on_train_batch_start(self, trainer):
        self.calls.append("[")

    def on_train_batch_end(self, trainer):
        self.calls.append("]")

    def on_train_epoch_start(self, trainer):
        self.calls.append("epoch")


@pytest.mark.training
def test_an_accelerator_is_freed_between_epochs_only_and_its_memory_published(train, fake_device):
    class Filling(Callback):
        def on_train_epoch_end(self, trainer):
            fake_device.taken = 6 * GIB

    model, cleanup = YOLO(TINY), MemoryCleanup(host=False)
    attach(model, Filling(), MemoryMonitor(), cleanup, Noting(fake_device.calls), JsonlLogger(), strict=True)
    folder = train(model, epochs=5)
    calls = " ".join(fake_device.calls)
    # what is taken again at once is freed less often; at the end of the run the trainer keeps what it has
    epoch = "reset_peak epoch [ ] [ ] reset_peak"
    free = "empty_cache"
    final = "reset_peak"
    assert calls == f"{epoch} {free} {epoch} {free} {epoch} {epoch} {epoch} {final}"
    assert cleanup.freed == {"accelerator": 10.0, "host": 0.0, "collection": 0.0}
    rows = [json.loads(line) for line in (folder / "callbacks.jsonl").read_text().splitlines()]
    published = {key: value for key, value in rows[0].items() if key.startswith("memory/") and "host" not in key}
    phase = {"allocated": 1.0, "reserved": 6.0, "peak": 2.0, "share": 0.75}
    expected = {f"memory/{name}/{key}": value for name in ("train", "val") for key, value in phase.items()}
    assert published == {**expected, "memory/freed": 5.0}
    assert "memory/freed" not in rows[2]


@pytest.mark.training
def test_a_cache_that_is_in_use_is_left_alone(train, fake_device):
    fake_device.in_use = 4 * GIB
    model = YOLO(TINY)
    attach(model, MemoryCleanup(host=False), strict=True)
    train(model, epochs=2)
    assert fake_device.calls == ["empty_cache"]  # at the end of the run


@pytest.mark.training
def test_another_rank_frees_in_the_epochs_that_rank_0_has_chosen(train, fake_device, monkeypatch):
    """Rank 1 reads what rank 0 has shared, whatever it measures itself."""
    model, cleanup = YOLO(TINY), MemoryCleanup(host=False)

    def as_rank_one(trainer: Any) -> None:
        TrainingRun.of(trainer).shared.next_cleanups = {"accelerator": 3}
        fake_device.taken = 6 * GIB
        fake_device.calls.append("epoch")
        monkeypatch.setattr("ultralytics.utils.RANK", 1)
        cleanup.on_fit_epoch_end(trainer)
        monkeypatch.setattr("ultralytics.utils.RANK", -1)

    model.add_callback("on_fit_epoch_end", as_rank_one)
    train(model, epochs=4)
    assert fake_device.calls == ["epoch", "epoch", "epoch", "empty_cache", "epoch", "empty_cache", "epoch"]


@pytest.mark.training
def test_collection_only_where_the_host_is_short(train, monkeypatch):
    finished.release_all()  # trainers of other tests
    collected: list[int] = []
    module = "yolo_callbacks.callbacks.memory_cleanup"
    monkeypatch.setattr(f"{module}.gc", SimpleNamespace(collect=lambda: collected.append(1)))
    left = {"bytes": 50}
    monkeypatch.setattr(f"{module}.host_available", lambda: (left["bytes"], 100))
    model = YOLO(TINY)
    attach(model, MemoryCleanup(), strict=True)
    train(model, epochs=2)
    assert collected == []
    left["bytes"] = 5
    train(model, epochs=9, name="short")
    # what the first trainer held is released as the second starts; then epochs 1 and 9, since it frees nothing
    assert len(collected) == 1 + 2


# What remains after a training ----------------------------------------------------------------------------------------


@pytest.mark.training
@pytest.mark.parametrize("error", [None, KeyboardInterrupt, torch.cuda.OutOfMemoryError])
def test_the_trainer_lets_go_of_everything_heavy(train, error):
    """Also with loader workers, which Ultralytics does not use on a CPU; after a failure, of what nobody can use."""
    from ultralytics.data.build import build_dataloader

    held: dict[str, Any] = {}

    class Holding(Callback):
        def on_fit_epoch_end(self, trainer):
            if trainer.epoch + 1 < trainer.epochs or held:
                return
            loader = build_dataloader(trainer.train_loader.dataset, batch=4, workers=2, shuffle=False)
            next(iter(loader))
            trainer.train_loader, workers = loader, multiprocessing.active_children()
            parameter = next(trainer.model.parameters())
            parameter.grad = torch.zeros_like(parameter)
            held.update(loader=loader, workers=workers, optimizer=weakref.ref(trainer.optimizer))
            held.update(ema=weakref.ref(trainer.ema), dataset=weakref.ref(loader.dataset))
            if error:
                raise error("out of memory")

    model = YOLO(TINY)
    attach(model, MemoryCleanup(release="end"))
    model.add_callback("on_fit_epoch_end", Holding().on_fit_epoch_end)
    try:
        train(model, epochs=2)
    except (KeyboardInterrupt, torch.cuda.OutOfMemoryError):
        # still in its handler, where users train again with a smaller batch
        alive = {name: held[name]() is not None for name in ("optimizer", "ema")}
    else:
        alive = {name: held[name]() is not None for name in ("optimizer", "ema")}
    assert alive == dict.fromkeys(alive, error is KeyboardInterrupt)
    assert len(held["workers"]) == 2
    assert multiprocessing.active_children() == []  # while the loader itself is still held
    held["loader"] = None
    if error is not KeyboardInterrupt:
        gc.collect()
        assert held["dataset"]() is None
    assert all(parameter.grad is None for parameter in model.trainer.model.parameters())
    replaced = {"train", "_do_train", "save_model", "resume_training", "preprocess_batch"}
    assert not replaced & set(vars(model.trainer))


HELD = ("ema", "optimizer", "scheduler", "scaler", "train_loader", "test_loader")


def held_by(trainer: Any) -> set[str]:
    """Return the names of the objects that a trainer still holds and that `release` would drop."""
    names = {name for name in HELD if getattr(trainer, name, None) is not None}
    return names | ({"dataloader"} if trainer.validator.dataloader is not None else set())


EVERYTHING = {*HELD, "dataloader"}


@pytest.mark.training
def test_what_ultralytics_leaves_readable_stays_until_the_next_training(train):
    """Another training of the process releases it, of another model too, but nothing of a training that still runs."""
    first, second, other = YOLO(TINY), YOLO(TINY), YOLO(TINY)
    for model in (first, second):
        attach(model, MemoryCleanup())
    train(first, epochs=1, name="first")
    assert held_by(first.trainer) == EVERYTHING
    train(other, epochs=1, name="without")  # no suite, nothing is released
    assert held_by(first.trainer) == EVERYTHING

    during: list[set[str]] = []
    second.add_callback("on_train_epoch_start", lambda trainer: during.append(held_by(first.trainer)))
    train(second, epochs=1, name="second")
    assert during == [set()]
    assert held_by(second.trainer) == EVERYTHING


@pytest.mark.training
def test_a_training_inside_another_ones_callback_releases_nothing_of_it(train):
    outer, inner = YOLO(TINY), YOLO(TINY)
    for model in (outer, inner):
        attach(model, MemoryCleanup())
    during: list[set[str]] = []

    def nested(trainer: Any) -> None:
        if trainer.epoch == 0:
            train(inner, epochs=1, name="inner")
            during.append(held_by(trainer))

    outer.add_callback("on_train_epoch_end", nested)
    folder = train(outer, epochs=2, name="outer")
    assert during == [EVERYTHING]
    assert len((folder / "results.csv").read_text().splitlines()) == 3


@pytest.mark.training
def test_a_host_that_is_short_releases_a_finished_trainer(train, monkeypatch):
    left = {"bytes": 50}
    monkeypatch.setattr("yolo_callbacks.callbacks.memory_cleanup.host_available", lambda: (left["bytes"], 100))
    first, second = YOLO(TINY), YOLO(TINY)
    attach(first, MemoryCleanup())
    train(first, epochs=1, name="first")
    seen: list[set[str]] = []

    def late(trainer: Any) -> None:
        """Attach in the middle of a training, whose start has released nothing."""
        if trainer.epoch == 1:
            left["bytes"] = 5
        seen.append(held_by(first.trainer))

    cleanup = MemoryCleanup()
    second.add_callback("on_train_epoch_start", late)
    second.add_callback("on_fit_epoch_end", cleanup.on_fit_epoch_end)
    train(second, epochs=3, name="second")
    assert seen == [EVERYTHING, EVERYTHING, set()]


@pytest.mark.training
def test_what_comes_after_the_training_still_has_the_trainer(train):
    """A teardown of the user's, registered after ours; and weights rescued after an interruption."""
    seen: list[Any] = []
    model = YOLO(TINY)
    attach(model, MemoryCleanup())
    model.add_callback("teardown", lambda trainer: seen.append(trainer.ema.ema.state_dict()))
    train(model, epochs=1)
    assert set(seen[0]) == set(YOLO(TINY).model.state_dict())

    def interrupt(trainer: Any) -> None:
        raise KeyboardInterrupt

    model.add_callback("on_fit_epoch_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(model, epochs=2, name="rescued")
    model.trainer.last.unlink()
    model.trainer.save_model()
    assert YOLO(model.trainer.last).ckpt["optimizer"] is not None


@pytest.mark.training
def test_beside_a_suite_without_it(train):
    model, cleanup = YOLO(TINY), MemoryCleanup(release="end")
    attach(model, MemoryMonitor())
    model.add_callback("teardown", cleanup.teardown)
    train(model, epochs=1)
    assert model.trainer.optimizer is None


@pytest.mark.filterwarnings("ignore")  # export by tracing is full of warnings of torch's own
@pytest.mark.training
def test_everything_that_users_read_and_call_afterwards_works(train, scenes, tmp_path):
    model = YOLO(TINY)
    attach(model, MemoryMonitor(), MemoryCleanup(), strict=True)
    folder = train(model, epochs=2)
    trainer = model.trainer
    assert trainer.best == folder / "weights" / "best.pt"
    assert trainer.best.is_file()
    assert trainer.last.is_file()
    assert trainer.save_dir == folder
    assert (trainer.epoch, trainer.epochs, trainer.args.imgsz) == (1, 2, 32)
    assert set(trainer.metrics) >= {"metrics/mAP50(B)", "metrics/recall(B)"}
    assert trainer.fitness is not None
    assert trainer.tloss is not None
    assert trainer.lr
    assert trainer.validator.metrics is model.metrics
    assert model.metrics.box.map >= 0
    assert model.trainer.data["names"][0] == "zero"
    assert model.val(data=str(scenes), imgsz=32, device="cpu", plots=False, project=tmp_path).box.map >= 0
    assert len(model.predict(scenes.parent / "images" / "val", imgsz=32, device="cpu", verbose=False)) == 4
    assert Path(model.export(format="torchscript", imgsz=32, device="cpu")).is_file()
    train(model, epochs=1, name="second")
    assert model.trainer.metrics


@pytest.mark.training
def test_a_run_that_failed_is_resumed(train):
    model = YOLO(TINY)

    def interrupt(trainer: Any) -> None:
        if trainer.epoch == 1:
            raise KeyboardInterrupt

    attach(model, MemoryCleanup())
    model.add_callback("on_fit_epoch_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(model, epochs=4)
    folder = Path(model.trainer.save_dir)
    model = YOLO(folder / "weights" / "last.pt")
    attach(model, MemoryCleanup())
    model.train(resume=True)
    assert len((folder / "results.csv").read_text().splitlines()) == 5


@pytest.mark.training
def test_alone_it_releases_at_the_end_too(train):
    model, cleanup = YOLO(TINY), MemoryCleanup(release="end")
    model.add_callback("teardown", cleanup.teardown)
    train(model, epochs=1)
    assert model.trainer.optimizer is model.trainer.ema is None
    assert model.trainer.metrics


# Real accelerators ----------------------------------------------------------------------------------------------------

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.gpu
@pytest.mark.training
@needs_gpu
def test_a_real_gpu_is_freed_and_watched(train, amp_weights):
    model, cleanup = YOLO("yolo11n.yaml"), MemoryCleanup(gpu_threshold=0.0)
    attach(model, MemoryMonitor(), cleanup, JsonlLogger(), strict=True)
    folder = train(model, epochs=2, device=0, imgsz=640)
    row = json.loads((folder / "callbacks.jsonl").read_text().splitlines()[0])
    assert 0 < row["memory/train/allocated"] <= row["memory/train/peak"] <= row["memory/train/reserved"]
    assert 0 < row["memory/train/share"] < 1
    assert cleanup.freed["accelerator"] > 0
    assert torch.cuda.memory_allocated() < 200 * MIB


# Devices --------------------------------------------------------------------------------------------------------------


def test_the_cpu_and_an_unknown_device_are_no_accelerators():
    assert accelerator_of(torch.device("cpu")) is None
    assert accelerator_of(SimpleNamespace(type="hpu")) is None


def test_an_accelerator_can_be_copied_and_pickled():
    device = accelerator_of(torch.device("cuda", 0))
    assert str(copy.deepcopy(device).device) == str(pickle.loads(pickle.dumps(device)).device) == "cuda:0"


def test_apple_counts_no_peak(monkeypatch):
    calls = []
    functions = {
        "current_allocated_memory": lambda: 1,
        "driver_allocated_memory": lambda: 2,
        "recommended_max_memory": lambda: 3,
        "empty_cache": lambda: calls.append("empty_cache"),
    }
    monkeypatch.setattr(torch, "mps", SimpleNamespace(**functions))
    device = accelerator_of(torch.device("mps"))
    device.reset_peak()
    device.empty_cache()
    found = device.allocated(), device.reserved(), device.peak(), device.capacity(), device.summary()
    assert (*found, calls) == (1, 2, None, 3, None, ["empty_cache"])


@pytest.mark.gpu
@needs_gpu
def test_the_device_functions_of_torch():
    device = accelerator_of(torch.device("cuda", 0))
    block = torch.zeros(64 * MIB, dtype=torch.uint8, device="cuda")
    device.reset_peak()
    assert device.allocated() >= 64 * MIB
    assert device.peak() >= 64 * MIB
    del block
    reserved = device.reserved()
    device.empty_cache()
    assert device.reserved() < reserved
    assert device.capacity() > GIB
