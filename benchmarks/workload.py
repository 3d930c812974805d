"""Provide what all measurements share: data, quiet trainings, and warm worker processes."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np

ROOT = Path(__file__).parent.parent
# A detection model of some thousand weights, for costs that do not depend on the model.
TINY = str(ROOT / "tests" / "helpers" / "tiny.yaml")
SMALL: dict[str, Any] = {
    "imgsz": 32,
    "batch": 16,
    "nbs": 16,
    "workers": 0,
    "device": "cpu",
    "plots": False,
    "verbose": False,
    "seed": 0,
    "patience": 0,
}


def isolate(folder: Path, *, wandb: bool = False) -> None:
    """Ignore the user's settings and integrations, and set W&B offline. Call it before ultralytics is imported."""
    os.environ["YOLO_CONFIG_DIR"] = str(folder / "settings")
    os.environ["YOLO_OFFLINE"] = "True"
    os.environ["WANDB_MODE"] = "offline"
    os.environ["WANDB_SILENT"] = "true"
    (folder / "settings").mkdir(parents=True, exist_ok=True)
    from ultralytics.utils import SETTINGS

    integrations = ("wandb", "tensorboard", "mlflow", "comet", "clearml", "dvc", "hub", "raytune")
    SETTINGS.update({name: wandb and name == "wandb" for name in integrations if name in SETTINGS})


def scenes(folder: Path, *, train: int, val: int, classes: int, boxes: int = 12, size: int = 32) -> Path:
    """Write a data set of noise with boxes of random classes: nothing to learn, but everything to count."""
    rng = np.random.default_rng(0)
    for split, number in (("train", train), ("val", val)):
        images, labels = folder / "images" / split, folder / "labels" / split
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for index in range(number):
            cv2.imwrite(str(images / f"{index:05d}.png"), rng.integers(0, 255, (size, size, 3), dtype=np.uint8))
            found = rng.integers(0, classes, boxes)
            places = rng.uniform(0.3, 0.7, (boxes, 4))
            lines = [f"{kind} {' '.join(f'{x:.4f}' for x in place)}" for kind, place in zip(found, places, strict=True)]
            (labels / f"{index:05d}.txt").write_text("\n".join(lines))
    names = "".join(f"  {index}: class{index}\n" for index in range(classes))
    (folder / "data.yaml").write_text(f"path: {folder}\ntrain: images/train\nval: images/val\nnames:\n{names}")
    return folder / "data.yaml"


