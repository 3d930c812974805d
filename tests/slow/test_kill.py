"""Runs that are killed at any moment and resumed: what they leave is what a run leaves that was never killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from killed_values import MAIN, STOP
from left_by import left_by
from made_once import made_once

SCRIPT = Path(__file__).parents[1] / "helpers" / "killed_runs.py"
pytestmark = pytest.mark.training


def run(folder: Path, data: Path, *moments: int | str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, str(SCRIPT), str(folder), str(data), *map(str, moments)]
    subprocess.run(command, env=environment, check=True, timeout=3600, capture_output=True)


# A write of a callback's file, and the end.
SAMPLE = (
    "epoch 5 after rename to best-recall-epoch005.pt",
    "epoch 7 half of the stripped last.pt",
    "SIGUSR1!epoch 5 after on_train_batch_end",
    "SIGTERM!epoch 4 before on_val_end!0",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, scenes, interpreter):
    """The run that nobody kills, and its moments; beside it the runs that are killed at those of the sample."""

    def make(folder: Path) -> None:
        ended = interpreter.run(SCRIPT.read_text(), str(folder), str(scenes), *SAMPLE)
        assert ended.status == 0, ended.said

    folder = made_once(tmp_path_factory, "killed", make)
    moments = [line.split(" ", 1)[1] for line in (folder / "whole" / "moments.txt").read_text().splitlines()]
    return folder, moments, left_by(folder / "whole" / "run")


@pytest.mark.sample
def test_the_whole_run(whole):
    _, moments, left = whole
    assert left["epoch"] == STOP
    assert [row[0] for row in left["wandb"]] == list(range(1, STOP + 1))
    assert [row.get("epoch") for row in left["logged"]] == [*range(1, STOP + 1), None]
    assert left["states"]["ReduceLROnPlateau(val/box_loss)"]["cuts"] == [3, 5, 6, 7]
    assert left["states"]["EarlyStopping(mAP50-95)"]["best_epoch"] == 1 + MAIN.index(0.6)
    assert len(moments) > 250


# The first epoch; Ultralytics' own writes, of an epoch that is the best by fitness too; all of one epoch, in which one
# callback takes a file out for another and a second one replaces its own; the one that stops.
FILES = tuple(f"{name}.{kind}" for name in ("best-recall-epoch005", "best-mAP50-95-one") for kind in ("pt", "json"))
MOMENTS = (
    "epoch 1 after save_model",
    "epoch 1 half of last.pt",
    "epoch 1 after on_fit_epoch_end",
    *(f"epoch 4 {when}" for when in (
        "half of last.pt", "half of best.pt", "before rename to best.pt", "after rename to best.pt",
        "before rename to last.pt", "after rename to last.pt",
    )),
    *(f"epoch 5 {when}" for when in (
        "before on_train_epoch_start", "after on_train_batch_end", "after on_train_epoch_end", "before on_val_end",
        "after save_metrics", "half of a line of callbacks.journal.jsonl", "after a line of callbacks.journal.jsonl",
        "after save_model", "before on_model_save", "after on_model_save", "before on_fit_epoch_end",
        *(f"half of {name}" for name in FILES),
        *(f"{when} rename to {name}" for when in ("before", "after") for name in FILES),
        "before removing best-recall-epoch004.pt", "after removing best-recall-epoch004.pt",
        "after removing best-recall-epoch004.json",
        "half of callbacks.json", "before rename to callbacks.json", "after rename to callbacks.json",
        "after on_fit_epoch_end",
    )),
    "epoch 6 before save_model",
    "epoch 7 after save_model",
    "epoch 7 before rename to callbacks.json",
    "epoch 7 after rename to callbacks.json",
    # after the last epoch
    "epoch 7 half of the stripped last.pt",
    "epoch 7 half of the stripped best.pt",
    "epoch 7 after on_train_end",
    "epoch 7 before rename to last.pt",
)  # fmt: skip


# Signals of a scheduler, with `Preemption`: the epoch is finished, or with a grace of 0 seconds left at the batch.
KINDS = tuple((name, grace) for name in ("SIGUSR1", "SIGTERM") for grace in ("", "!0"))
SIGNALLED = tuple(
    f"{name}!{moment}{grace}"
    for moment in (
        "epoch 1 before on_train_epoch_start",
        "epoch 1 after on_train_batch_end",
        "epoch 1 half of last.pt",
        "epoch 3 before on_train_epoch_start",
        "epoch 4 after on_train_epoch_start",
        "epoch 4 before on_val_end",
        "epoch 4 half of best.pt",
        "epoch 4 before rename to last.pt",
        "epoch 5 after on_train_batch_end",
        "epoch 5 half of a line of callbacks.journal.jsonl",
        "epoch 5 before on_fit_epoch_end",
        "epoch 5 half of callbacks.json",
        "epoch 6 before save_model",
        "epoch 7 before on_val_end",
        "epoch 7 after save_model",
        "epoch 7 half of the stripped best.pt",
        "epoch 7 after on_train_end",
    )
    for name, grace in KINDS
)


@pytest.mark.sample
def test_a_run_that_is_killed_and_resumed_leaves_the_same(whole):
    _, moments, _ = whole
    assert {moment for moment in SAMPLE if "!" not in moment} <= set(MOMENTS)
    assert {moment for moment in SAMPLE if "!" in moment} <= set(SIGNALLED)
    assert not differences(whole, [numbered(moment, moments) for moment in SAMPLE])


def test_at_every_other_moment_too(whole, scenes):
    _, moments, _ = whole
    assert len(set(MOMENTS)) >= 25
    assert not killed_at(whole, scenes, [moments.index(moment) for moment in MOMENTS if moment not in SAMPLE])


def test_a_run_that_a_scheduler_signals_leaves_the_same(whole, scenes):
    _, moments, _ = whole
    # The validation of the final evaluation has the same events as that of the last epoch, and comes after it.
    final = [
        len(moments) - 1 - moments[::-1].index(f"epoch 7 before {event}") for event in ("on_val_end", "on_val_start")
    ]
    assert all(number > moments.index("epoch 7 half of the stripped best.pt") for number in final)
    evaluated = [f"{name}!{number}{grace}" for number in final for name, grace in KINDS]
    signalled = [numbered(moment, moments) for moment in SIGNALLED if moment not in SAMPLE]
    assert not killed_at(whole, scenes, [*signalled, *evaluated])
    left = [log.read_text() for log in whole[0].glob("SIG*!*/killed.log")]
    assert sum("left early" in log for log in left) >= 20
    for name in ("SIGUSR1", "SIGTERM"):
        assert sum(f"ended by {name}" in log for log in left) >= 4


def test_every_moment_after_the_last_epoch(whole, scenes):
    _, moments, _ = whole
    end = len(moments) - 1 - moments[::-1].index("epoch 7 before rename to last.pt")
    chosen = range(moments.index("epoch 7 half of the stripped last.pt"), end + 1)
    assert len(chosen) >= 30
    assert not killed_at(whole, scenes, [moment for moment in chosen if moments[moment] not in MOMENTS])


@pytest.mark.parametrize(("name", "times"), [("SIGKILL", 60), ("SIGINT", 20), ("SIGTERM", 20)])
def test_a_signal_at_a_random_moment_after_the_last_epoch(whole, scenes, name, times):
    """Most come before the end; one that comes after it finds a run that is over and complete."""
    random = Random(name)
    assert not killed_at(whole, scenes, [f"{name}@{random.random():.4f}" for _ in range(times)])


def numbered(moment: str, moments: list[str]) -> int | str:
    """Return a moment with its number in place of its name, as the script names its folder."""
    name, *rest = moment.split("!")
    return "!".join([name, str(moments.index(rest[0])), *rest[1:]]) if rest else moments.index(moment)


def killed_at(whole: Any, data: Path, chosen: Sequence[int | str]) -> dict[str, Any]:
    """Kill and resume runs; return the files of each that differ from those of the whole run."""
    run(whole[0], data, *chosen)
    return differences(whole, chosen)


def differences(whole: Any, chosen: Sequence[int | str]) -> dict[str, Any]:
    """Return the files of runs that were killed and resumed which differ from those of the whole run."""
    folder, moments, expected = whole
    found: dict[str, Any] = {}
    for moment in chosen:
        at = folder / str(moment)
        label = moments[moment] if isinstance(moment, int) else moment
        if (at / "failed").exists():
            found[label] = (at / "failed").read_text() + (at / "resumed.log").read_text()[-2000:]
            continue
        left = left_by(at / "run")
        different = {name: (left[name], expected[name]) for name in expected if left[name] != expected[name]}
        if different:
            found[label] = different
    return found
