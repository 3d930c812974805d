"""Measure what the events of a batch cost with `SpeedMonitor`: its own work, the suite, and Ultralytics' own calls.

`python batch_events.py FOLDER`, run as a worker.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from workload import SMALL, TINY, ask_new, scenes, serve

EVENTS = ("on_train_batch_start", "on_train_batch_end")


def measure() -> dict[str, float]:
    """Return the median microseconds of each event, as it runs between the work of real batches."""
    return ask_new("batch_events.py", {})


def run(folder: Path, batches: int = 100) -> dict[str, float]:
    """Train two epochs of small batches."""
    from ultralytics import YOLO

    from yolo_callbacks import SpeedMonitor, attach

    spent: dict[str, list[float]] = {event: [] for event in EVENTS}

    def measure_events(trainer: Any) -> None:
        """Replace `run_callbacks`, which `SpeedMonitor` has replaced before."""
        call = trainer.run_callbacks

        def timed(event: str) -> None:
            started = time.perf_counter()
            call(event)
            if event in spent:
                spent[event].append(time.perf_counter() - started)

        if trainer.epoch == 0:
            trainer.run_callbacks = timed

    data = scenes(folder / "data", train=2 * batches, val=4, classes=3)
    model = YOLO(TINY)
    attach(model, SpeedMonitor())
    model.add_callback("on_train_epoch_start", measure_events)
    model.train(**{**SMALL, "batch": 2}, data=str(data), epochs=2, project=str(folder), name="run")
    return {f"{event}_us": 1e6 * statistics.median(seconds) for event, seconds in spent.items()}


def lines(found: dict[str, float]) -> list[str]:
    """Return what to print."""
    total = sum(found.values())
    return [f"With `SpeedMonitor` the two events of a batch take {total:.0f} µs, Ultralytics' own part included."]


if __name__ == "__main__":
    serve(run)
