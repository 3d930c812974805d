"""Memory callbacks: decisions, devices, real trainings, and what is written down when memory runs out."""

from __future__ import annotations

import copy
import gc
import json
import multiprocessing
import pickle
import re
import sys
import time
import weakref
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trainings import TINY
from ultralytics import YOLO

from yolo_callbacks import Callback, JsonlLogger, MemoryCleanup, MemoryMonitor, TrainingRun, attach
from yolo_callbacks.callbacks.memory_parts.diary import suggest
from yolo_callbacks.decisions import Cadence, GrowthRule, cache_is_idle, host_is_short
from yolo_callbacks.trainer import finished
from yolo_callbacks.utils import memory
from yolo_callbacks.utils.memory import GIB, accelerator_of, is_out_of_memory

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

MIB = 2**20

# Decisions ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allocated", "reserved", "capacity", "threshold", "idle"),
    [
        (1, 6, 10, 0.5, True),
        (3, 6, 10, 0.5, False),  # exactly half is in use
        (4, 6, 10, 0.5, False),  # most of it is in use: emptying it would bring little
        (0, 5, 10, 0.5, False),  # at the threshold, not past it
        (1, 6, 10, 0.7, False),
        (0, 1, 10, 0.0, True),
        (0, 6, 0, 0.5, False),  # a device that does not tell its size
    ],
)
def test_when_a_cache_is_idle(allocated, reserved, capacity, threshold, idle):
    found = cache_is_idle(allocated=allocated, reserved=reserved, capacity=capacity, threshold=threshold)
    assert found is idle


def test_when_the_host_is_short():
    assert host_is_short(9, 100)
    assert not host_is_short(10, 100)


def epochs_of_steps(cadence: Cadence, epochs: int, step: Any) -> list[int]:
    """The epochs in which a step is made; `step(epoch)` gives bytes before, bytes after and seconds."""
    made = []
    for epoch in range(1, epochs + 1):
        if epoch >= cadence.next_epoch:
            before, after, seconds = step(epoch)
            cadence.stepped(epoch, before=before, after=after, seconds=seconds)
            made.append(epoch)
    return made


@pytest.mark.parametrize(
    ("every", "step", "made"),
    [
        # what was freed is taken again at once
        (1, lambda epoch: (630 * MIB, 600 * MIB, 0.01), [1, 2, 10]),
        (3, lambda epoch: (630 * MIB, 600 * MIB, 0.01), [3, 6, 30]),
        # nothing to free
        (1, lambda epoch: (600 * MIB, 600 * MIB, 0.01), [1, 9]),
        # slow: 30 MiB in a second
        (1, lambda epoch: (630 * MIB, 600 * MIB, 1.0), [1, 9]),
        # 40 MiB freed for good each time
        (1, lambda epoch: ((2000 - 40 * epoch) * MIB, (1960 - 40 * epoch) * MIB, 0.01), list(range(1, 33))),
    ],
)
def test_a_step_that_is_not_worth_it_is_made_an_eighth_as_often(every, step, made):
    assert epochs_of_steps(Cadence(every), 32, step) == made


def test_the_pause_has_an_end_and_worth_brings_it_back():
    cadence = Cadence(1)
    made = epochs_of_steps(cadence, 400, lambda _: (MIB, MIB, 0.0))
    assert max(later - earlier for earlier, later in pairwise(made)) == 64
    cadence.stepped(400, before=2000 * MIB, after=1000 * MIB, seconds=0.01)
    assert cadence.next_epoch == 401


@pytest.mark.parametrize(
    ("values", "grows"),
    [
        ([1.0, 1.1, 1.2, 1.3, 1.4], True),
        ([1.0, 1.09, 1.21, 1.29, 1.41], True),  # a leak under noise
        ([1.0, 1.0, 1.0, 1.0, 1.0], False),
        ([1.4, 1.3, 1.2, 1.1, 1.0], False),
        ([1.0, 1.4, 1.5, 1.52, 1.52], False),  # a start that levels off
        ([1.0, 1.3, 1.0, 1.3, 1.1], False),
        ([1.0, 1.001, 1.002, 1.003, 1.004], False),  # too little to be worth a word
        ([1.0, 1.1, 1.2, 1.3], False),  # too early
        ([5.0, 1.0, 1.1, 1.2, 1.3, 1.4], True),  # only the window counts
        ([0.0, 0.0, 0.0, 0.0, 0.0], False),
    ],
)
def test_growth(values, grows):
    rule = GrowthRule(4, 0.02)
    growth = [rule.check(value) for value in values][-1]
    assert (growth is not None) is grows
    if growth:
        assert growth.slope == pytest.approx(0.1, rel=0.05)
        assert (growth.first, growth.last) == (values[-5], values[-1])


