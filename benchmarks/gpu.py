"""Measure on a GPU: time of an epoch, synchronisations, memory, an error that memory ran out, captured images.

python benchmarks/gpu.py --out FOLDER             # on the first GPU, at most 200 s
python benchmarks/gpu.py --out FOLDER --device cpu    # small numbers, to test the script
python benchmarks/gpu.py --out FOLDER --only YOLO11s    # the parts whose name contains this

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
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

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
        rounds: How often each way to train is timed.
    """

    def __init__(self, device: str, folder: Path, seconds: float, rounds: int = 1) -> None:
        self.rounds = rounds
        self.device, self.folder = device, folder
        self.on_gpu = device != "cpu"
        self.ends = time.monotonic() + seconds
        self._runs = 0

    def data(self, images: int) -> Path:
        """Return a data set with the photographs repeated to a number of images for training."""
        folder = self.folder / f"data{images}"
        path = folder / "data.yaml"
        if not path.is_file():
            self._repeat(folder, "train", images)
            self._repeat(folder, "val", max(16, images // 10))
            names = (TREES / "data.yaml").read_text().partition("names:")[2]
            path.write_text(f"path: {folder}\ntrain: images/train\nval: images/val\nnames:{names}")
        return path

    @staticmethod
    def _repeat(folder: Path, split: str, images: int) -> None:
        found = sorted((TREES / "images" / split).glob("*.jpg"))
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for number in range(images):
            image = found[number % len(found)]
            (folder / "images" / split / f"{number:05d}.jpg").symlink_to(image)
            label = TREES / "labels" / split / f"{image.stem}.txt"
            (folder / "labels" / split / f"{number:05d}.txt").symlink_to(label)

    def train(self, model: Any, *, images: int, epochs: int, **arguments: Any) -> Any:
        """Train a model; return its trainer."""
        size = {"imgsz": 640, "batch": 16, "workers": 16} if self.on_gpu else {"imgsz": 64, "batch": 8, "workers": 0}
        self._runs += 1
        given = {**SMALL, **size, "nbs": 64, "device": self.device, "data": str(self.data(images)), "epochs": epochs}
        model.train(**{**given, "project": str(self.folder), "name": f"run{self._runs}", **arguments})
        return model.trainer


def epoch_times(setting: Setting, size: str, images: int) -> dict[str, Any]:
    """Return the seconds of an epoch without callbacks, with the default suite, and with all callbacks.

    In turns, once in each round; the first epoch of each training is not counted.
    """
    from ultralytics import YOLO

    found: dict[str, list[float]] = {"bare": [], "default": [], "all": []}
    own: dict[str, list[float]] = {"default": [], "all": []}
    epochs = 4 if setting.on_gpu else 3
    for _ in range(setting.rounds):
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

    calls = 0

    def watching(handle: Callable[[Any, str, Any], None]) -> Callable[[Any, str, Any], None]:
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

        return watched

    model = YOLO("yolo11n.yaml")
    prepare("all", model)
    with ExitStack() as stack:
        for name in ("handle", "handle_settled"):
            stack.enter_context(patch.object(RunSession, name, watching(getattr(RunSession, name))))
        caught = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        setting.train(model, images=128, epochs=2)
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as control:
        warnings.simplefilter("always")
        torch.ones(1, device="cuda").item()
    torch.cuda.set_sync_debug_mode("default")
    waits = [str(warning.message) for warning in caught if "called a synchronizing" in str(warning.message)]
    seen = sum("called a synchronizing" in str(warning.message) for warning in control)
    return {"batch_events": calls, "synchronisations": len(waits), "first": waits[:3], "one of the control seen": seen}


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
    batches: list[int] = []
    attach(model, MemoryMonitor(), MemoryCleanup())

    def fill(trainer: Any) -> None:
        original = trainer.preprocess_batch

        def filled(batch: Any) -> Any:
            batches.append(trainer.batch_size)
            if trainer.epoch + 1 == epoch and len(set(batches)) == 1:  # Ultralytics tries again with half the batch
                torch.empty(2**50, dtype=torch.uint8, device=trainer.device)
            return original(batch)

        trainer.preprocess_batch = filled  # where Ultralytics catches the error

    model.add_callback("on_train_start", fill)
    try:
        setting.train(model, images=64, epochs=3)
        ended = "finished"
    except Exception as error:  # torch.OutOfMemoryError, under a name that depends on the version
        ended = f"{type(error).__name__}: {str(error)[:200]}"
    folder = Path(model.trainer.save_dir)
    files = sorted(path.name for path in folder.iterdir())
    allocated = torch.cuda.memory_allocated() / MIB
    return {"ended": ended, "batch sizes": sorted(set(batches)), "files": files, "allocated_mib": allocated}


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
    from yolo_callbacks.trainer.validation_tap import ValidationTap

    found = {}
    for images in (0, 16):
        model = YOLO("yolo11n.yaml")
        suite = attach(model, WandbLogger(images=images, image_period=1, log_model=False))
        with Stopwatch(suite, also=[(ValidationTap, "_pass")]) as watch:
            setting.train(model, images=64, epochs=4)
        found[f"{images} images"] = {"in_callbacks_ms": 1000 * statistics.median(watch.by_epoch[1:])}
    return found


def compared_images(setting: Setting) -> dict[str, Any]:
    """Return the milliseconds of the training thread for `FailingImages`, which reads each validation image."""
    from ultralytics import YOLO

    from yolo_callbacks import FailingImages, attach
    from yolo_callbacks.trainer.validation_tap import ValidationTap

    images = 2000 if setting.on_gpu else 160
    model = YOLO("yolo11n.yaml")
    suite = attach(model, FailingImages())
    ends = epoch_ends(model)
    with Stopwatch(suite, also=[(ValidationTap, "_pass")]) as watch:
        setting.train(model, images=images, epochs=3)
    found = {"in_callbacks_ms": 1000 * statistics.median(watch.by_epoch[1:]), "epoch_s": durations(ends, 3)}
    return {f"{len(list((setting.data(images).parent / 'images' / 'val').iterdir()))} images": found}


def parts(setting: Setting) -> dict[str, tuple[float, Callable[[], Any]]]:
    """Return what measures by name: the seconds that it may take on a GPU, and the function."""
    gpu = setting.on_gpu
    images = {"16 captured images": (20.0, lambda: captured_images(setting))}
    compared = {"the images that FailingImages compares": (35.0, lambda: compared_images(setting))}
    epoch = {"an epoch of YOLO11n": (120.0, lambda: epoch_times(setting, "n", 2000 if gpu else 32))}
    if not gpu:
        return {**images, **compared, **epoch}
    return {
        "synchronisations on the batch path": (15.0, lambda: synchronisations(setting)),
        "out of memory in the first epoch": (15.0, lambda: out_of_memory(setting, epoch=1)),
        "out of memory in the second epoch": (15.0, lambda: out_of_memory(setting, epoch=2)),
        **epoch,
        **images,
        **compared,
        "clearing the cache": (25.0, lambda: cache_clearing(setting)),
        "eight trainings with MemoryCleanup": (30.0, lambda: memory_of_trainings(setting, cleanup=True)),
        "eight trainings without": (30.0, lambda: memory_of_trainings(setting, cleanup=False)),
        "an epoch of YOLO11s": (40.0, lambda: epoch_times(setting, "s", 500)),
        "an epoch of YOLO11m": (50.0, lambda: epoch_times(setting, "m", 500)),
    }


def main() -> int:
    """Measure what fits into the time, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu-out"))
    parser.add_argument("--device", default="0")
    parser.add_argument("--seconds", type=float, default=200.0)
    parser.add_argument("--rounds", type=int, default=1, help="how often each way to train is timed")
    parser.add_argument("--only", action="append", default=[], help="a part of a name; can be repeated")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gpu-") as temporary:
        isolate(Path(temporary))
        os.environ["WANDB_DIR"] = os.environ["WANDB_DATA_DIR"] = temporary
        setting = Setting(arguments.device, Path(temporary), arguments.seconds, arguments.rounds)
        results: dict[str, Any] = {"device": device_name(setting)}
        add_amp_weights(Path(temporary))
        for name, (expected, measure) in parts(setting).items():
            started = time.monotonic()
            if arguments.only and not any(part in name for part in arguments.only):
                continue
            if started + expected > setting.ends:
                results[name] = "left out: no time"
                continue
            try:
                results[name] = measure()
            except Exception as error:  # a part that fails must not cost the others
                results[name] = f"failed: {type(error).__name__}: {error}"
            print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
            write(results, arguments.out)
        write(results, arguments.out)
    print("\n" + "\n".join(table(results)))
    return int(any(isinstance(found, str) and found.startswith("failed") for found in results.values()))


def add_amp_weights(folder: Path) -> None:
    """Replace the weights with which Ultralytics checks AMP, and which it would download, by untrained ones."""
    from ultralytics import YOLO, utils

    YOLO("yolo26n.yaml").save(folder / "yolo26n.pt")
    utils.WEIGHTS_DIR = folder


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
