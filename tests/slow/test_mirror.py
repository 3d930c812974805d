"""Runs that are killed while they are copied to a mirror, and go on from it in another folder, as if never killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from killed_values import STOP
from left_by import left_by
from made_once import made_once
from wandb_runs import read_runs

SCRIPT = Path(__file__).parents[1] / "helpers" / "mirrored_runs.py"
pytestmark = pytest.mark.training

SAMPLE = ("45%", "97%")  # in the middle of the run, and while its end is copied
POINTS = tuple(f"{share}%" for share in range(2, 100, 5))


def left_in(folder: Path) -> dict[str, Any]:
    """Read the files of a run, without the rows of W&B, which are in two folders, and without the key in the store."""
    left = left_by(folder)
    del left["wandb"]
    left["states"].pop("Mirror")
    # A run that was over when it was copied names the folder in which it ended.
    ended = str(folder).replace("there", "here")
    left["outcomes"] = [outcome.replace(ended, "") for outcome in left["outcomes"]]
    return left


@pytest.fixture(scope="module")
def whole(tmp_path_factory, scenes, interpreter):
    """The run that nobody kills; beside it the runs that are killed at the steps of the sample."""

    def make(folder: Path) -> None:
        ended = interpreter.run(SCRIPT.read_text(), str(folder), str(scenes), *SAMPLE)
        assert ended.status == 0, ended.said

    folder = made_once(tmp_path_factory, "mirrored", make)
    return folder, left_in(folder / "whole" / "here" / "run")


@pytest.mark.sample
def test_the_whole_run(whole):
    folder, left = whole
    steps = [line.split(" ", 1)[1] for line in (folder / "whole" / "steps.txt").read_text().splitlines()]
    assert left["epoch"] == STOP
    assert steps.count("before manifest") == STOP + 1
    assert steps.count("half of last.pt") == STOP  # the end has the same
    assert len(POINTS) == 20


@pytest.mark.sample
def test_a_run_that_is_killed_goes_on_elsewhere_and_leaves_the_same(whole):
    assert not differences(whole, SAMPLE)


def test_at_twenty_steps_of_the_copies(whole, scenes):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, str(SCRIPT), str(whole[0]), str(scenes), *POINTS]
    subprocess.run(command, env=environment, check=True, timeout=3600, capture_output=True)
    assert not differences(whole, POINTS)


def differences(whole: Any, points: Sequence[str]) -> dict[str, Any]:
    """Return the files of runs that were killed and went on elsewhere which differ from those of the whole run."""
    folder, expected = whole
    found: dict[str, Any] = {}
    for point in points:
        at = folder / point.removesuffix("%")
        if (at / "failed").exists():
            found[point] = (at / "failed").read_text() + (at / "continued.log").read_text()[-2000:]
            continue
        left = left_in(at / "there" / "run")
        different = {name: (left[name], expected[name]) for name in expected if left[name] != expected[name]}
        if different:
            found[point] = different
        elif len(runs := wandb_ids(at)) != 1 and (at / "store").exists() and went_on(at):
            found[point] = {"W&B runs": runs}
    return found


def went_on(at: Path) -> bool:
    """Whether the store had a complete copy when the run was killed."""
    return "goes on after epoch" in (at / "continued.log").read_text()


def wandb_ids(at: Path) -> set[str]:
    """The ids of the W&B runs of both folders."""
    return {run.id for name in ("lost", "there") for run in read_runs(at / name / "run" / "wandb")}
