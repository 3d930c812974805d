"""MemoryMonitor: leaks, and the diary that is written when memory runs out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trainings import TINY
from ultralytics import YOLO

from yolo_callbacks import Callback, MemoryCleanup, MemoryMonitor, attach
from yolo_callbacks.callbacks.memory_parts.diary import suggest
from yolo_callbacks.utils.memory import is_out_of_memory

MIB = 2**20


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


# Growth and out of memory, in real trainings --------------------------------------------------------------------------


@pytest.mark.training
def test_a_leak_is_reported_once(train, messages):
    class Leaking(Callback):
        def __init__(self) -> None:
            self.held: list[bytearray] = []

        def on_train_epoch_start(self, trainer):
            self.held.append(bytearray(64 * MIB))

    model, monitor = YOLO(TINY), MemoryMonitor(leak_window=5)
    attach(model, Leaking(), monitor, strict=True)
    train(model, epochs=9)
    warnings = [message for message in messages if "has grown" in message]
    assert len(warnings) == 1
    assert "host memory of this process has grown through 5 epochs, by " in warnings[0]
    assert monitor.leak == pytest.approx(64 / 1024, rel=0.2)


@pytest.mark.training
def test_no_leak_no_word(train, messages):
    model, monitor = YOLO(TINY), MemoryMonitor(leak_window=3)
    monitor_values = iter([1.0, 1.3, 1.1, 1.2, 1.0, 1.3, 1.1])
    attach(model, monitor, strict=True)
    monitor._read = lambda: {"host_process": next(monitor_values), "host_workers": 0.0}  # type: ignore[method-assign]
    train(model, epochs=6, val=False)  # Ultralytics validates the last epoch nevertheless
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
    """No suite catches an exception here, so that reading the batch must not raise."""
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
    run = TrainingRun(trainer)
    run.watch_batches()
    run.watch_batches()
    assert trainer.preprocess_batch is not own
    run.supervision.close()
    assert trainer.preprocess_batch is own


# Real accelerators ----------------------------------------------------------------------------------------------------

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.gpu
@pytest.mark.training
@needs_gpu
def test_a_real_gpu_that_is_full_leaves_a_diary(train, tmp_path):
    capacity = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(400 * MIB / capacity, 1.0))
    try:
        model = YOLO("yolo11n.yaml")
        attach(model, MemoryMonitor(snapshot=True), MemoryCleanup())
        with pytest.raises(RuntimeError, match="out of memory"):
            train(model, epochs=1, device=0, imgsz=1280, batch=8, amp=False)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    folder = Path(model.trainer.save_dir)
    diary = json.loads((folder / "oom-1.json").read_text())
    assert "CUDA" in diary["memory_summary"]
    assert (folder / "oom-1.pickle").stat().st_size > 0


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
