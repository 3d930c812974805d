"""Trainings on a real GPU: what a suite must not change there, and what it must not hold."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from scripted_predictions import predict_from_labels
from trainings import TINY, interrupted, results_csv
from ultralytics import YOLO

from yolo_callbacks import (
    EarlyStopping,
    FailingImages,
    JsonlLogger,
    MemoryCleanup,
    MemoryMonitor,
    ReduceLROnPlateau,
    SaveBest,
    SpeedMonitor,
    WandbLogger,
    attach,
)
from yolo_callbacks.decisions.training_speed import EpochTimer
from yolo_callbacks.trainer.forward_time import ForwardTime
from yolo_callbacks.utils.usage import AcceleratorUse

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.usefixtures("amp_weights"),
]
GPU = {"device": 0, "imgsz": 64}


def all_callbacks() -> list[Any]:
    watching = [
        MemoryMonitor(),
        SpeedMonitor(),
        MemoryCleanup(),
        FailingImages(),
        JsonlLogger(),
        WandbLogger(images=4, image_period=1),
    ]
    return [SaveBest("mAP50-95/small"), EarlyStopping("val/loss"), ReduceLROnPlateau("val/loss"), *watching]


def random_numbers() -> list[Any]:
    return [torch.rand(4).tolist(), torch.rand(4, device=0).tolist()]


def test_a_suite_changes_neither_the_numbers_nor_the_random_state(train):
    found = []
    for suite in (False, True, False):
        model = YOLO(TINY)
        if suite:
            attach(model, all_callbacks(), strict=True)
        folder = train(model, epochs=3, **GPU)
        rows = [{key: value for key, value in row.items() if key != "time"} for row in results_csv(folder)]
        found.append((rows, random_numbers()))
        assert model.trainer.amp
    plain, with_suite, again = found
    assert with_suite[1] == plain[1] == again[1]
    if plain[0] == again[0]:  # not every kernel gives the same sum twice
        assert with_suite[0] == plain[0]
    for row, other in zip(plain[0], with_suite[0], strict=True):
        assert other == pytest.approx(row, rel=0.02, abs=0.02)


def test_a_suite_holds_no_memory_of_the_device(train):
    def left(suite: bool) -> int:
        model = YOLO(TINY)
        handle = attach(model, all_callbacks()) if suite else None
        train(model, epochs=2, **GPU)
        del model
        gc.collect()
        assert (handle is not None) == suite  # the suite is alive while its memory is read
        return torch.cuda.memory_allocated()

    left(False)
    plain = left(False)
    assert left(True) <= plain


def test_failing_images_are_those_of_a_training_on_the_cpu(train, monkeypatch):
    def make(truth: dict[str, Any]) -> dict[str, Any]:
        count, device = len(truth["cls"]), truth["cls"].device
        shift = 3.0 * torch.arange(count, device=device)[:, None]  # from a perfect box to one beside the object
        classes = torch.where(torch.arange(count, device=device) % 3 == 0, (truth["cls"] + 1) % 3, truth["cls"])
        return {
            "bboxes": truth["bboxes"] + shift,
            "cls": classes,
            "conf": 0.9 - 0.1 * torch.arange(count, device=device),
        }

    predict_from_labels(monkeypatch, make)
    found = []
    for device in ("cpu", 0):
        model = YOLO(TINY)
        attach(model, FailingImages(), SaveBest("mAP50-95/small"), strict=True)
        folder = train(model, epochs=2, **{**GPU, "device": device})
        found.append([json.loads(line) for line in (folder / "failures.jsonl").read_text().splitlines()])
        assert "mAP50-95/small" in (folder / "callbacks.json").read_text()
    on_cpu, on_gpu = found
    assert len(on_gpu) == len(on_cpu) == 3
    for line, other in zip(on_cpu, on_gpu, strict=True):
        assert other["images"] == {name: pytest.approx(counts) for name, counts in line["images"].items()}
        assert [image["image"] for image in other["worst"]] == [image["image"] for image in line["worst"]]
    assert any(counts["fp"] for counts in on_gpu[0]["images"].values())


def test_a_run_resumes_on_the_gpu(train):
    model = YOLO(TINY)
    attach(model, SaveBest("val/loss", skip_untrained=False), EarlyStopping("val/loss", patience=1000), JsonlLogger())
    folder = interrupted(train, model, 2, epochs=4, **GPU)
    resumed = YOLO(folder / "weights" / "last.pt")
    stopping, best = EarlyStopping("val/loss", patience=1000), SaveBest("val/loss", skip_untrained=False)
    attach(resumed, best, stopping, JsonlLogger(), strict=True)
    resumed.train(resume=True)
    assert Path(resumed.trainer.save_dir) == folder
    assert len(results_csv(folder)) == 4
    losses = [sum(row[f"val/{name}_loss"] for name in ("box", "cls", "dfl")) for row in results_csv(folder)]
    assert best.best_score == pytest.approx(min(losses), rel=1e-3)
    assert torch.load(best.best_model_path, map_location="cpu", weights_only=False)


def _refusing(function: Any) -> Any:
    """The function, in which torch raises an error where it waits for the device."""

    def call(*arguments: Any) -> None:
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            function(*arguments)
        finally:
            torch.cuda.set_sync_debug_mode(before)

    return call


def test_the_speed_is_measured_without_waiting_for_the_device(train, monkeypatch):
    for owner, names in (
        (SpeedMonitor, ("on_train_epoch_start", "on_train_epoch_end")),
        (EpochTimer, ("start_batch", "end_batch")),  # all that it does in a batch
    ):
        for name in names:
            monkeypatch.setattr(owner, name, _refusing(getattr(owner, name)))
    model, monitor = YOLO(TINY), SpeedMonitor()
    attach(model, monitor, strict=True)
    train(model, epochs=3, **GPU)
    assert 0 < monitor.speed["data_share"] < 1
    assert monitor.speed["images_per_second"] > 0


def test_how_busy_the_device_is():
    pytest.importorskip("pynvml")
    use = AcceleratorUse(torch.device("cuda", 0), every=0.01)
    matrix = torch.rand(2048, 2048, device=0)
    found = None
    for _ in range(2000):
        matrix = torch.tanh(matrix @ matrix)
        torch.cuda.synchronize()
        found = use.take() or found
        if found:
            break
    use.close()
    assert found is not None
    assert 0 < found <= 1


def test_the_forward_passes_are_measured_on_the_device():
    model = torch.nn.Linear(4096, 4096, device=0)
    measured = ForwardTime(model, torch.device("cuda", 0))
    torch.cuda.set_sync_debug_mode("error")
    try:
        model(torch.ones(8, 4096, device=0))
        measured.take()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    model(torch.ones(8, 4096, device=0))
    torch.cuda.synchronize()
    assert measured.take() > 0
    measured.close()