class Stopwatch:
    """A context manager that measures the seconds that a suite takes.

    Args:
        suite: The suite that `attach` returned, or None.
        also: Methods, as class and name, that run outside the events and are measured too.
        clock: Returns the time. Defaults to `time.perf_counter`; `time.thread_time` measures the CPU, so that what else
            runs on the machine does not count, and waiting does not either.

    Attributes:
        by_epoch: The seconds of each epoch, from its first event to `on_fit_epoch_end`, which is the last one from
            Ultralytics 8.3.0 on.
        before: The seconds before the first epoch.
        after: The seconds after an epoch, in the end those after the last one.
    """

    def __init__(
        self, suite: Any, *, also: Sequence[tuple[type, str]] = (), clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._clock = clock
        self.by_epoch: list[float] = []
        self.before = self.after = 0.0
        self._within = False
        self._patches = [patch.object(owner, name, self._timed(getattr(owner, name))) for owner, name in also]
        if suite is not None:
            from yolo_callbacks.suite.run_session import RunSession

            # Not `Suite.handle`: the functions that Ultralytics calls hold it from `attach` on.
            for name in ("handle", "handle_settled"):
                self._patches.append(patch.object(RunSession, name, self._by_epoch(getattr(RunSession, name))))

    def __enter__(self) -> Stopwatch:
        for each in self._patches:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._patches:
            each.stop()

    def _by_epoch(self, handle: Callable[[Any, str, Any], None]) -> Callable[[Any, str, Any], None]:
        timed = self._timed(handle)

        def followed(session: Any, event: str, source: Any) -> None:
            if event == "on_train_epoch_start":
                self.by_epoch.append(0.0)
                self.after = 0.0
                self._within = True
            timed(session, event, source)
            self._within &= event != "on_fit_epoch_end"

        return followed

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            started = self._clock()
            try:
                return function(*arguments)
            finally:
                taken = self._clock() - started
                if self._within:
                    self.by_epoch[-1] += taken
                elif self.by_epoch:
                    self.after += taken
                else:
                    self.before += taken

        return timed


class Turns:
    """Wait where another process is to have its turn, and measure what runs between two of these places.

    Attributes:
        parts: For each part of the job the seconds: elapsed, of the CPU in this thread, of the CPU in this process, of
            the CPU in its child processes.
    """

    def __init__(self) -> None:
        self.parts: list[tuple[float, ...]] = []
        self._started = self._now()

    def end_part(self, *, wait: bool = True) -> None:
        """Note the part that ends here, and wait for the next turn."""
        ended = self._now()
        self.parts.append(tuple(later - earlier for earlier, later in zip(self._started, ended, strict=True)))
        if wait:
            print(WAITING, end="", flush=True)
            sys.stdin.readline()
        self._started = self._now()

    @staticmethod
    def _now() -> tuple[float, ...]:
        return time.perf_counter(), time.thread_time(), time.process_time(), _cpu_of_children()


def _cpu_of_children() -> float:
    """Return the CPU seconds of the child processes so far, of those that have ended too."""
    import psutil

    ended = os.times()
    seconds = ended.children_user + ended.children_system
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended in this moment
            seconds += sum(child.cpu_times()[:2])
    return seconds


WAITING = "WAITING\n"


class Worker:
    """A process that runs one job after the other, so that its imports and start-up are not measured.

    Args:
        script: The script to run. It reads one line of JSON for each job and answers with a line `RESULT <JSON>`.
        arguments: The arguments of the script.
    """

    def __init__(self, script: str, *arguments: str) -> None:
        command = [sys.executable, str(Path(__file__).parent / script), *arguments]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # threads of torch wait for each other by spinning: their CPU time would hide that of the callbacks' threads
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        """Run a job and return its result."""
        self.start(job)
        result = self.turn(first=True)
        while result is None:
            result = self.turn()
        return result

    def start(self, job: dict[str, Any]) -> None:
        """Send a job, which begins with the first `turn`."""
        self._job = job

    def turn(self, *, first: bool = False) -> dict[str, Any] | None:
        """Continue the job until it waits again or ends.

        Args:
            first: Whether the job has not begun.

        Returns:
            The result of a job that has ended, None of one that waits.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the worker has no pipes")
        stdin.write(json.dumps(self._job if first else None) + "\n")
        stdin.flush()
        output: list[str] = []
        for line in stdout:
            if line.startswith("RESULT "):
                result: dict[str, Any] = json.loads(line[7:])
                return result
            if line == WAITING:
                return None
            output.append(line)
        raise RuntimeError(f"the worker ended: {''.join(output[-30:])}")

    def close(self) -> None:
        """End the process."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(timeout=60)


def answer(result: dict[str, Any]) -> None:
    """Send the result of a job to the parent process."""
    print("RESULT " + json.dumps(result), flush=True)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median and the quartiles."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
    return {"median": middle, "low": low, "high": high}


def median_and_bounds(values: Sequence[float]) -> dict[str, float]:
    """Return the median, and the bounds between which the true one lies with a probability of 95 %.

    The bounds are order statistics, which need no assumption about the distribution; with fewer than six values they
    are the extremes.
    """
    ordered = sorted(values)
    number = len(ordered)
    below, probability = 0, 0.5**number
    while below < (number - 1) // 2 and probability + math.comb(number, below + 1) * 0.5**number <= 0.025:
        below += 1
        probability += math.comb(number, below) * 0.5**number
    return {"median": statistics.median(ordered), "low": ordered[below], "high": ordered[number - 1 - below]}


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def serve(run: Callable[..., dict[str, Any]]) -> None:
    """Answer jobs until the parent closes the pipe.

    Args:
        run: Runs a job. It gets the folder that the command names, and the job as arguments.
    """
    folder = Path(sys.argv[1])
    isolate(folder)
    os.chdir(folder)  # MLflow puts the artifacts of a local database into the working directory
    for line in iter(sys.stdin.readline, ""):
        answer(run(folder, **json.loads(line)))


def ask_new(script: str, *jobs: dict[str, Any]) -> dict[str, Any]:
    """Run jobs in a new worker, in a folder that is removed then, and return the result of the last one."""
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        worker = Worker(script, temporary)
        for job in jobs:
            result = worker.ask(job)
        worker.close()
    return result


def print_cases(found: Mapping[str, Mapping[str, float]], cases: Mapping[str, str]) -> None:
    """Print a row for each case."""
    for case, row in found.items():
        print(f"{cases[case]:45}" + "".join(f"{name} {value:8.4f}   " for name, value in row.items()))
