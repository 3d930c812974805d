"""Deadline in real trainings with a clock that the test sets: which epochs it starts, and how it leaves the run."""

from __future__ import annotations

import json
import time as real_time
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import torch
from stand_in_slurm import StandInSlurm
from trainings import TINY, results_csv
from ultralytics import YOLO

from yolo_callbacks import Callback, Deadline, EarlyStopping, JsonlLogger, Preemption, SaveBest, ValidateEvery, attach
from yolo_callbacks.callbacks import deadline

RISING = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
START = 1_800_000_000.0


pytestmark = pytest.mark.usefixtures("no_slurm")


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"duration": "soon"}, ValueError, "duration must be a duration such as '11:50:00', '1h30m' or 5400"),
        ({"duration": "50:00"}, ValueError, "duration must be a duration .*, received '50:00'"),
        ({"duration": ""}, ValueError, "duration must be a duration .*, received ''"),
        ({"duration": 0}, ValueError, "duration must be greater than 0, received 0"),
        ({"duration": "0s"}, ValueError, "duration must be greater than 0, received '0s'"),
        ({"duration": -5}, ValueError, "duration must be finite and at least 0, received -5"),
        ({"duration": [1]}, TypeError, r"duration must be a number, received \[1\]"),
        ({"until": "tomorrow"}, ValueError, "until must be a date and time such as '2026-11-27 18:00'"),
        ({"until": "2026-11-27"}, ValueError, "until must be a date and time .*, received '2026-11-27'"),
        ({"until": date(2026, 11, 27)}, TypeError, "until must be a date and time"),
        ({"until": 1800}, TypeError, "until must be a date and time"),
        ({"margin": "small"}, ValueError, "margin must be a duration"),
        ({"margin": -1}, ValueError, "margin must be finite and at least 0, received -1"),
        ({"margin": None}, TypeError, "margin must be a number, received None"),
        ({"final": 1}, TypeError, "final must be True or False, received 1"),
        ({"requeue": "yes"}, TypeError, "requeue must be True or False, received 'yes'"),
    ],
)
def test_wrong_arguments(arguments, error, said):
    with pytest.raises(error, match=said):
        Deadline(**arguments)


def test_its_arguments_are_shown_as_given():
    assert (
        repr(Deadline("11:50:00", margin="2m", final=True)) == "Deadline(duration='11:50:00', margin='2m', final=True)"
    )


