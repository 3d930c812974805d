"""Measure the time that callbacks add to a training: one process for each variant, which take turns epoch by epoch."""

from __future__ import annotations

import os
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from one_training import VARIANTS
from workload import ROOT, SMALL, Worker, median_and_bounds, scenes

TREES = str(ROOT / "datasets" / "trees" / "data.yaml")
# The added time does not depend on the length of an epoch, but is measured best in short ones. The batch size is 8,
# since the peer logs a batch of validation, which is twice as large.
# `fraction` leaves 8 of the 86 photographs: a last batch of one has no variance for BatchNorm.
JOB: dict[str, Any] = {**SMALL, "data": TREES, "batch": 8, "nbs": 8, "fraction": 0.094, "cache": "ram"}
# The training whose time it is compared with: the one of `make demo`.
REFERENCE: dict[str, Any] = {**SMALL, "data": TREES, "imgsz": 256, "batch": 8, "nbs": 8}
# What `Turns` measures: all that a user waits for; the work of the training thread; that of all threads.
CLOCKS = ("elapsed", "training thread", "process")
LONG_RUN = 100  # epochs, Ultralytics' default
FEWER = {"peer": 3}  # fewer epochs for a variant that needs seconds in each


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
            each = {name: {**JOB, "epochs": FEWER.get(name, epochs) if number else 1} for name in variants}
            for name, result in _in_turns(workers, each).items():
                if number:
                    found[name].append(result)
        long_run = workers["bare"].ask({**REFERENCE, "epochs": reference_epochs})
        for worker in workers.values():
            worker.close()
    reference = {"epoch_s": statistics.median(_elapsed(long_run)[2:-1])}
    reference["once_s"] = sum(_elapsed(long_run)) - reference_epochs * reference["epoch_s"]
    long = LONG_RUN * reference["epoch_s"] + reference["once_s"]
    compared = {name: _compared(name, found, long) for name in variants}
    return {"rounds": rounds, "epochs": epochs, "reference": reference, "variants": compared}


def _in_turns(workers: dict[str, Worker], jobs: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Run one job in each worker, part by part in turns, so that a change of the machine meets all variants alike."""
    for name, job in jobs.items():
        workers[name].start(job)
    results: dict[str, dict[str, Any]] = {}
    waiting, part = list(jobs), 0
    while waiting:
        first = part % len(waiting)
        for name in (*waiting[first:], *waiting[:first]):
            result = workers[name].turn(first=part == 0)
            if result is not None:
                results[name] = result
        waiting = [name for name in waiting if name not in results]
        part += 1
    return results


def _compared(name: str, found: dict[str, list[dict[str, Any]]], long: float) -> dict[str, Any]:
    pairs = list(zip(found["bare"], found[name], strict=True))
    added = {clock: _added(pairs, index) for index, clock in enumerate(CLOCKS)}
    per_epoch, once = added["elapsed"]["per_epoch_ms"], added["elapsed"]["once_s"]
    share = {key: (LONG_RUN * per_epoch[key] / 1000 + once["median"]) / long for key in ("median", "low", "high")}
    clock = [_clock(mine) for _, mine in pairs if mine["clock_by_epoch"]]
    own: dict[str, Any] = {}
    if clock:
        beside = [_beside(mine) for _, mine in pairs]
        bare = statistics.median(each for each, _ in map(_beside, found["bare"]))
        clock_epoch, clock_once = (statistics.median(seconds) for seconds in zip(*clock, strict=True))
        beside_epoch, beside_once = (statistics.median(seconds) for seconds in zip(*beside, strict=True))
        direct_epoch, direct_once = clock_epoch + beside_epoch - bare, clock_once + beside_once
        own = {
            "direct_per_epoch_ms": 1000 * direct_epoch,
            "direct_once_s": direct_once,
            "direct_share": (LONG_RUN * direct_epoch + direct_once) / long,
            "clock_per_epoch_ms": 1000 * clock_epoch,
            "clock_once_s": clock_once,
            "by_callback": _by_callback([mine["callbacks"] for _, mine in pairs]),
        }
    return {
        "what": VARIANTS[name],
        "parts_s": [[round(seconds, 4) for seconds in _elapsed(mine)] for _, mine in pairs],
        "epoch_s": statistics.median(seconds for _, mine in pairs for seconds in _elapsed(mine)[2:-1]),
        "added": added,
        "share": share,
        "peak_mib": statistics.median(mine["peak_mib"] for _, mine in pairs),
        "attach_ms": 1000 * statistics.median(mine["attach"] for _, mine in pairs),
        **own,
    }


def _added(pairs: list[tuple[dict[str, Any], dict[str, Any]]], clock: int) -> dict[str, dict[str, float]]:
    """Return what a variant adds to an epoch and to a run, by one of the clocks; each pair of epochs had one turn."""
    by_run = [
        [after[clock] - before[clock] for before, after in zip(_epochs(bare), _epochs(mine), strict=False)]
        for bare, mine in pairs
    ]
    per_epoch = median_and_bounds([1000 * seconds for run in by_run for seconds in run])
    once = [
        sum(mine["parts"][part][clock] - bare["parts"][part][clock] for part in (0, 1, -1)) - per_epoch["median"] / 1000
        for bare, mine in pairs
    ]
    return {"per_epoch_ms": per_epoch, "once_s": median_and_bounds(once)}


def _epochs(run: dict[str, Any]) -> list[tuple[float, ...]]:
    """Return the parts of a run that are epochs, without the first one, which includes a start."""
    parts: list[tuple[float, ...]] = run["parts"][2:-1]
    return parts


def _elapsed(run: dict[str, Any]) -> list[float]:
    return [part[0] for part in run["parts"]]


def _by_callback(runs: list[list[dict[str, Any]]]) -> list[tuple[str, float]]:
    """Return the median seconds of each callback; two callbacks may have the same name."""
    return [(rows[0]["name"], statistics.median(row["seconds"] for row in rows)) for rows in zip(*runs, strict=True)]


def _clock(run: dict[str, Any]) -> tuple[float, float]:
    """Return the seconds of the suite's own clock, for each epoch and once a run."""
    each = statistics.median(run["clock_by_epoch"][1:])
    return each, run["clock"] - len(run["clock_by_epoch"]) * each


def _beside(run: dict[str, Any]) -> tuple[float, float]:
    """Return the CPU seconds beside the training thread, for each epoch and once a run: of threads and processes."""
    parts = [process - thread + children for _, thread, process, children in run["parts"]]
    each = statistics.fmean(parts[2:-1])  # a process of W&B works in some epochs only
    return each, sum(parts) - (len(parts) - 2) * each


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
