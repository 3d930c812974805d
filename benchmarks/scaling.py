"""Measure how the time of the callbacks in an epoch grows: `python scaling.py FOLDER`, run as a worker."""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

from workload import ROOT, SMALL, TINY, Stopwatch, Worker, answer, isolate, scenes

CASES: dict[str, list[dict[str, Any]]] = {
    "classes": [{"classes": number} for number in (10, 80, 1000)],
    "validation images": [{"val": number, "images": 16, "epochs": 3} for number in (100, 5000)],
    "images compared": [{"val": number, "failing": True, "epochs": 3} for number in (100, 5000)],
    "images logged": [{"images": number} for number in (4, 16, 64)],
    "epochs": [{"epochs": number, "val": 4, "train": 4} for number in (10, 1000)],
    "checkpoint": [
        {"model": f"yolo11{size}.yaml", "top_k": top_k, "val": 4, "train": 4, "epochs": 5}
        for top_k, sizes in ((1, "nmx"), (3, "nx"))
        for size in sizes
    ],
}
QUICK = {"classes": (10, 1000), "images logged": (4, 64), "epochs": (10, 50)}
# The argument of `run` that grows in each case.
KEYS = {"classes": "classes", "validation images": "val", "images logged": "images", "epochs": "epochs"}


def measure(*, quick: bool) -> dict[str, list[dict[str, Any]]]:
    """Return milliseconds per epoch in callbacks for each case; for logged images also the memory they use."""
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        worker = Worker("scaling.py", temporary)
        for name, cases in (_quick() if quick else CASES).items():
            found[name] = [{**case, **worker.ask(case)} for case in cases]
        if "images compared" in found:
            validation_ms = worker.ask({"validation": True})["validation_ms"]
            for row in found["images compared"]:
                row |= {"validation_ms": validation_ms, "share": row["epoch_ms"] / row["val"] / validation_ms}
        worker.close()
    return found


def _quick() -> dict[str, list[dict[str, Any]]]:
    cases = {name: [{**CASES[name][0], KEYS[name]: number} for number in numbers] for name, numbers in QUICK.items()}
    return {**cases, "checkpoint": [case for case in CASES["checkpoint"] if case["model"] == "yolo11n.yaml"]}


def main() -> None:
    """Answer jobs until the parent closes the pipe."""
    folder = Path(sys.argv[1])
    isolate(folder)
    for number, line in enumerate(sys.stdin):
        case = json.loads(line)
        place = folder / f"case{number}"
        answer(validate(place) if case.pop("validation", False) else run(place, **case))


def validate(folder: Path, images: int = 24) -> dict[str, Any]:
    """Validate YOLO11n alone, with images of 640 pixels as users validate; return the milliseconds of an image."""
    from ultralytics import YOLO

    data = scenes(folder / "data", train=1, val=images, classes=10, size=640)
    model, started = YOLO("yolo11n.yaml"), []
    model.add_callback("on_val_batch_start", lambda _: started.append(time.perf_counter()))
    model.val(**{**SMALL, "imgsz": 640, "batch": 4}, data=str(data), project=str(folder), name="val")
    batches = [later - earlier for earlier, later in itertools.pairwise(started)]
    return {"validation_ms": 1000 * statistics.median(batches) / 4}


