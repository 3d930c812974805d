"""Measure what a trial of a hyperparameter search costs with callbacks, beside one without."""

from __future__ import annotations

import statistics
import tempfile
from typing import Any

from time_added import JOB
from workload import Worker, median_and_bounds

KINDS = ("bare", "trial", "logged trial")
EPOCHS = 3  # a trial that is pruned early, the kind with the largest share of what happens once a run


def measure(*, rounds: int) -> dict[str, Any]:
    """Return the seconds of a trial of each kind, and what callbacks add to it.

    Args:
        rounds: How many trials of each kind are measured. They take turns; the first of each warms up.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        workers = {kind: Worker("one_training.py", kind, f"{temporary}/{kind}") for kind in KINDS}
        found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        for number in range(rounds + 1):
            first = number % len(KINDS)
            for kind in (*KINDS[first:], *KINDS[:first]):
                result = workers[kind].ask({**JOB, "epochs": EPOCHS})
                if number:
                    found[kind].append(result)
        for worker in workers.values():
            worker.close()
    variants = {kind: _compared(found["bare"], results) for kind, results in found.items()}
    return {"rounds": rounds, "epochs": EPOCHS, "variants": variants}


def _compared(bare: list[dict[str, Any]], results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians of one kind, and those of its differences from the bare trial of the same round."""
    differences = [_elapsed(mine) - _elapsed(other) for other, mine in zip(bare, results, strict=True)]
    return {
        "trial_s": statistics.median(map(_elapsed, results)),
        "added_s": median_and_bounds(differences),
        "clock_s": statistics.median(result["clock"] or 0.0 for result in results),
        "beside_s": statistics.median(_beside(result) for result in results),
    }


def _elapsed(result: dict[str, Any]) -> float:
    return float(sum(part[0] for part in result["parts"]))


def _beside(result: dict[str, Any]) -> float:
    """Return the CPU seconds of all threads and child processes but the training thread."""
    return float(sum(process - thread + children for _, thread, process, children in result["parts"]))
