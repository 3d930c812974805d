"""Measure how long the training thread is in `ExportBest`: in the epochs, and at the end, where it waits.

`python export_waits.py FOLDER`, run as a worker.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from workload import SMALL, TINY, ask_new, scenes, serve

EPOCHS = 40
CALLS = ("on_train_start", "on_epoch", "finalize")


def measure() -> dict[str, float]:
    """Return the seconds of each call: of `on_epoch` the median and the slowest, with an export of each new best."""
    return ask_new("export_waits.py", {})


def run(folder: Path) -> dict[str, float]:
    """Train some epochs, each of them better than the one before by its monitor."""
    from contextlib import ExitStack

    from ultralytics import YOLO

    from yolo_callbacks import ExportBest, SaveBest, attach

    spent: dict[str, list[float]] = {name: [] for name in CALLS}

    def timed(name: str) -> Any:
        method = getattr(ExportBest, name)

        def call(self: ExportBest, *arguments: Any) -> None:
            started = time.perf_counter()
            method(self, *arguments)
            spent[name].append(time.perf_counter() - started)

        return patch.object(ExportBest, name, call)

    data = scenes(folder / "data", train=40, val=4, classes=3)
    model, passed = YOLO(TINY), iter(range(1, 10 * EPOCHS))
    with ExitStack() as stack:
        for name in CALLS:
            stack.enter_context(timed(name))
        better = SaveBest(lambda metrics: next(passed), "max", filename="better", skip_untrained=False)
        export = ExportBest("torchscript", when="best", images=4)
        attach(model, better, export)
        model.train(**SMALL, data=str(data), epochs=EPOCHS, project=str(folder), name="run")
    return {
        "start_s": spent["on_train_start"][0],
        "epoch_s": statistics.median(spent["on_epoch"]),
        "slowest_s": max(spent["on_epoch"]),
        "end_s": spent["finalize"][0],
        "verdict": export.verdict == "proven",
    }


def lines(found: dict[str, float]) -> list[str]:
    """Return what to print."""
    ms = {name: 1000 * found[name] for name in ("start_s", "epoch_s", "slowest_s")}
    return [
        "The training thread is in `ExportBest(when='best')`, which exports in another process, "
        f"{ms['start_s']:.1f} ms at the start and {ms['epoch_s']:.2f} ms of an epoch, of the slowest "
        f"{ms['slowest_s']:.1f} ms. At the end it waits {found['end_s']:.1f} s for the export of a tiny model.",
    ]


if __name__ == "__main__":
    serve(run)
