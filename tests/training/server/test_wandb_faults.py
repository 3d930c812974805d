"""WandbLogger under faults: what did not arrive is in the table, and the command that it prints uploads it.

The server is a stand-in on the loopback address; the client is the real one, in a process of its own.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from interpreter import Ended, Interpreter
from wandb_runs import read_runs
from wandb_server import ServedRun, WandbServer

pytestmark = pytest.mark.server

EPOCHS = [1, 2, 3]
TRAINING = """
import os, signal, sys, time
import psutil
from trainings import FAST, TINY
from ultralytics import YOLO
from yolo_callbacks import WandbLogger, attach

def service():
    return [child for child in psutil.Process().children() if child.name() == "wandb-core"]

def disturb(trainer):
    if trainer.epoch == 1 and signal_of_service:
        while not service():
            time.sleep(0.05)
        logger.run.log({"mine": 1})  # it is open
        for process in service():
            os.kill(process.pid, signal_of_service)

def fork(trainer):
    if trainer.epoch == 1 and forks and os.fork() == 0:
        sys.exit(0)

model = YOLO(TINY)
logger = WandbLogger(init_timeout=4, finish_timeout=finish_timeout, batch_period=1, **arguments)
attach(model, logger)
model.add_callback("on_train_epoch_start", lambda trainer: print("EPOCH", trainer.epoch + 1, flush=True))
model.add_callback("on_fit_epoch_end", disturb)
model.add_callback("on_fit_epoch_end", fork)
model.train(**{**FAST, "data": data, "epochs": 3, "project": folder, "name": "run", "plots": plots})
print("TRAINED", flush=True)
"""


def train(
    interpreter: Interpreter, folder: Path, data: Path, environment: dict[str, str],
    on_line: Callable[[str], object] = bool, *, images: int = 2, log_model: str | bool = "best", plots: bool = False,
    signal_of_service: int = 0, forks: bool = False, finish_timeout: float = 20, **arguments: Any,
) -> Ended:  # fmt: skip
    """Train in a process of its own, which must end by itself and well."""
    arguments = {"images": images, "image_period": 1, "log_model": log_model, **arguments}
    ended = interpreter.run(
        TRAINING, environment={**isolated(folder), **environment}, on_line=on_line, arguments=arguments,
        data=str(data), folder=str(folder), plots=plots, signal_of_service=int(signal_of_service), forks=forks,
        finish_timeout=finish_timeout,
    )  # fmt: skip
    assert ended.status == 0, ended.said
    assert "TRAINED" in ended.said
    return ended


def isolated(folder: Path) -> dict[str, str]:
    return {"WANDB_DATA_DIR": str(folder / "data"), "WANDB_CONFIG_DIR": str(folder / "config"), "HOME": str(folder)}


def table(said: str) -> str:
    """The row of the logger in the table at the end."""
    return next(line for line in reversed(said.splitlines()) if re.match(r"\s+WandbLogger +\d.* once", line))


def follow(command: str, folder: Path, server: WandbServer) -> None:
    """Run a command that the table has printed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    environment = {**inherited, **isolated(folder), **server.environment, "WANDB_ERROR_REPORTING": "false"}
    subprocess.run(
        [sys.executable, "-m", *shlex.split(command)],
        env=environment, cwd=folder, check=True, capture_output=True, timeout=120,
    )  # fmt: skip


def upload(said: str, folder: Path, server: WandbServer) -> None:
    """Upload with the commands of the table."""
    server.heal()
    for command in re.findall(r"upload it with: (wandb artifact put [^)]*)\)", table(said)):
        follow(command, folder, server)
    follow(table(said).split("upload with: ")[1], folder, server)


def epochs(run: ServedRun) -> list[int]:
    """The epochs that the server has, each once: `wandb sync` sends those again that had arrived."""
    rows = {row["_step"]: row["epoch"] for row in run.history if "epoch" in row}
    return [rows[step] for step in sorted(rows)]


def models(run: ServedRun) -> list[str]:
    return [found["type"] for found in run.artifacts if found["type"] == "model"]


# What the server refuses, and what the table then says did not arrive.
MOMENTS = {
    "everything": (0, "wandb sync"),  # at the start: the run is offline
    "UpsertBucket": (0, "wandb sync"),
    "file_stream": (0, "rows"),
    "finish": (0, "rows"),
    "CreateRunFiles": (0, "images and other files"),
    "run files": (0, "images and other files"),
    "CreateArtifact": (0, "best.pt"),
    "CommitArtifact": (0, "best.pt"),
    "artifact files": (0, "best.pt"),
}
MATRIX = [(moment, status) for moment in MOMENTS for status in (401, 403, 404, 409, 413, 429, 500, 503)]


@pytest.mark.parametrize(
    ("moment", "status"),
    [pytest.param(*case, marks=pytest.mark.slow) for case in MATRIX],
)
def test_a_server_that_refuses(interpreter, tmp_path, scenes, moment, status):
    after, named = MOMENTS[moment]
    with WandbServer() as server:
        server.refuse(moment, status, after=after)
        said = train(interpreter, tmp_path, scenes, server.environment).said
        row = table(said)
        assert named in row
        assert "upload with: wandb sync" in row
        folders = list((tmp_path / "run/wandb").glob("*run-*"))
        assert len(folders) == 1  # a failed attempt to connect leaves none
        upload(said, tmp_path, server)
        (run,) = (run for run in server.runs.values() if epochs(run))
        assert epochs(run) == EPOCHS
        assert [key for each in run.history for key in each if key.startswith("final/metrics/mAP50-95")]
        assert any("media/images/validation" in name for name in run.files)
        assert "model" in [kind for each in server.runs.values() for kind in models(each)]


