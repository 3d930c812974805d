"""Measure how long a training waits for `Mirror`: a folder, and stores that are slow, away or never answer.

python benchmarks/mirror_waits.py            # the table
python benchmarks/mirror_waits.py FOLDER     # as a worker
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from time_added import JOB
from workload import ROOT, Stopwatch, ask_new, print_cases, serve

CASES = {
    "none": "no `Mirror`",
    "folder": "a folder, `file://`",
    "slow": "a store in which each step takes 0.2 s",
    "away": "a store that refuses each step",
    "hang": "a store that never answers",
}
EPOCHS = 12
FINISH_TIMEOUT = 5.0


def measure(cases: tuple[str, ...] = tuple(CASES)) -> dict[str, dict[str, float]]:
    """Return for each case the seconds that the training thread spends in the suite, and in waiting for its threads.

    They are the median of the epochs and the seconds after the last epoch; `cpu_s` is the median of the CPU time, which
    a busy machine does not change. `copied` is the number of epochs that arrived in the store.
    """
    jobs = {case: [{"case": case, "epochs": epochs} for epochs in (2, EPOCHS)] for case in cases}  # the first warms up
    return {case: ask_new("mirror_waits.py", *jobs[case]) for case in cases}


def run(folder: Path, case: str, epochs: int) -> dict[str, float]:
    """Train YOLO11n once with `Mirror` and a store."""
    sys.path.insert(0, str(ROOT / "tests" / "helpers"))
    from faulty_store import FaultyFileSystem
    from ultralytics import YOLO

    from yolo_callbacks import Callback, Mirror, attach
    from yolo_callbacks.trainer.linked_copies import LinkedCopies

    released = threading.Event()
    FaultyFileSystem.at_step = staticmethod(_step(case, released))
    name = f"{case}-{epochs}"
    scheme = "file" if case == "folder" else "faulty"
    mirror = Mirror(f"{scheme}://{folder}/store-{name}", finish_timeout=FINISH_TIMEOUT)
    model = YOLO("yolo11n.yaml")
    suite = attach(model, Callback() if case == "none" else mirror)
    # `wait`: before it writes a checkpoint, the training thread waits for what the thread of the suite has to do.
    waits = [(LinkedCopies, "wait")]
    with Stopwatch(suite, also=waits) as watch, Stopwatch(suite, also=waits, clock=time.thread_time) as cpu:
        model.train(**{**JOB, "epochs": epochs, "project": str(folder), "name": name})
    released.set()
    return {
        "cpu_s": statistics.median(cpu.by_epoch[1:]),
        "epoch_s": statistics.median(watch.by_epoch[1:]),
        "end_s": watch.after,
        "copied": len(set(mirror.copied_epochs)),
    }


def _step(case: str, released: threading.Event) -> Callable[[str], None]:
    """Return what a store does at each step."""

    def step(_: str) -> None:
        if case == "slow":
            time.sleep(0.2)
        elif case == "away":
            raise ConnectionError("the store is away")
        elif case == "hang":
            released.wait()

    return step


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print_cases(measure(), CASES)
    else:
        serve(run)
