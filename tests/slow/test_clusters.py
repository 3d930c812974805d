"""The jobs of the page on clusters, run as they stand, with a stand-in for SLURM that signals and starts them again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from stand_in_slurm import StandInSlurm
from trainings import FAST, TINY, results_csv

PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"
EPOCHS = 60
pytestmark = pytest.mark.training

# Ultralytics has no workers of the loader on the CPU, except if they are asked for after its own check.
WITH_WORKERS = 'model.add_callback("on_pretrain_routine_start", lambda trainer: setattr(trainer.args, "workers", 2))'
# So that the loader has not prefetched the whole epoch when its workers end.
SLOWLY = 'import time; model.add_callback("on_train_batch_end", lambda trainer: time.sleep(0.1))'

# Starts the training, and sends SIGUSR1 to it and to what it has started, once its first epoch has a checkpoint.
SRUN = """#!/bin/bash
setsid "$@" &
pid=$!
if [ ! -f signalled ]; then
    touch signalled
    while [ ! -f runs/job/weights/last.pt ] && kill -0 $pid 2> /dev/null; do sleep 0.05; done
    kill -USR1 -- -$pid
fi
wait $pid
"""


def blocks(language: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def small(code: str, data: Path) -> str:
    """Return the code of a recipe for a training that takes seconds."""
    given = {**FAST, "patience": 0}
    code = code.replace("attach(model,", f"{WITH_WORKERS}\nattach(model,")
    code = code.replace("yolo11n.pt", TINY).replace("coco8.yaml", str(data))
    code = code.replace('"epochs": 100', f'"epochs": {EPOCHS}, **{given!r}')
    return code.replace("epochs=100", f"epochs={EPOCHS} " + " ".join(f"{key}={value}" for key, value in given.items()))


@pytest.fixture
def job(tmp_path, monkeypatch, scenes):
    """The folder of a job with the files of the page, and the stand-in for SLURM."""
    folder = tmp_path / "job"
    folder.mkdir()
    slurm = StandInSlurm(tmp_path / "bin", monkeypatch.setenv)
    (tmp_path / "bin" / "srun").write_text(SRUN)
    (tmp_path / "bin" / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    script = next(code for code in blocks("python") if "Path.cwd()" in code)
    (folder / "train.py").write_text(small(script, scenes))
    (folder / "callbacks.yaml").write_text(blocks("yaml")[0])
    return folder, slurm


def run_job(folder: Path, code: str) -> str:
    (folder / "train.sbatch").write_text(code)
    done = subprocess.run(
        ["bash", "train.sbatch"], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.mark.parametrize("which", ["srun python train.py", "srun yolo train", 'trap "" USR1'])
def test_a_job_is_signalled_and_put_back_until_it_has_finished(job, scenes, which):
    folder, slurm = job
    code = small(next(code for code in blocks("bash") if which in code), scenes)
    first = run_job(folder, code)
    run = folder / "runs" / "job"
    assert "Preemption: SIGUSR1 came" in first
    assert "yolo train" in which or re.search("Using [1-9] dataloader workers", first)
    assert "left early" in first
    assert slurm.calls == ["requeue 77"]
    epochs = [row["epoch"] for row in results_csv(run)]
    assert epochs == list(range(1, len(epochs) + 1))
    assert len(epochs) < EPOCHS
    second = run_job(folder, code)
    assert f"resumed after epoch {len(epochs)}" in second
    assert "Callbacks: finished" in second
    again = [row["epoch"] for row in results_csv(run)]
    assert again == list(range(1, len(again) + 1))
    assert len(again) > len(epochs)
    assert slurm.calls == ["requeue 77"]


def test_a_sigterm_that_ends_the_workers_of_the_loader_too_leaves_a_run_that_can_be_resumed(job, tmp_path):
    """As `scancel` sends it. torch lets a worker end then, so the epoch may lack batches."""
    folder, slurm = job
    (tmp_path / "bin" / "srun").write_text(SRUN.replace("-USR1", "-TERM"))
    script = (folder / "train.py").read_text().replace("attach(model,", f"{SLOWLY}\nattach(model,")
    script = (
        script.replace('"workers", 2', '"workers", 1')
        .replace("'batch': 4", "'batch': 1")
        .replace("'imgsz': 32", "'imgsz': 64")
    )
    assert "'batch': 1" in script
    (folder / "train.py").write_text(script)
    (folder / "train.sbatch").write_text("srun python train.py")
    done = subprocess.run(
        ["bash", "train.sbatch"], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    said = done.stdout + done.stderr
    assert "Preemption: SIGTERM came" in said
    assert re.search("Using [1-9] dataloader workers", said)
    assert "Traceback" not in said
    # 0 where the loader had all batches of the epoch before its workers ended
    left = {143: "ended by SIGTERM", 0: "left early"}
    assert left[done.returncode] in said, said[-3000:]
    assert slurm.calls == []
    before = len(results_csv(folder / "runs" / "job"))
    (folder / "train.py").write_text(script.replace(SLOWLY, ""))
    assert "Callbacks: finished" in run_job(folder, "srun python train.py")
    assert len(results_csv(folder / "runs" / "job")) > before
