"""Measure the resident memory after each of several trainings in one process, with and without MemoryCleanup.

python benchmarks/memory_series.py --runs 8               # both, each in a process of its own
python benchmarks/memory_series.py --runs 8 --cleanup on  # one, as JSON
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def measure(runs: int, *, cleanup: bool, images: int, size: int) -> list[float]:
    """Return the resident memory of this process in MiB after each training."""
    sys.path[:0] = [str(ROOT / "tests" / "helpers"), str(ROOT / "datasets")]
    from trainings import FAST  # isort: skip (first: it isolates Ultralytics from the user's settings)

    import digits
    import psutil
    from ultralytics import YOLO

    from yolo_callbacks import MemoryCleanup, attach

    found = []
    with tempfile.TemporaryDirectory() as folder:
        data = digits.detection(Path(folder) / "data", train=images, val=8, size=size)
        fixed = {**FAST, "data": str(data), "project": folder, "imgsz": size, "batch": 8, "epochs": 1}
        model = YOLO("yolo11n.yaml")
        if cleanup:
            attach(model, MemoryCleanup())
        for run in range(runs):
            if model.trainer is not None:  # Ultralytics 8.4.51 to 8.4.103 loses it in the first training
                model.overrides.setdefault("model", str(model.trainer.best))
            model.train(**fixed, name=f"run{run}")
            found.append(psutil.Process().memory_info().rss / 2**20)
    return found


def series(on: int, off: int, *, images: int = 16, size: int = 320) -> dict[str, list[float]]:
    """Run `measure` with and without cleanup, for a number of runs each, in two processes at the same time."""
    arguments = ["--images", str(images), "--size", str(size)]
    processes = {
        cleanup: subprocess.Popen(
            [sys.executable, __file__, *arguments, "--runs", str(runs), "--cleanup", cleanup],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for cleanup, runs in (("on", on), ("off", off))
    }
    outputs = {cleanup: process.communicate()[0] for cleanup, process in processes.items()}
    for cleanup, process in processes.items():
        if process.returncode:
            raise RuntimeError(f"cleanup {cleanup}: {outputs[cleanup][-2000:]}")
    return {cleanup: json.loads(output.splitlines()[-1]) for cleanup, output in outputs.items()}


def main() -> None:
    """Print both series, or one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--cleanup", choices=("on", "off"))
    arguments = parser.parse_args()
    if arguments.cleanup:
        found = measure(arguments.runs, cleanup=arguments.cleanup == "on", images=arguments.images, size=arguments.size)
        print(json.dumps(found))
        return
    found_by = series(arguments.runs, arguments.runs, images=arguments.images, size=arguments.size)
    for cleanup, values in found_by.items():
        print(f"cleanup {cleanup:>3}: " + " ".join(f"{value:6.0f}" for value in values) + " MiB")
    on, off = found_by["on"], found_by["off"]
    print(f"last against second: {on[-1] / on[1]:.3f}   against without: {on[-1] / off[-1]:.3f}")


if __name__ == "__main__":
    main()
