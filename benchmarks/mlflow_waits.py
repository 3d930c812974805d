"""Measure how long a training waits for MLflow: a local database, a server that answers, refuses, hangs, or is closed.

python benchmarks/mlflow_waits.py            # the table
python benchmarks/mlflow_waits.py FOLDER     # as a worker
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workload import ROOT, SMALL, TINY, Stopwatch, Worker, answer, isolate, scenes

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
    found = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        for case in cases:
            worker = Worker("mlflow_waits.py", f"{temporary}/{case}")
            found[case] = worker.ask({"case": case})
            worker.close()
    return found


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


def main() -> None:
    """Print the table, or answer jobs until the parent closes the pipe."""
    if len(sys.argv) == 1:
        for case, row in measure().items():
            print(f"{CASES[case]:45}" + "".join(f"{name} {value:8.3f}   " for name, value in row.items()))
        return
    folder = Path(sys.argv[1])
    isolate(folder)
    os.chdir(folder)  # MLflow puts the artifacts of a local database into the working directory
    for line in iter(sys.stdin.readline, ""):
        answer(run(folder, **json.loads(line)))


if __name__ == "__main__":
    main()
