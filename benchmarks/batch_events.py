"""Measure what a callback with events of its own in each batch costs: `SpeedMonitor`, with the suite around it.

`python batch_events.py FOLDER`, run as a worker.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from workload import SMALL, TINY, Worker, answer, isolate, scenes

EVENTS = ("on_train_batch_start", "on_train_batch_end")


def measure() -> dict[str, float]:
    """Return the median microseconds of each event, as it runs between the work of real batches."""
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        worker = Worker("batch_events.py", temporary)
        found: dict[str, float] = worker.ask({})
        worker.close()
    return found


def main() -> None:
    """Answer jobs until the parent closes the pipe."""
    folder = Path(sys.argv[1])
    isolate(folder)
    for line in sys.stdin:
        if line.strip():
            answer(run(folder))


def run(folder: Path, batches: int = 100) -> dict[str, float]:
    """Train two epochs of small batches."""
    from ultralytics import YOLO

    from yolo_callbacks import SpeedMonitor, attach
    from yolo_callbacks.suite.suite import Suite

    spent: dict[str, list[float]] = {event: [] for event in EVENTS}
    handle = Suite.handle

    def timed(suite: Suite, event: str, source: Any) -> None:
        started = time.perf_counter()
        handle(suite, event, source)
        if event in spent:
            spent[event].append(time.perf_counter() - started)

    data = scenes(folder / "data", train=2 * batches, val=4, classes=3)
    model = YOLO(TINY)
    with patch.object(Suite, "handle", timed):
        attach(model, SpeedMonitor())
        model.train(**{**SMALL, "batch": 2}, data=str(data), epochs=2, project=str(folder), name="run")
    return {f"{event}_us": 1e6 * statistics.median(seconds) for event, seconds in spent.items()}


def lines(found: dict[str, float]) -> list[str]:
    """Return what to print."""
    total = sum(found.values())
    return [f"`SpeedMonitor` takes {total:.0f} µs of a batch, both events and the suite around them included."]


if __name__ == "__main__":
    main()
