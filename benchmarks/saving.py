"""Saving a new best: a copy of the checkpoint that is there, against serialising it again."""

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

from yolo_callbacks.files import copy_atomic


def measure(sizes: str = "nmx", *, repeats: int = 7) -> dict[str, dict[str, float]]:
    """Milliseconds by model size: `torch.save`, our copy, and their ratio, taken in turns."""
    import torch

    found = {}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=Path.cwd()) as temporary:
        last, best = Path(temporary) / "last.pt", Path(temporary) / "best.pt"
        for size in sizes:
            steps: dict[str, Callable[[], object]] = {
                "torch_save_ms": partial(torch.save, _checkpoint(size), last),
                "copy_ms": partial(copy_atomic, last, best),
            }
            taken: dict[str, list[float]] = {name: [] for name in steps}
            for _ in range(repeats + 1):
                for name, step in steps.items():
                    taken[name].append(_milliseconds(step))
            medians = {name: statistics.median(values[1:]) for name, values in taken.items()}  # the first warms up
            found[size] = {"mib": last.stat().st_size / 2**20, **medians}
            found[size]["ratio"] = medians["copy_ms"] / medians["torch_save_ms"]
    return found


def _checkpoint(size: str) -> dict[str, Any]:
    """What Ultralytics writes each epoch, for a model trained with SGD."""
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
    os.sync()  # what others have written is not part of it
    started = time.perf_counter()
    step()
    return 1000 * (time.perf_counter() - started)