class Clock:
    """Stands in for the module `time` of the callback: a batch and a validation take a given time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = START
        monkeypatch.setattr(deadline, "time", self)
        monkeypatch.setattr(deadline, "process_start", lambda: START)

    def time(self) -> float:
        return self.now


class Passing(Callback):
    """Move a clock forward by the seconds of each epoch, and by those of its validation."""

    def __init__(
        self, clock: Clock, seconds: dict[int, float], otherwise: float = 10.0, validation: float = 0.0
    ) -> None:
        self.clock, self.seconds, self.otherwise, self.validation = clock, seconds, otherwise, validation
        self.evaluated = False
        self.summary: dict[str, Any] = {}

    def on_train_epoch_end(self, trainer):
        self.clock.now += self.seconds.get(trainer.epoch + 1, self.otherwise)

    def on_val_end(self, validator):
        self.clock.now += self.validation

    def on_final_evaluation(self, run, record):
        self.evaluated = True

    def on_run_end(self, run, summary):
        self.summary = dict(summary)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return Clock(monkeypatch)


def optimizer_in(path: Path) -> bool:
    return torch.load(path, map_location="cpu", weights_only=False)["optimizer"] is not None


def epochs_of(folder: Path) -> list[int]:
    return [int(row["epoch"]) for row in results_csv(folder)]


@pytest.mark.training
@pytest.mark.parametrize(
    ("arguments", "seconds", "last"),
    [
        ({"duration": 45, "margin": 0}, {}, 4),
        ({"duration": 40, "margin": 0}, {}, 4),  # the fourth ends with the time
        ({"duration": 39, "margin": 0}, {}, 3),
        ({"duration": "45s", "margin": 10}, {}, 3),
        ({"duration": "0:00:45", "margin": "10s"}, {}, 3),
        ({"duration": 40}, {}, 3),  # a margin of 2 seconds
        ({"duration": 70, "margin": 0}, {1: 30.0}, 3),  # the first one was slow
        ({"duration": 5, "margin": 0}, {}, 1),  # nobody knows how long the first one takes
        ({"duration": 1000, "until": datetime.fromtimestamp(START + 45), "margin": 0}, {}, 4),
        ({"until": datetime.fromtimestamp(START + 25).isoformat(" "), "margin": 0}, {}, 2),
        ({"until": datetime.fromtimestamp(START + 25, timezone.utc).isoformat(), "margin": 0}, {}, 2),
        ({"duration": 600}, {}, 6),
    ],
)
def test_no_epoch_is_started_that_would_not_end_in_time(train, scripted, clock, arguments, seconds, last):
    scripted(RISING)
    model, callback, passing = YOLO(TINY), Deadline(**arguments), Passing(clock, seconds)
    attach(model, passing, callback, SaveBest("mAP50"), strict=True)
    folder = train(model, epochs=6)
    assert epochs_of(folder) == list(range(1, last + 1))
    over = last == 6
    assert callback.left_epoch == (0 if over else last)
    assert passing.evaluated is over
    assert passing.summary["status"] == ("finished" if over else "left early")
    assert optimizer_in(folder / "weights" / "last.pt") is not over
    assert callback.outcome().startswith("not reached: " if over else f"left with epoch {last}")
    assert ("resume=True" in passing.summary["next_step"]) is not over


@pytest.mark.training
def test_a_validation_that_is_not_in_every_epoch_is_expected(train, scripted, clock):
    scripted(RISING)
    model, callback = YOLO(TINY), Deadline(95, margin=0)
    attach(model, Passing(clock, {}, validation=30.0), ValidateEvery(4), callback, strict=True)
    # epochs 1 to 4 are over after 70 s, and the fifth may need 40 s
    assert epochs_of(train(model, epochs=8)) == [1, 2, 3, 4]


@pytest.mark.training
def test_with_the_final_evaluation(train, scripted, clock):
    scripted(RISING)
    model, callback = YOLO(TINY), Deadline(100, final=True)
    passing = Passing(clock, {}, validation=10.0)
    attach(model, passing, callback, JsonlLogger(), strict=True)
    folder = train(model, epochs=6, plots=True)
    # 20 s an epoch; 5 s are a twentieth, 20 s the final evaluation
    assert epochs_of(folder) == [1, 2, 3]
    assert (callback.left_epoch, passing.evaluated) == (3, True)
    assert (folder / "results.png").exists()
    assert optimizer_in(folder / "weights" / "last.pt")
    assert passing.summary["stopped_by"].startswith("Deadline: an epoch of 20 s does not end before ")


@pytest.mark.training
@pytest.mark.parametrize("first", [True, False])
def test_a_run_that_ends_with_that_epoch_is_over(train, scripted, clock, first):
    """The order of `EarlyStopping` and `Deadline` in the suite changes nothing."""
    scripted([0.5, 0.4, 0.3, 0.2])
    model, callback, stopping = YOLO(TINY), Deadline(35, margin=0), EarlyStopping(patience=2)
    passing = Passing(clock, {})
    attach(model, passing, *((callback, stopping) if first else (stopping, callback)), strict=True)
    folder = train(model, epochs=6)
    assert epochs_of(folder) == [1, 2, 3]
    assert (callback.left_epoch, passing.evaluated, passing.summary["status"]) == (0, True, "finished")
    assert passing.summary["stopped_by"].startswith("EarlyStopping")


@pytest.mark.training
def test_a_resumed_run_goes_on_to_its_end(train, scripted, clock):
    scripted(RISING)
    model = YOLO(TINY)
    attach(model, Passing(clock, {}), Deadline(25, margin=0), SaveBest("mAP50", top_k=2), JsonlLogger())
    folder = train(model, epochs=5)
    assert epochs_of(folder) == [1, 2]
    scripted(RISING[2:])
    model, saved = YOLO(folder / "weights" / "last.pt"), SaveBest("mAP50", top_k=2)
    clock.now = START  # a later session
    attach(model, Passing(clock, {}), Deadline(600, margin=0), saved, JsonlLogger())
    model.train(resume=True)
    assert epochs_of(folder) == [1, 2, 3, 4, 5]
    assert [path.name for path in saved.best_k_models] == ["best-mAP50-epoch005.pt", "best-mAP50-epoch004.pt"]
    rows = [json.loads(line) for line in (folder / "callbacks.jsonl").read_text().splitlines()]
    assert [row.get("epoch") for row in rows] == [1, 2, 3, 4, 5, None]
    assert json.loads((folder / "callbacks.json").read_text())["summary"]["status"] == "finished"


@pytest.mark.training
def test_the_time_of_a_job(train, scripted, clock, monkeypatch):
    scripted(RISING)
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(START + 25))
    model, callback = YOLO(TINY), Deadline(margin=0)
    attach(model, Passing(clock, {}), callback, strict=True)
    assert epochs_of(train(model, epochs=5)) == [1, 2]


@pytest.mark.training
def test_the_time_of_a_job_as_scontrol_shows_it(train, scripted, clock, monkeypatch, tmp_path):
    scripted(RISING)
    end = datetime.fromtimestamp(START + 25).isoformat()
    shown = f"JobId=77 JobName=yolo\n   StartTime=2026-11-27T06:00:00 EndTime={end} Deadline=N/A"
    slurm = StandInSlurm(tmp_path / "bin", monkeypatch.setenv, shown=shown)
    model = YOLO(TINY)
    attach(model, Passing(clock, {}), Deadline(margin=0, requeue=True), strict=True)
    assert epochs_of(train(model, epochs=5)) == [1, 2]
    assert slurm.calls == ["show job 77", "requeue 77"]


@pytest.mark.training
@pytest.mark.parametrize("shown", ["EndTime=Unknown", ""])
def test_a_job_without_an_end(train, scripted, monkeypatch, tmp_path, messages, shown):
    scripted(RISING)
    StandInSlurm(tmp_path / "bin", monkeypatch.setenv, shown=shown)
    model, callback = YOLO(TINY), Deadline()
    attach(model, callback, strict=True)
    assert epochs_of(train(model, epochs=2)) == [1, 2]
    assert callback.outcome() == "no deadline"
    assert [line for line in messages if "Deadline does nothing in this run: give a duration or until=" in line]


@pytest.mark.training
def test_a_deadline_that_is_over(train, scripted, messages):
    scripted(RISING)
    model, callback = YOLO(TINY), Deadline(until="2020-01-01 00:00")
    attach(model, callback, strict=True)
    assert epochs_of(train(model, epochs=3)) == [1]
    assert "Deadline: 2020-01-01 00:00:00 is over, the training is left with its first epoch" in messages


def test_a_duration_counts_from_the_start_of_the_process():
    callback = Deadline("2h")
    # this process started before this test, and less than two hours ago
    assert real_time.time() < callback._given_end < real_time.time() + 7200


@pytest.mark.training
def test_beside_preemption_the_first_request_holds(train, scripted, clock):
    scripted(RISING)
    model, callback, preemption = YOLO(TINY), Deadline(25, margin=0), Preemption()
    attach(model, Passing(clock, {}), preemption, callback, strict=True)
    train(model, epochs=5)
    assert (callback.left_epoch, preemption.left_epoch) == (2, 0)
