"""Measure on a GPU: time of an epoch, synchronisations, memory, an error that memory ran out, captured images.

python benchmarks/gpu.py --out FOLDER             # on the first GPU, at most 200 s
python benchmarks/gpu.py --out FOLDER --device cpu    # small numbers, to test the script

It writes FOLDER/gpu.md and FOLDER/gpu.json. A part that does not fit into the time is named.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from one_training import prepare
from workload import ROOT, SMALL, Stopwatch, isolate

TREES = ROOT / "datasets" / "trees"
BATCH_EVENTS = ("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad", "optimizer_step")
MIB = 2**20


class Setting:
    """The device, the data sets and the time limit of all parts.

    Args:
        device: `"0"` for the first GPU, or `"cpu"`.
        folder: A folder for data and runs.
        seconds: The time for all parts.
    """

    def __init__(self, device: str, folder: Path, seconds: float) -> None:
        self.device, self.folder = device, folder
        self.on_gpu = device != "cpu"
        self.ends = time.monotonic() + seconds
        self._runs = 0

    def data(self, images: int) -> Path:
        """Return a data set with the photographs repeated to a number of images for training."""
        path = self.folder / f"data{images}.yaml"
        if not path.is_file():
            found = sorted((TREES / "images" / "train").glob("*.jpg"))
            listed = [str(found[number % len(found)]) for number in range(images)]
            (self.folder / f"train{images}.txt").write_text("\n".join(listed))
            names = (TREES / "data.yaml").read_text().partition("names:")[2]
            val = TREES / "images" / "val"
            path.write_text(f"path: {self.folder}\ntrain: train{images}.txt\nval: {val}\nnames:{names}")
        return path

    def train(self, model: Any, *, images: int, epochs: int, **arguments: Any) -> Any:
        """Train a model; return its trainer."""
        size = {"imgsz": 640, "batch": 16, "workers": 8} if self.on_gpu else {"imgsz": 64, "batch": 8, "workers": 0}
        self._runs += 1
        given = {**SMALL, **size, "nbs": 64, "device": self.device, "data": str(self.data(images)), "epochs": epochs}
        model.train(**{**given, "project": str(self.folder), "name": f"run{self._runs}", **arguments})
        return model.trainer


def epoch_times(setting: Setting, size: str, images: int, epochs: int) -> dict[str, Any]:
    """Return the seconds of an epoch without callbacks, with the default suite, and with all callbacks.

    Two rounds of each, in turns; the first epoch of each run is not counted.
    """
    from ultralytics import YOLO

    found: dict[str, list[float]] = {"bare": [], "default": [], "all": []}
    own: dict[str, list[float]] = {"default": [], "all": []}
    for _ in range(2):
        for name, seconds in found.items():
            model = YOLO(f"yolo11{size}.yaml")
            suite = prepare(name, model)
            ends = epoch_ends(model)
            with Stopwatch(suite) as watch:
                setting.train(model, images=images, epochs=epochs)
            seconds += durations(ends, epochs)
            if suite is not None:
                own[name] += watch.by_epoch[1:]
    rows = {name: {"epoch_s": statistics.median(seconds), "all_s": seconds} for name, seconds in found.items()}
    for name, seconds in own.items():
        rows[name]["in_callbacks_ms"] = 1000 * statistics.median(seconds)
    return {"images": images, **rows}


def epoch_ends(model: Any) -> list[float]:
    """Return a list that gets the time at the end of each epoch, and of the final evaluation."""
    ends: list[float] = []
    model.add_callback("on_fit_epoch_end", lambda _: ends.append(time.perf_counter()))
    return ends


def durations(ends: list[float], epochs: int) -> list[float]:
    """Return the seconds of the epochs after the first one."""
    return [later - earlier for earlier, later in pairwise(ends[:epochs])]


def synchronisations(setting: Setting) -> dict[str, Any]:
    """Return how often the callbacks wait for the device in the events of a batch."""
    import torch
    from ultralytics import YOLO

    from yolo_callbacks.suite.run_session import RunSession

    handle, calls = RunSession.handle, 0

    def watched(session: Any, event: str, source: Any) -> None:
        nonlocal calls
        if event not in BATCH_EVENTS:
            handle(session, event, source)
            return
        calls += 1
        torch.cuda.set_sync_debug_mode("warn")
        try:
            handle(session, event, source)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    model = YOLO("yolo11n.yaml")
    prepare("all", model)
    RunSession.handle = watched  # type: ignore[method-assign,assignment]
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            setting.train(model, images=128, epochs=2)
    finally:
        RunSession.handle = handle  # type: ignore[method-assign]
    waits = [str(warning.message) for warning in caught if "synchronizing" in str(warning.message)]
    return {"batch_events": calls, "synchronisations": len(waits), "first": waits[:3]}


def memory_of_trainings(setting: Setting, *, cleanup: bool, runs: int = 8) -> dict[str, Any]:
    """Return the MiB that are allocated and reserved on the device after each of several trainings."""
    import torch
    from ultralytics import YOLO

    from yolo_callbacks import MemoryCleanup, MemoryMonitor, attach

    model, monitor = YOLO("yolo11n.yaml"), MemoryMonitor()
    attach(model, [monitor, *([MemoryCleanup()] if cleanup else [])])
    rows = []
    for _ in range(runs):
        trainer = setting.train(model, images=64, epochs=2)
        used = {"allocated": torch.cuda.memory_allocated(), "reserved": torch.cuda.memory_reserved()}
        used["peak"] = torch.cuda.max_memory_allocated()
        rows.append({f"{name}_mib": size / MIB for name, size in used.items()})
        model.overrides.setdefault("model", str(trainer.best))
    return {"after": rows, "phases": monitor.outcome()}


def out_of_memory(setting: Setting, *, epoch: int) -> dict[str, Any]:
    """Return what a training reports when memory runs out in an epoch."""
    import torch
    from ultralytics import YOLO

    from yolo_callbacks import MemoryCleanup, MemoryMonitor, attach

    model = YOLO("yolo11n.yaml")
    held: list[Any] = []
    attach(model, MemoryMonitor(), MemoryCleanup())

    def fill(trainer: Any) -> None:
        if trainer.epoch + 1 == epoch and not held:
            held.append(torch.empty(2**50, dtype=torch.uint8, device=trainer.device))

    model.add_callback("on_train_batch_start", fill)
    try:
        setting.train(model, images=64, epochs=3)
        ended = "finished"
    except Exception as error:  # torch.OutOfMemoryError, under a name that depends on the version
        ended = f"{type(error).__name__}: {str(error)[:200]}"
    folder = Path(model.trainer.save_dir)
    files = sorted(path.name for path in folder.iterdir())
    return {"ended": ended, "files": files, "allocated_mib": torch.cuda.memory_allocated() / MIB}


def cache_clearing(setting: Setting) -> dict[str, Any]:
    """Return the seconds of an epoch, with the cache cleared at a threshold and after each epoch."""
    from ultralytics import YOLO

    from yolo_callbacks import MemoryCleanup, attach

    found = {}
    for name, threshold in (("threshold of one half", 0.5), ("after each epoch", 0.0)):
        model, cleanup = YOLO("yolo11n.yaml"), MemoryCleanup(gpu_threshold=threshold)
        attach(model, cleanup)
        ends = epoch_ends(model)
        setting.train(model, images=256, epochs=4)
        found[name] = {"epoch_s": statistics.median(durations(ends, 4)), "freed": cleanup.outcome()}
    return found


def captured_images(setting: Setting) -> dict[str, Any]:
    """Return the milliseconds of the training thread for 16 validation images."""
    from ultralytics import YOLO

    from yolo_callbacks import WandbLogger, attach
    from yolo_callbacks.trainer.validation_images import ImageCapture

    found = {}
    for images in (0, 16):
        model = YOLO("yolo11n.yaml")
        suite = attach(model, WandbLogger(images=images, image_period=1, log_model=False))
        with Stopwatch(suite, also=[(ImageCapture, "_look")]) as watch:
            setting.train(model, images=64, epochs=4)
        found[f"{images} images"] = {"in_callbacks_ms": 1000 * statistics.median(watch.by_epoch[1:])}
    return found


def parts(setting: Setting) -> dict[str, Callable[[], Any]]:
    """Return the functions that measure, by name, the most important ones first."""
    gpu = setting.on_gpu
    found: dict[str, Callable[[], Any]] = {
        "an epoch of YOLO11n": lambda: epoch_times(setting, "n", 2000 if gpu else 32, 3),
        "16 captured images": lambda: captured_images(setting),
    }
    if gpu:
        found |= {
            "synchronisations on the batch path": lambda: synchronisations(setting),
            "eight trainings with MemoryCleanup": lambda: memory_of_trainings(setting, cleanup=True),
            "eight trainings without": lambda: memory_of_trainings(setting, cleanup=False),
            "out of memory in the first epoch": lambda: out_of_memory(setting, epoch=1),
            "out of memory in the second epoch": lambda: out_of_memory(setting, epoch=2),
            "clearing the cache": lambda: cache_clearing(setting),
            "an epoch of YOLO11s": lambda: epoch_times(setting, "s", 500, 3),
            "an epoch of YOLO11m": lambda: epoch_times(setting, "m", 500, 3),
        }
    return found


def main() -> int:
    """Measure what fits into the time, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu-out"))
    parser.add_argument("--device", default="0")
    parser.add_argument("--seconds", type=float, default=200.0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gpu-") as temporary:
        isolate(Path(temporary))
        os.environ["WANDB_DIR"] = os.environ["WANDB_DATA_DIR"] = temporary
        setting = Setting(arguments.device, Path(temporary), arguments.seconds)
        results: dict[str, Any] = {"device": device_name(setting)}
        longest = 0.0
        for name, measure in parts(setting).items():
            started = time.monotonic()
            if started + longest > setting.ends:
                results[name] = "left out: no time"
                continue
            try:
                results[name] = measure()
            except Exception as error:  # a part that fails must not cost the others
                results[name] = f"failed: {type(error).__name__}: {error}"
            longest = max(longest, time.monotonic() - started)
            print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
            write(results, arguments.out)
        write(results, arguments.out)
    print("\n" + "\n".join(table(results)))
    return int(any(isinstance(found, str) and found.startswith("failed") for found in results.values()))


def device_name(setting: Setting) -> str:
    """Return the name of the device."""
    import torch

    return str(torch.cuda.get_device_name(0)) if setting.on_gpu else "CPU"


def write(results: dict[str, Any], folder: Path) -> None:
    """Write the results so far: the script may be ended from outside."""
    (folder / "gpu.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "gpu.md").write_text("\n".join(table(results)) + "\n")


def table(results: dict[str, Any]) -> list[str]:
    """Return the results as Markdown."""
    lines = [f"Measured on {results['device']}, {time.strftime('%Y-%m-%d')}, by `python benchmarks/gpu.py`.", ""]
    lines += ["| what | case | result |", "| --- | --- | --- |"]
    for name, found in results.items():
        if name == "device":
            continue
        cases = found.items() if isinstance(found, dict) else [("", found)]
        lines += [f"| {name} | {case} | {_shown(value)} |" for case, value in cases]
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items() if name != "all_s")
    if isinstance(value, list):
        return "; ".join(map(_shown, value)) or "none"
    if isinstance(value, float):
        return f"{value:.3g}" if math.isfinite(value) else "-"
    return str(value).replace("|", "/").replace("\n", " ")


if __name__ == "__main__":
    sys.exit(main())