@given(
    st.floats(0.1, 100), st.floats(0.02, 5), st.integers(2, 20), st.lists(st.floats(-1, 1), min_size=21, max_size=21)
)
def test_a_leak_is_found_under_noise_and_none_in_noise_alone(start, share, window, noise):
    leak, level = GrowthRule(window, 0.9 * start * share), GrowthRule(window, 0.01 * start)
    slope = start * share / window
    found = [leak.check(start + slope * (i + 0.02 * noise[i])) for i in range(window + 1)]
    assert found[-1]
    assert found[-1].slope == pytest.approx(slope, rel=0.1)
    assert all(growth is None for growth in found[:-1])
    assert not any(level.check(start * (1 + 0.001 * noise[i])) for i in range(window + 1))


def test_a_slow_leak_is_found_once_it_adds_up():
    rule = GrowthRule(10, 1 / 16)
    growths = [rule.check(8 + 5 / 1024 * epoch) for epoch in range(1, 41)]
    first = next(epoch for epoch, growth in enumerate(growths, 1) if growth)
    assert first == 11 + 13  # 13 epochs of 5 MiB after the first window are 64 MiB


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (MemoryError(), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory, says a user's own check"), False),
        (None, False),
    ],
)
def test_what_an_out_of_memory_error_is(error, expected):
    assert is_out_of_memory(error) is expected


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "batch=8. A smaller imgsz"),
        ({"retried": True}, "goes on with half of batch=16; give batch=8"),
        ({"batch_size": 1}, "imgsz=320"),
        ({"phase": "val"}, "batch=8, which makes the batches of validation smaller too"),
        ({"phase": "save"}, "batch=8. A smaller"),
        ({"batch_size": 1, "retried": True}, "imgsz=320"),
        ({"instances": 4000, "images": 16}, "The batch had 4000 boxes in 16 images"),
        ({"device": "cpu"}, "Fewer workers and cache=False"),
    ],
)
def test_suggestions(changed, said):
    usual = {"phase": "train", "batch_size": 16, "image_size": 640, "images": 16, "instances": 100, "device": "cuda"}
    assert said in suggest(**{**usual, "retried": False, **changed})


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


# The host -------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not memory.trim_host(), reason="needs glibc")
def test_trimming_gives_freed_pages_back():
    blocks = [bytes(1000) for _ in range(200_000)]
    kept = blocks[::1000]  # each keeps the heap from shrinking by itself
    del blocks
    before = memory.host_in_use()
    memory.trim_host()
    assert before - memory.host_in_use() > 100 * MIB
    assert len(kept) == 200


