"""WandbLogger against a server: what arrives, and that none of its faults costs the training.

The server is a stand-in on the loopback address; the client is the real one, in a process of its own. Not marked
`training`: what is tested is the same with every version of Ultralytics.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from online_training import train
from wandb_runs import read_runs
from wandb_server import WandbServer

pytestmark = pytest.mark.server


def test_everything_arrives(interpreter, tmp_path, scenes):
    with WandbServer() as server:
        said = train(interpreter, tmp_path, scenes, server.environment, plots=True)
        (run,) = server.runs.values()
    for kind in ("media/images/validation", "media/metadata/boxes2D"):
        assert any(kind in name for name in run.files), (said, sorted(run.files))
    assert [row["epoch"] for row in run.history if "epoch" in row] == [1, 2, 3, 4]
    assert run.exit_code == 0
    assert run.config["epochs"] == 4
    secret = server.environment["WANDB_API_KEY"].encode()
    assert not [path for path in (tmp_path / "run").rglob("*") if path.is_file() and secret in path.read_bytes()]
    (artifact,) = [found for found in run.artifacts if found["type"] == "model"]
    assert artifact["files"] == {"best.pt": (tmp_path / "run" / "weights" / "best.pt").stat().st_size}


@pytest.mark.slow
def test_the_default_suite_sends_no_picture_and_no_weights(interpreter, tmp_path, scenes):
    with WandbServer() as server:
        train(
            interpreter, tmp_path, scenes, server.environment, arguments={"images": 0, "log_model": False}, plots=True
        )
        (run,) = server.runs.values()
    assert [row["epoch"] for row in run.history if "epoch" in row] == [1, 2, 3, 4]
    pictures = [name for name in run.files if name.endswith((".jpg", ".jpeg")) and "labels" not in name]
    assert pictures == []
    assert not [found for found in run.artifacts if found["type"] == "model"]
    assert not [name for name, content in run.files.items() if name.endswith(".pt") or content[:2] == b"PK"]


@pytest.mark.parametrize(
    "fault",
    ["refuse", *(pytest.param(fault, marks=pytest.mark.slow) for fault in ("no key", "hang", "500", "401", "bad key"))],
)
def test_a_server_that_is_away_from_the_start(interpreter, tmp_path, scenes, fault):
    """The run goes on offline, and one command uploads it later."""
    with WandbServer() as server:
        environment = dict(server.environment)
        if fault == "no key":
            del environment["WANDB_API_KEY"]
        elif fault == "bad key":
            environment["WANDB_API_KEY"] = "short"
        else:
            server.fault = fault
        said = train(interpreter, tmp_path, scenes, environment)
    # the attempt to go online may have left a folder without rows
    (run,) = [run for run in read_runs(tmp_path / "run") if run.rows]
    assert [row["epoch"] for row in run.rows if "epoch" in row] == [1, 2, 3, 4]
    assert run.exit_code == 0
    assert [artifact["type"] for artifact in run.artifacts if artifact["type"] == "model"] == ["model"]
    assert f"upload with: wandb sync {run.path.parent}" in said


@pytest.mark.parametrize("fault", ["refuse", "hang"])
@pytest.mark.slow
def test_a_server_that_dies(interpreter, tmp_path, scenes, fault):
    with WandbServer() as server:

        def die(line: str) -> None:
            if line.startswith("EPOCH 3"):
                server.fault = fault

        said = train(
            interpreter, tmp_path, scenes, server.environment, die, pause=0.5,
            arguments={"images": 2, "background": False}, finish_timeout=8,  # open before the server dies
        )  # fmt: skip
    (run,) = read_runs(tmp_path / "run")
    assert [row["epoch"] for row in run.rows if "epoch" in row] == [1, 2, 3, 4]
    assert "not uploaded: " in said
    assert f"upload with: wandb sync --include-online {run.path.parent}" in said


@pytest.mark.slow
def test_what_was_logged_offline_can_be_uploaded(interpreter, tmp_path, scenes):
    with WandbServer() as server:
        server.fault = "refuse"
        said = train(interpreter, tmp_path, scenes, server.environment, arguments={"images": 0})
        server.fault = None
        command = said.split("upload with: ")[1].split("\n")[0].split()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
        environment = {**inherited, **server.environment}
        subprocess.run([sys.executable, "-m", *command], env=environment, check=True, cwd=tmp_path, capture_output=True)
        (run,) = server.runs.values()
    assert [row["epoch"] for row in run.history if "epoch" in row] == [1, 2, 3, 4]
    assert [found["type"] for found in run.artifacts if found["type"] == "model"] == ["model"]


INTERRUPTED = """
import sys
from pathlib import Path
from trainings import FAST, TINY
from ultralytics import YOLO
from yolo_callbacks import WandbLogger, attach

