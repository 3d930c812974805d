"""Measure how long a training waits for MLflow: a local database, a server that answers, refuses, hangs, or is closed.

python benchmarks/mlflow_waits.py            # the table
python benchmarks/mlflow_waits.py FOLDER     # as a worker
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workload import ROOT, SMALL, TINY, Stopwatch, ask_new, print_cases, scenes, serve

CASES = {
    "local": "a new database on this machine",
    "answers": "a server that answers",
    "drop": "a server that closes each connection",
    "401": "a server that refuses (401)",
    "hang": "a server that never answers",
}
EPOCHS = 12
PAUSE = 1.0  # seconds in each epoch, in which a thread can work: an epoch of a user takes longer


def measure(cases: tuple[str, ...] = tuple(CASES)) -> dict[str, dict[str, float]]:
    """Return for each case the seconds that the training thread spends in `MLflowLogger`.

    They are those before the first batch, in the slowest epoch, and after the last epoch.
    """
    return {case: ask_new("mlflow_waits.py", {"case": case}) for case in cases}


@contextmanager
def store(folder: Path, case: str) -> Iterator[str]:
    """Yield the address of the store of a case."""
    from mlflow_server import Gate, real_server

    if case == "local":
        yield f"sqlite:///{folder}/mlflow.db"
    elif case == "answers":
        with real_server(folder / "server") as url:
            yield url
    else:
        with Gate() as gate:
            gate.fault = case
            yield gate.url


def run(folder: Path, case: str) -> dict[str, float]:
    """Train once with `MLflowLogger`."""
    sys.path.insert(0, str(ROOT / "tests" / "helpers"))
    from ultralytics import YOLO

    from yolo_callbacks import MLflowLogger, attach

    data = scenes(folder / "data", train=16, val=8, classes=3)
    model = YOLO(TINY)
    with store(folder, case) as uri:
        suite = attach(model, MLflowLogger(tracking_uri=uri, images=16, image_period=1))
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
