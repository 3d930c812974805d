"""Measure how long saving a new best takes: a copy of the existing checkpoint, and serialising it again."""

from __future__ import annotations

import copy
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.linked_copies import LinkedCopies
from yolo_callbacks.utils.background import Background
from yolo_callbacks.utils.files import copy_atomic


def measure(sizes: str = "nmx", *, repeats: int = 7, folder: Path | None = None) -> dict[str, dict[str, float]]:
    """Return milliseconds by model size; the methods are measured in turns.

    Args:
        sizes: The sizes of YOLO11.
        repeats: How often each method is measured, after a warm-up.
        folder: The folder to write to. Defaults to `None`, the working directory.

    Returns:
        For each size: `mib`; `torch_save_ms`; `taken_ms`, how long the training waits for a copy of this package;
        `separated_ms`, how long a thread then takes to make it a file of its own; `copy_ms`, a plain copy;
        `copy_file_range_ms`, a copy by the kernel, which file systems with reflinks do without copying data; `ratio`,
        `taken_ms` divided by `torch_save_ms`.
    """
    import torch

    found = {}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=folder or Path.cwd()) as temporary:
        last, best = Path(temporary) / "last.pt", Path(temporary) / "best.pt"
        for size in sizes:
            copies = LinkedCopies(Background())
            steps: dict[str, Callable[[], object]] = {
                "torch_save_ms": partial(torch.save, _checkpoint(size), last),
                "taken_ms": partial(copies.take, last, best),
                "separated_ms": copies.wait,
                "copy_ms": partial(copy_atomic, last, best),
                "copy_file_range_ms": partial(_copy_file_range, last, best),
            }
            taken: dict[str, list[float]] = {name: [] for name in steps}
            for _ in range(repeats + 1):
                for name, step in steps.items():
                    if name not in ("taken_ms", "separated_ms"):  # these follow at once in a training too
                        os.sync()  # writes of other steps must not be measured
                    taken[name].append(_milliseconds(step))
            medians = {name: statistics.median(values[1:]) for name, values in taken.items()}
            found[size] = {"mib": last.stat().st_size / 2**20, **medians}
            found[size]["ratio"] = medians["taken_ms"] / medians["torch_save_ms"]
    return found


def _copy_file_range(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as write:
        left = source.stat().st_size
        while left:
            left -= os.copy_file_range(read.fileno(), write.fileno(), left)


def _checkpoint(size: str) -> dict[str, Any]:
    """Return the checkpoint that Ultralytics writes in each epoch, for a model trained with SGD."""
    import torch
    from ultralytics import YOLO
    from ultralytics.utils.torch_utils import convert_optimizer_state_dict_to_fp16

    model = YOLO(f"yolo11{size}.yaml").model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    state = convert_optimizer_state_dict_to_fp16(copy.deepcopy(optimizer.state_dict()))
    return {"epoch": 1, "model": None, "ema": copy.deepcopy(model).half(), "optimizer": state, "scaler": {}}


def _milliseconds(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    step()
    return 1000 * (time.perf_counter() - started)