def test_a_container_has_what_its_limit_leaves(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    machine = memory.host_available()
    for name, text in {"memory.max": f"{GIB}\n", "memory.current": f"{GIB}\n", "memory.stat": "anon 5\n"}.items():
        (tmp_path / name).write_text(text)
    assert memory.host_available() == (0, GIB)
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {GIB // 4}\n")
    assert memory.host_available() == (GIB // 4, GIB)
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.host_available()[1] == machine[1]


def test_memory_of_worker_processes_is_counted():
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    before, found = memory.workers(), 0
    process.start()
    try:
        for _ in range(200):  # it starts with nothing
            found = memory.workers() - before
            if found > 5 * MIB:
                break
            time.sleep(0.05)
    finally:
        process.kill()
        process.join()
    assert found > 5 * MIB


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
    """What a trainer holds, of what `release` drops; the validator's loader under its own name."""
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
    model = YOLO("yolo11n.yaml")
    attach(model, MemoryCleanup())
    model.add_callback("teardown", lambda trainer: seen.append(trainer.ema.ema.state_dict()))
    train(model, epochs=1)
    assert len(seen[0]) > 100

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


@pytest.mark.training
def test_eight_trainings_in_one_process_stay_level():
    """Beside two without cleanup, which do not shrink later. Measured, eight of each: 1.001 and 0.63."""
    from memory_series import series

    found = series(8, 2, images=8)
    assert found["on"][-1] <= 1.02 * found["on"][1]
    assert found["on"][-1] <= 0.75 * found["off"][-1]


# Growth and out of memory, in real trainings --------------------------------------------------------------------------


@pytest.mark.training
def test_a_leak_is_told_once(train, messages):
    class Leaking(Callback):
        def __init__(self) -> None:
            self.held: list[bytearray] = []

        def on_train_epoch_start(self, trainer):
            self.held.append(bytearray(64 * MIB))

    model, monitor = YOLO(TINY), MemoryMonitor(leak_window=5)
    attach(model, Leaking(), monitor, strict=True)
    train(model, epochs=9)
    told = [message for message in messages if "has grown" in message]
    assert len(told) == 1
    assert "host memory of this process has grown through 5 epochs, by " in told[0]
    assert monitor.leak == pytest.approx(64 / 1024, rel=0.2)


@pytest.mark.training
def test_no_leak_no_word(train, messages):
    model, monitor = YOLO(TINY), MemoryMonitor(leak_window=3)
    monitor_values = iter([1.0, 1.3, 1.1, 1.2, 1.0, 1.3, 1.1])
    attach(model, monitor, strict=True)
    monitor._read = lambda: {"host_process": next(monitor_values), "host_workers": 0.0}  # type: ignore[method-assign]
    train(model, epochs=6, val=False)  # the last epoch is validated all the same
    assert monitor.leak is None
    assert not [message for message in messages if "grown" in message]


@pytest.fixture
def exhausted(monkeypatch):
    """Raise an out-of-memory error in given batches, counted from 0 through the whole run."""

    def install(*batches: int, error: type[Exception] = torch.cuda.OutOfMemoryError) -> None:
        from ultralytics.nn.tasks import DetectionModel

        loss, count = DetectionModel.loss, {"batch": -1}

        def counted(self: Any, batch: Any, preds: Any = None) -> Any:
            if self.training:
                count["batch"] += 1
                if count["batch"] in batches:
                    raise error("CUDA out of memory, says the test")
            return loss(self, batch, preds)

        monkeypatch.setattr(DetectionModel, "loss", counted)

    return install


def needs(version: str) -> Any:
    import ultralytics

    found = tuple(map(int, ultralytics.__version__.split(".")[:3]))
    return pytest.mark.skipif(found < tuple(map(int, version.split("."))), reason=f"Ultralytics from {version} on")


@needs("8.4.51")
@pytest.mark.training
def test_the_first_epoch_that_is_tried_again_is_written_down(train, exhausted, fake_device):
    exhausted(1)
    model, monitor = YOLO(TINY), MemoryMonitor()
    attach(model, monitor, strict=True)
    folder = train(model, epochs=1)
    assert monitor.diaries == [folder / "oom-1.json"]
    diary = json.loads(monitor.diaries[0].read_text())
    assert (diary["fatal"], diary["error"]) == (False, None)
    assert (diary["phase"], diary["epoch"], diary["batch"]) == ("train", 1, 2)
    assert (diary["batch_size"], diary["retry"], diary["image_size"], diary["batch_shape"]) == (
        4,
        1,
        32,
        [4, 3, 32, 32],
    )
    assert diary["instances"] > 0
    assert diary["memory_gib"]["now"]["peak"] == 2.0
    assert diary["memory_summary"] == "a table"
    assert "batch=2" in diary["suggestion"]


@pytest.mark.training
def test_what_ends_a_training_is_written_down_and_stays_what_the_user_sees(train, exhausted):
    exhausted(3)
    model, monitor = YOLO(TINY), MemoryMonitor()
    attach(model, monitor, MemoryCleanup())
    with pytest.raises(torch.cuda.OutOfMemoryError, match="says the test"):
        train(model, epochs=3)
    diary = json.loads((Path(model.trainer.save_dir) / "oom-1.json").read_text())
    assert diary["fatal"]
    assert diary["error"] == "OutOfMemoryError: CUDA out of memory, says the test"
    assert (diary["epoch"], diary["batch"], diary["memory_summary"]) == (2, 2, None)
    assert set(diary["memory_gib"]) == {"train", "val", "now"}
    # the next run, inside the handler of that error as users write it, has none of its own
    try:
        raise torch.cuda.OutOfMemoryError("out of memory")
    except torch.cuda.OutOfMemoryError:
        folder = train(model, epochs=1, name="again")
    assert not list(folder.glob("oom*"))
    assert monitor.diaries == []
    summary = json.loads((folder / "callbacks.json").read_text())["summary"]
    assert summary["status"] == "finished"


@pytest.mark.training
@pytest.mark.parametrize(
    ("where", "phase", "epoch"), [("get_dataloader", "setup", 0), ("validate", "val", 1), ("save_model", "save", 1)]
)
def test_memory_that_runs_out_elsewhere(train, monkeypatch, where, phase, epoch):
    from ultralytics.models.yolo.detect import DetectionTrainer

    def exhaust(self: Any, *arguments: Any, **keywords: Any) -> Any:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory, says the test")

    monkeypatch.setattr(DetectionTrainer, where, exhaust)
    model, monitor = YOLO(TINY), MemoryMonitor()
    attach(model, monitor, MemoryCleanup(), strict=True)
    with pytest.raises(torch.cuda.OutOfMemoryError, match="says the test"):
        train(model, epochs=2)
    diary = json.loads(monitor.diaries[0].read_text())
    assert (diary["phase"], diary["epoch"], diary["batch_size"]) == (phase, epoch, 4)


@pytest.mark.training
def test_a_strict_suite_does_not_hide_what_ended_the_training(train, exhausted):
    class Failing(Callback):
        def teardown(self, trainer):
            raise ValueError("mine")

    exhausted(3)
    model = YOLO(TINY)
    attach(model, Failing(), strict=True)
    with pytest.raises(torch.cuda.OutOfMemoryError, match="says the test"):
        train(model, epochs=3)


@pytest.mark.training
def test_two_monitors_are_one_too_many():
    with pytest.raises(ValueError, match=re.escape("would both write memory/*: attach one")):
        attach(YOLO(TINY), MemoryMonitor(), MemoryMonitor())


@pytest.mark.training
def test_a_diary_that_cannot_be_written_only_warns(train, exhausted, messages, monkeypatch):
    exhausted(3)
    monkeypatch.setattr(
        "yolo_callbacks.callbacks.memory_parts.diary.write_json", lambda *_: (_ for _ in ()).throw(OSError("full"))
    )
    model = YOLO(TINY)
    attach(model, MemoryMonitor(), strict=True)
    with pytest.raises(torch.cuda.OutOfMemoryError, match="says the test"):
        train(model, epochs=3)
    assert any("diary could not be written: OSError('full')" in message for message in messages)


@pytest.mark.parametrize("batch", [(1, 2), {}, {"img": 5}, {"img": torch.zeros(2, 3), "bboxes": torch.tensor(1)}])
def test_a_batch_of_another_form_is_no_error(batch):
    """What watches it stands outside every guard."""
    from yolo_callbacks.trainer.training_run import TrainingRun

    trainer = SimpleNamespace(preprocess_batch=lambda batch, scale: (batch, scale))
    seen = TrainingRun(trainer).watch_batches()
    assert trainer.preprocess_batch(batch, scale=2) == (batch, 2)
    assert (seen.index, seen.shape, seen.instances) == (0, (), None)


def test_what_was_replaced_is_taken_back():
    from yolo_callbacks.trainer.training_run import TrainingRun

    def own(batch: Any) -> Any:
        return batch

    trainer = SimpleNamespace(preprocess_batch=own)
    adaptor = TrainingRun(trainer)
    adaptor.watch_batches()
    adaptor.watch_batches()
    assert trainer.preprocess_batch is not own
    adaptor.supervision.close()
    assert trainer.preprocess_batch is own


# Real accelerators ----------------------------------------------------------------------------------------------------

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.gpu
@pytest.mark.training
@needs_gpu
def test_a_real_gpu_is_freed_and_watched(train):
    model, cleanup = YOLO("yolo11n.yaml"), MemoryCleanup(gpu_threshold=0.0)
    attach(model, MemoryMonitor(), cleanup, JsonlLogger(), strict=True)
    folder = train(model, epochs=2, device=0)
    row = json.loads((folder / "callbacks.jsonl").read_text().splitlines()[0])
    assert 0 < row["memory/train/allocated"] <= row["memory/train/peak"] <= row["memory/train/reserved"]
    assert 0 < row["memory/train/share"] < 1
    assert cleanup.freed["accelerator"] > 0
    assert torch.cuda.memory_allocated() < 200 * MIB


@pytest.mark.gpu
@pytest.mark.training
@needs_gpu
def test_a_real_gpu_that_is_full_leaves_a_diary(train, tmp_path):
    capacity = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(600 * MIB / capacity, 1.0))
    try:
        model = YOLO("yolo11n.yaml")
        attach(model, MemoryMonitor(snapshot=True), MemoryCleanup())
        with pytest.raises(RuntimeError, match="out of memory"):
            train(model, epochs=1, device=0, imgsz=1280, batch=8, multi_scale=0.0)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    folder = Path(model.trainer.save_dir)
    diary = json.loads((folder / "oom-1.json").read_text())
    assert "CUDA" in diary["memory_summary"]
    assert (folder / "oom-1.pickle").stat().st_size > 0


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
