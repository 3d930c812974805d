"""Measure the time that callbacks add to a training: paired runs, one process for each variant, in changing order."""

from __future__ import annotations

import os
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from one_training import VARIANTS
from workload import ROOT, SMALL, Worker, scenes, spread

TREES = str(ROOT / "datasets" / "trees" / "data.yaml")
# The added time does not depend on the length of an epoch, but is measured best in short ones. The batch size is 8,
# since the peer logs a batch of validation, which is twice as large.
JOB: dict[str, Any] = {**SMALL, "data": TREES, "batch": 8, "nbs": 8, "fraction": 0.3, "cache": "ram"}
# The training whose time it is compared with: the one of `make demo`.
REFERENCE: dict[str, Any] = {**SMALL, "data": TREES, "imgsz": 256, "batch": 8, "nbs": 8}
LONG_RUN = 100  # epochs, Ultralytics' default
FEWER = {"peer": 2}  # fewer epochs for a variant that needs seconds in each


def measure(*, rounds: int, epochs: int, variants: list[str], reference_epochs: int) -> dict[str, Any]:
    """Return the time that each variant adds to the bare training: per epoch, once a run, and as a share of 100 epochs.

    Args:
        rounds: How often each variant is run. A first round warms up and is not counted.
        epochs: The epochs of each run, at least two. The first is not counted where epochs are compared.
        variants: Names from `VARIANTS`; `"bare"` must be one of them.
        reference_epochs: The epochs of the reference run, at least two. The first is not counted there either.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        workers = {name: Worker("one_training.py", name, f"{temporary}/{name}") for name in variants}
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in variants}
        for number in range(rounds + 1):
            order = variants[number % len(variants) :] + variants[: number % len(variants)]
            for name in order:
                result = workers[name].ask({**JOB, "epochs": FEWER.get(name, epochs) if number else 1})
                if number:
                    found[name].append(result)
        long_run = workers["bare"].ask({**REFERENCE, "epochs": reference_epochs})
        for worker in workers.values():
            worker.close()
    reference = {"epoch_s": _epoch(long_run), "once_s": _once(long_run)}
    long = LONG_RUN * reference["epoch_s"] + reference["once_s"]
    compared = {name: _compared(name, found, long) for name in variants}
    return {"rounds": rounds, "epochs": epochs, "reference": reference, "variants": compared}


def _compared(name: str, found: dict[str, list[dict[str, Any]]], long: float) -> dict[str, Any]:
    pairs = list(zip(found["bare"], found[name], strict=True))
    once = spread([_once(mine) - _once(bare) for bare, mine in pairs])
    per_epoch = spread([1000 * (_epoch(mine) - _epoch(bare)) for bare, mine in pairs])
    per_epoch["fastest"] = 1000 * (min(map(_epoch, found[name])) - min(map(_epoch, found["bare"])))
    share, low = ((LONG_RUN * per_epoch[key] / 1000 + once["median"]) / long for key in ("fastest", "low"))
    clock = [_clock(mine) for _, mine in pairs if mine["clock_by_epoch"]]
    own: dict[str, Any] = {}
    if clock:
        own = {
            "clock_per_epoch_ms": 1000 * statistics.median(each for each, _ in clock),
            "clock_once_s": statistics.median(start for _, start in clock),
            "by_callback": _by_callback([mine["callbacks"] for _, mine in pairs]),
        }
    return {
        "what": VARIANTS[name],
        "epochs_s": [[round(seconds, 4) for seconds in mine["epochs"]] for _, mine in pairs],
        "epoch_s": min(map(_epoch, found[name])),
        "per_epoch_ms": per_epoch,
        "once_s": once,
        "share": share,
        "share_low": low,
        "peak_mib": statistics.median(mine["peak_mib"] for _, mine in pairs),
        "attach_ms": 1000 * statistics.median(mine["attach"] for _, mine in pairs),
        **own,
    }


def _by_callback(runs: list[list[dict[str, Any]]]) -> list[tuple[str, float]]:
    """Return the median seconds of each callback; two callbacks may have the same name."""
    return [(rows[0]["name"], statistics.median(row["seconds"] for row in rows)) for rows in zip(*runs, strict=True)]


def _epoch(run: dict[str, Any]) -> float:
    """Return the time of the fastest epoch, since disturbances only add time."""
    return float(min(run["epochs"]))


def _once(run: dict[str, Any]) -> float:
    """Return the time outside epochs, and the extra time of epochs that are slower than the fastest one."""
    return float(run["seconds"]) - (len(run["epochs"]) + 1) * _epoch(run)


def _clock(run: dict[str, Any]) -> tuple[float, float]:
    """Return the seconds of the suite's own clock, for each epoch and once a run."""
    each = statistics.median(run["clock_by_epoch"][1:])
    return each, run["clock"] - len(run["clock_by_epoch"]) * each


def disk(*, epochs: int, variants: list[str]) -> dict[str, int]:
    """Return the bytes that a run leaves, W&B's files included. No time is measured, so variants run in parallel."""
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        data = scenes(Path(temporary) / "data", train=4, val=4, classes=3)
        job = {**SMALL, "data": str(data), "epochs": epochs, "batch": 4, "nbs": 4}

        def left(name: str) -> int:
            worker = Worker("one_training.py", name, f"{temporary}/{name}")
            try:
                return int(worker.ask(job)["bytes"])
            finally:
                worker.close()

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # the slowest variants first
            return dict(zip(reversed(variants), pool.map(left, reversed(variants)), strict=True))
