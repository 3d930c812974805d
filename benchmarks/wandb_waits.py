"""Measure how long a training waits for W&B: no server, one that answers, refuses, hangs or is slow.

python benchmarks/wandb_waits.py            # the table
python benchmarks/wandb_waits.py FOLDER     # as a worker
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from workload import ROOT, SMALL, TINY, Stopwatch, ask_new, print_cases, scenes, serve

CASES = {
    "offline": "offline",
    "answers": "a server that answers",
    "refuse": "a server that refuses connections",
    "hang": "a server that never answers",
    "slow": "a server that answers each request after 2 s",
}
EPOCHS = 12
PAUSE = 0.5  # seconds in each epoch, in which a thread can work: an epoch of a user takes longer


def measure(cases: tuple[str, ...] = tuple(CASES)) -> dict[str, dict[str, float]]:
    """Return for each case the seconds that the training thread spends in `WandbLogger`.

    They are those before the first batch, in the slowest epoch, and after the last epoch.
    """
    return {case: ask_new("wandb_waits.py", {"case": case}) for case in cases}


def run(folder: Path, case: str) -> dict[str, float]:
    """Train once with `WandbLogger` against a server."""
    sys.path.insert(0, str(ROOT / "tests" / "helpers"))
    from ultralytics import YOLO
    from wandb_server import WandbServer

    from yolo_callbacks import WandbLogger, attach

    data = scenes(folder / "data", train=16, val=8, classes=3)
    model = YOLO(TINY)
    with WandbServer() as server:
        if case != "offline":
            os.environ.update(server.environment)
            os.environ["WANDB_MODE"] = "online"
        server.delay = 2.0 if case == "slow" else 0.0
        if case == "refuse":
            server.fault = "refuse"
        elif case == "hang":
            server.fault = "hang"
        suite = attach(model, WandbLogger(images=0, log_model=False))
        model.add_callback("on_train_batch_end", lambda _: time.sleep(PAUSE))
        with Stopwatch(suite) as watch:
            arguments = {**SMALL, "data": str(data), "epochs": EPOCHS, "project": str(folder), "name": "run"}
            model.train(**arguments)
    return {"start_s": watch.before, "epoch_s": max(watch.by_epoch[1:]), "end_s": watch.after}


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print_cases(measure(), CASES)
    else:
        serve(run)