def run(
    folder: Path,
    *,
    model: str = TINY,
    classes: int = 10,
    train: int = 32,
    val: int = 100,
    images: int = 0,
    failing: bool = False,
    epochs: int = 6,
    top_k: int = 1,
) -> dict[str, Any]:
    """Train with all callbacks, with a new best in every epoch; return the cost of a late epoch.

    `FailingImages` is there with `failing` only. Then 100 predictions of each image are made of its labels.
    """
    from ultralytics import YOLO
    from ultralytics.models.yolo.detect import DetectionValidator

    from yolo_callbacks import (
        EarlyStopping,
        FailingImages,
        JsonlLogger,
        MemoryCleanup,
        MemoryMonitor,
        ReduceLROnPlateau,
        SaveBest,
        WandbLogger,
        attach,
    )
    from yolo_callbacks.trainer.validation_tap import ValidationTap

    data = scenes(folder / "data", train=train, val=val, classes=classes)
    rising = itertools.count()
    best = SaveBest(lambda _: float(next(rising)), "max", top_k=top_k)
    yolo = YOLO(model)
    held = HeldImages()
    if images:
        yolo.add_callback("on_train_epoch_start", held.on_train_epoch_start)
        yolo.add_callback("on_fit_epoch_end", held.on_fit_epoch_end)
    suite = attach(
        yolo,
        best,
        EarlyStopping("min(mAP50-95)", patience=10_000),
        ReduceLROnPlateau(patience=10_000),
        MemoryCleanup(),
        MemoryMonitor(leak_window=100),
        JsonlLogger(),
        *([FailingImages()] if failing else []),
        WandbLogger(images=images, image_period=1, log_model=False),
    )
    outside = [(ValidationTap, "_pass")]  # the functions outside the events
    predicting = patch.object(DetectionValidator, "update_metrics", _predicting(DetectionValidator.update_metrics))
    with Stopwatch(suite, also=outside) as watch, predicting if failing else nullcontext():
        yolo.train(**{**SMALL, "data": str(data), "epochs": epochs, "project": str(folder), "name": "run"})
    # without the first epoch, which includes start-up, and the last one, in which `held` measures memory
    each = watch.by_epoch[1:-1]
    weights = Path(yolo.trainer.save_dir) / "weights"
    return {
        **({"held_kib": held.kib} if images else {}),
        "epoch_ms": 1000 * statistics.median(each[-5:]),
        "first_ms": 1000 * statistics.median(each[:5]),
        "checkpoint_mib": (weights / "last.pt").stat().st_size / 2**20,
        "state_kib": (Path(yolo.trainer.save_dir) / "callbacks.json").stat().st_size / 1024,
    }


def _predicting(update_metrics: Callable[..., None]) -> Callable[..., None]:
    """Return an `update_metrics` that gets 100 predictions of each image, made of its labels."""
    import torch

    def update(self: Any, preds: Any, batch: Any) -> None:
        for index in range(len(preds)):
            truth = self._prepare_batch(index, dict(batch))
            chosen = torch.arange(100) % max(len(truth["cls"]), 1)
            confidence = torch.linspace(0.9, 0.01, 100)
            boxes = truth["bboxes"][chosen] + 4 * torch.rand(100, 4)
            preds[index] = {**preds[index], "bboxes": boxes, "cls": truth["cls"][chosen], "conf": confidence}
        update_metrics(self, preds, batch)

    return update


class HeldImages:
    """The KiB that `WandbLogger` holds for the images of an epoch just before it logs them.

    It measures in the last epoch, whose time is not counted, since `tracemalloc` takes time. Add it before the suite.
    """

    def __init__(self) -> None:
        self.kib = 0.0

    def on_train_epoch_start(self, trainer: Any) -> None:
        """Start to trace allocations in the last epoch."""
        if trainer.epoch + 1 == trainer.epochs:
            tracemalloc.start()

    def on_fit_epoch_end(self, trainer: Any) -> None:
        """Count the memory that is still held; in the final evaluation, tracing is off."""
        if tracemalloc.is_tracing():
            images = [tracemalloc.Filter(True, str(ROOT / "yolo_callbacks" / "trainer" / "validation_images.py"))]
            self.kib = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(images).traces) / 1024
            tracemalloc.stop()


def plot(found: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Draw one panel for each case: milliseconds per epoch over the size."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(KEYS) + 1)
    for axis, (name, key) in zip(axes, KEYS.items(), strict=False):
        rows = found[name]
        if name != "images logged":  # logged images must cost more the more there are, linearly
            axis.set_xscale("log")
        _line(axis, [row[key] for row in rows], [row["epoch_ms"] for row in rows], "#0072b2")
        axis.set_title(name, fontsize=10)
    axis = axes[-1]
    for top_k, colour in ((1, "#0072b2"), (3, "#d55e00")):
        rows = [row for row in found["checkpoint"] if row["top_k"] == top_k]
        _line(
            axis, [row["checkpoint_mib"] for row in rows], [row["epoch_ms"] for row in rows], colour, f"top_k={top_k}"
        )
    axis.set_title("checkpoint, MiB (n, m, x)", fontsize=10)
    axis.legend(frameon=False, fontsize=8)
    axes[0].set_ylabel("ms an epoch, all callbacks")
    figure.savefig(path, dpi=110)


def _line(axis: Any, x: list[float], y: list[float], colour: str, label: str | None = None) -> None:
    axis.plot(x, y, "o-", color=colour, label=label, linewidth=1.5)
    axis.set_ylim(0, max(axis.get_ylim()[1], 1.25 * max(y)))
    axis.set_xticks(x, [f"{value:,.0f}" for value in x], fontsize=8)
    axis.minorticks_off()
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


if __name__ == "__main__":
    main()