def interrupt(trainer):
    if trainer.epoch == 1 and "resume" not in sys.argv:
        raise KeyboardInterrupt

last = Path(folder) / "run/weights/last.pt"
model = YOLO(last if "resume" in sys.argv else TINY)
attach(model, WandbLogger(images=0, log_model=False))
model.add_callback("on_fit_epoch_end", interrupt)
arguments = {"resume": True} if "resume" in sys.argv else {**FAST, "epochs": 4}
model.train(data=data, project=folder, name="run", **arguments)
"""


@pytest.mark.slow
def test_a_training_that_is_resumed_goes_on_in_its_run(interpreter, tmp_path, scenes):
    with WandbServer() as server:
        for arguments, status in (([], -signal.SIGINT), (["resume"], 0)):
            ended = interpreter.run(
                INTERRUPTED, *arguments, environment=server.environment, data=str(scenes), folder=str(tmp_path)
            )
            assert ended.status == status, ended.said
        (run,) = server.runs.values()
    assert [row["epoch"] for row in run.history if "epoch" in row] == [1, 2, 3, 4]
    assert run.exit_code == 0


# Goes on from a copy of epoch 2, as from a store, although W&B has four epochs.
COPIED = """
import shutil, sys
from pathlib import Path
from trainings import FAST, TINY
from ultralytics import YOLO
from yolo_callbacks import JsonlLogger, WandbLogger, attach

resumed, run = "resume" in sys.argv, Path(folder, "run")

def copy_and_interrupt(trainer):
    if trainer.epoch == 2:
        shutil.copytree(run, Path(folder, "copy"), ignore=shutil.ignore_patterns("wandb"), dirs_exist_ok=True)
    if trainer.epoch == 4:
        raise KeyboardInterrupt

if resumed:
    shutil.move(run, Path(folder, "lost"))
    shutil.move(Path(folder, "copy"), run)
model = YOLO(run / "weights" / "last.pt" if resumed else TINY)
attach(model, WandbLogger(images=0, log_model=False, batch_period=1, finish_timeout=120), JsonlLogger())
if not resumed:
    model.add_callback("on_train_epoch_start", copy_and_interrupt)
arguments = {"resume": True} if resumed else {**FAST, "epochs": 5}
model.train(data=data, project=folder, name="run", **arguments)
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["online", "offline"])
def test_a_training_that_goes_on_from_an_older_copy_logs_no_epoch_twice(interpreter, tmp_path, scenes, mode):
    """W&B has the epochs 3 and 4 before they are trained again. An offline run is whole in the new folder."""
    with WandbServer() as server:
        said = []
        for arguments, status in (([], -signal.SIGINT), (["resume"], 0)):
            ended = interpreter.run(
                COPIED, *arguments, environment={**server.environment, "WANDB_MODE": mode}, data=str(scenes),
                folder=str(tmp_path),
            )  # fmt: skip
            assert ended.status == status, ended.said
            said.append(ended.said)
        lost, whole = (read_runs(tmp_path / name / "wandb") for name in ("lost", "run"))
        assert {run.id for run in (*lost, *whole)} == {lost[0].id}
        if mode == "offline":
            (run,) = whole
            rows = run.rows
        else:
            (served,) = server.runs.values()
            rows = served.history
    assert [row["epoch"] for row in rows if "epoch" in row] == [1, 2, 3, 4, 5]
    batches = [row["batch/step"] for row in rows if "batch/step" in row]
    # The rows of batches that are over are not kept for a resume.
    assert batches == list(range(1 if mode == "online" else 5, 11))
    again = "the run has rows of epochs 3 to 4 already, which are trained again"
    assert (again in said[1]) == (mode == "online")
    assert again not in said[0]