@pytest.mark.slow
def test_a_revoked_key_in_the_middle_of_a_run(interpreter, tmp_path, scenes):
    """The table does not claim that the rows after the fault have arrived."""
    with WandbServer() as server:

        def revoke(line: str) -> None:
            if line.startswith("EPOCH 3"):
                server.refuse("everything", 401)

        said = train(interpreter, tmp_path, scenes, server.environment, revoke, background=False).said
        assert re.search(r"not uploaded: .*rows|not confirmed by the server: rows", table(said))
        upload(said, tmp_path, server)
        (run,) = (run for run in server.runs.values() if epochs(run))
        assert epochs(run) == EPOCHS


@pytest.mark.slow
def test_where_all_has_arrived_only_the_address_is_shown(interpreter, tmp_path, scenes):
    with WandbServer() as server:
        said = train(interpreter, tmp_path, scenes, server.environment, plots=True, finish_timeout=30).said
        (run,) = server.runs.values()
    assert "upload" not in table(said)
    assert "not confirmed" not in table(said)
    assert f"/runs/{run.id}" in table(said)
    printed = said.index(f"W&B: {server.url}")
    assert printed < said.index("TRAINED")


@pytest.mark.parametrize(
    ("what", "mode"),
    [
        (signal.SIGKILL, "online"),
        pytest.param(signal.SIGKILL, "offline", marks=pytest.mark.slow),
        pytest.param(signal.SIGSTOP, "offline", marks=pytest.mark.slow),
        pytest.param(signal.SIGSTOP, "online", marks=pytest.mark.slow),
    ],
)
def test_a_process_of_wandb_that_is_frozen_or_killed(interpreter, tmp_path, scenes, what, mode):
    """The training ends, the interpreter too, and no row is lost."""
    with WandbServer() as server:
        environment = {**server.environment, "WANDB_MODE": mode}
        said = train(
            interpreter, tmp_path, scenes, environment, signal_of_service=what, log_model=False, finish_timeout=2,
            background=False,
        ).said  # fmt: skip
        assert "rows" in table(said)
        upload(said, tmp_path, server)
        (run,) = (run for run in server.runs.values() if epochs(run))
        assert epochs(run) == EPOCHS
        assert [key for each in run.history for key in each if key.startswith("final/metrics/mAP50-95")]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounts a small file system")
def test_a_full_folder_of_wandb_costs_one_warning(interpreter, tmp_path, scenes):
    """The rows are written to the run's folder instead."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80k", "tmpfs", str(small)], check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted")
    try:
        with WandbServer() as server:
            environment = {**server.environment, "WANDB_MODE": "offline", "WANDB_DIR": str(small)}
            said = train(interpreter, tmp_path, scenes, environment, images=0, log_model=False).said
            lines = [line for line in said.splitlines() if "No space left" in line]
            assert len(lines) <= 1, said
            assert "Traceback" not in said
            assert str(small) not in table(said)  # `wandb sync` has no room there either
            upload(said, tmp_path, server)
            (run,) = (run for run in server.runs.values() if epochs(run))
            assert epochs(run) == EPOCHS
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.slow
def test_a_fork_that_exits_leaves_the_run_alone(interpreter, tmp_path, scenes):
    with WandbServer() as server:
        said = train(interpreter, tmp_path, scenes, server.environment, forks=True, background=False).said
        (run,) = server.runs.values()
    assert epochs(run) == EPOCHS, said
    assert run.exit_code == 0
    shown = [row for row in run.history if "validation/images" in row]
    assert len(shown) == len(EPOCHS)  # the fork has not removed what wandb makes them of


THREADS = """
import logging, os, threading
from trainings import FAST, TINY
from ultralytics import YOLO
from yolo_callbacks import SaveBest, WandbLogger, attach

level, variables = logging.getLogger("ultralytics").level, dict(os.environ)
loggers = [WandbLogger(name=f"t{i}", images=0, log_model=False) for i in range(2)]
gate = threading.Barrier(2)

def run(i):
    model = YOLO(TINY)
    attach(model, loggers[i], SaveBest())
    model.add_callback("on_train_start", lambda trainer: gate.wait())
    model.train(**{**FAST, "data": data, "epochs": 3 + 3 * i, "project": folder, "name": f"t{i}"})

threads = [threading.Thread(target=run, args=(i,)) for i in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
import wandb
print("LEVEL", logging.getLogger("ultralytics").level == level)
changed = {key for key in {*variables, *os.environ} if variables.get(key) != os.environ.get(key)}
print("CHANGED", sorted(key for key in changed if key.startswith("WANDB") and key != "WANDB_SERVICE"))
print("GLOBAL", wandb.run)
"""


def test_two_trainings_in_threads_have_runs_of_their_own(interpreter, tmp_path, scenes):
    ended = interpreter.run(THREADS, environment=isolated(tmp_path), data=str(scenes), folder=str(tmp_path))
    assert ended.status == 0, ended.said
    for name, count in (("t0", 3), ("t1", 6)):
        (run,) = read_runs(tmp_path / name)
        assert (run.name, run.exit_code) == (name, 0)
        assert [row["epoch"] for row in run.rows if "epoch" in row] == [*range(1, count + 1)]
    assert "LEVEL True" in ended.said
    assert [line for line in ended.said.splitlines() if line.startswith("CHANGED")] == ["CHANGED []"]
    assert "GLOBAL None" in ended.said
