"""Studies of Optuna: ten trials with pruning, two processes on one database, a killed trial that is retried."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.training

optuna = pytest.importorskip("optuna")

# In processes of their own: `objective` trains the tiny model, better with a higher rate, by scripted metrics.
STUDY = """
import json, os, signal, sys
from pathlib import Path
import optuna
from trainings import FAST, TINY
from ultralytics import YOLO
from ultralytics.engine.validator import BaseValidator
from yolo_callbacks import EarlyStopping, OptunaPruning, SaveBest, attach

folder, data, trials, jobs, kill = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:]
optuna.logging.set_verbosity(optuna.logging.ERROR)

def objective(trial):
    goodness = trial.suggest_float("goodness", 0.1, 0.9)
    place = folder / trial.user_attrs.get("place", f"trial{trial.number}")
    trial.set_user_attr("place", place.name)
    last = place / "weights" / "last.pt"
    model = YOLO(last if last.is_file() else TINY, task="detect")
    pruning, saved = OptunaPruning(trial, "mAP50"), SaveBest("mAP50")
    attach(model, pruning, saved, EarlyStopping("mAP50", patience=50))
    evaluated = []

    def scripted(trainer):
        trainer.metrics["metrics/mAP50(B)"] = goodness * (1 - 0.5 ** (trainer.epoch + 1))
        trainer.fitness = trainer.metrics["metrics/mAP50(B)"]

    model.add_callback("on_val_end", lambda validator: evaluated.append(validator.training))
    for functions in (model.callbacks["on_model_save"], model.callbacks["on_fit_epoch_end"]):
        functions.insert(0, scripted)

    def kill_once(trainer):
        if kill and trainer.epoch == 2 and not (folder / "killed").exists():
            (folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    model.add_callback("on_train_batch_end", kill_once)
    fresh = {**FAST, "data": data, "epochs": 6, "project": str(folder), "name": place.name, "exist_ok": True}
    try:
        model.train(resume=True) if last.is_file() else model.train(**fresh)
    finally:
        line = {"trial": trial.number, "reported": pruning.reported, "final": evaluated.count(False)}
        with (folder / "trials.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\\n")
    return saved.best_score

storage = optuna.storages.RDBStorage(f"sqlite:///{folder}/study.db", engine_kwargs={"connect_args": {"timeout": 60}})
study = optuna.create_study(
    study_name="s", storage=storage, load_if_exists=True, direction="maximize",
    sampler=optuna.samplers.RandomSampler(seed=os.getpid()), pruner=optuna.pruners.MedianPruner(2, n_warmup_steps=1),
)
study.optimize(objective, n_trials=trials, n_jobs=jobs)
"""


def start(folder: Path, data: Path, trials: int, jobs: int = 1, *kill: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    command = [sys.executable, "-W", "ignore", "-c", STUDY, str(folder), str(data), str(trials), str(jobs), *kill]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(process: subprocess.Popen[str], status: int = 0) -> None:
    output = process.communicate(timeout=600)[0]
    assert process.returncode == status, output[-3000:]


def study(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="s", storage=f"sqlite:///{folder}/study.db")


def check_trials(folder: Path, number: int) -> list[optuna.trial.FrozenTrial]:
    """Every trial is complete or pruned; a pruned one has ended with its epoch and has no final evaluation."""
    trials = study(folder).trials
    lines = {line["trial"]: line for line in map(json.loads, (folder / "trials.jsonl").read_text().splitlines())}
    assert len(trials) == len(lines) == number
    for trial in trials:
        line, last = lines[trial.number], max(trial.intermediate_values)
        summary = json.loads((folder / trial.user_attrs["place"] / "callbacks.json").read_text())["summary"]
        pruned = trial.state is optuna.trial.TrialState.PRUNED
        assert pruned or trial.state is optuna.trial.TrialState.COMPLETE
        assert (summary["status"], line["final"]) == (("pruned", 0) if pruned else ("finished", 1))
        assert summary["epochs"] == last == len(trial.intermediate_values)
        assert (last < 6) is pruned
        assert {int(epoch): value for epoch, value in line["reported"].items()} == trial.intermediate_values
        goodness = trial.params["goodness"]
        expected = {epoch: goodness * (1 - 0.5**epoch) for epoch in trial.intermediate_values}
        assert trial.intermediate_values == pytest.approx(expected)
    return trials


def test_ten_trials_of_which_some_are_pruned(tmp_path, scenes):
    ended(start(tmp_path, scenes, 10))
    assert any(trial.state is optuna.trial.TrialState.PRUNED for trial in check_trials(tmp_path, 10))


def test_two_processes_share_a_study(tmp_path, scenes):
    first = start(tmp_path, scenes, 4)
    while not (tmp_path / "study.db").exists() and first.poll() is None:
        time.sleep(0.1)  # two processes must not make the tables of the database at once
    time.sleep(5)
    second = start(tmp_path, scenes, 4)
    ended(first)
    ended(second)
    check_trials(tmp_path, 8)


def test_two_trials_in_threads_of_one_process(tmp_path, scenes):
    ended(start(tmp_path, scenes, 6, 2))
    check_trials(tmp_path, 6)


def test_a_killed_trial_is_retried_with_its_values(tmp_path, scenes):
    ended(start(tmp_path, scenes, 1, 1, "kill"), -signal.SIGKILL)
    killed = study(tmp_path).trials[0]
    assert (killed.state, list(killed.intermediate_values)) == (optuna.trial.TrialState.RUNNING, [1, 2])
    study(tmp_path).tell(0, state=optuna.trial.TrialState.FAIL)
    study(tmp_path).enqueue_trial(killed.params, user_attrs=killed.user_attrs)  # as Optuna's retry callback does
    ended(start(tmp_path, scenes, 1))
    retried = study(tmp_path).trials[1]
    assert retried.state is optuna.trial.TrialState.COMPLETE
    expected = {epoch: killed.params["goodness"] * (1 - 0.5**epoch) for epoch in range(1, 7)}
    assert retried.intermediate_values == pytest.approx(expected)
    (line,) = map(json.loads, (tmp_path / "trials.jsonl").read_text().splitlines())
    assert list(line["reported"]) == ["1", "2", "3", "4", "5", "6"]
