"""Measure the time before a training: the import, and the start of an interpreter with the idle plug-in."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from workload import ROOT, spread

IMPORT = """
import time
import torch, ultralytics
from ultralytics import YOLO
started = time.perf_counter()
import yolo_callbacks
imported = time.perf_counter()
from yolo_callbacks import EarlyStopping, MemoryCleanup, ReduceLROnPlateau, SaveBest, WandbLogger, attach
print(imported - started, time.perf_counter() - started)
"""


def measure(*, imports: int, starts: int) -> dict[str, dict[str, float]]:
    """Return the milliseconds of two imports without ultralytics and torch, and those added to the interpreter start.

    The imports are that of the package, which imports each public name where it is used first, and that of the names
    of the README's first example.
    """
    pairs = [_run([sys.executable, "-c", IMPORT]).split() for _ in range(imports + 1)][1:]
    package, names = ([1000 * float(pair[index]) for pair in pairs] for index in (0, 1))
    return {
        "import_ms": {**spread(package), "fastest": min(package)},
        "import_names_ms": {**spread(names), "fastest": min(names)},
        "idle_plugin_ms": spread(_starts(starts)),
    }


def _starts(number: int) -> list[float]:
    """Return the differences of paired starts of two environments, with and without the plug-in's file."""
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        pythons = []
        for name in ("without", "with"):
            folder = Path(temporary) / name
            venv.create(folder, with_pip=False, symlinks=True)
            packages = next(folder.glob("lib/python*/site-packages"))
            if name == "with":
                for shipped in ("yolo_callbacks.pth", "_yolo_callbacks_boot.py"):
                    (packages / shipped).write_text((ROOT / shipped).read_text())
            pythons.append(str(folder / "bin" / "python"))
        pairs = [[_start(python) for python in pythons] for _ in range(number + 5)][5:]
    return [1000 * (later - earlier) for earlier, later in pairs]


def _start(python: str) -> float:
    started = time.perf_counter()
    subprocess.run([python, "-c", "pass"], check=True)
    return time.perf_counter() - started


def _run(command: list[str]) -> str:
    # with bytecode, as in an installation: compiling the modules takes longer than importing them
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return done.stdout.splitlines()[-1]
