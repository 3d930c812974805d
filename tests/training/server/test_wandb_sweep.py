"""The recipes for sweeps of W&B: the real agent runs them, and a stand-in for the server stops trials."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pages import block_with
from trainings import FAST, TINY
from wandb_server import ServedSweep, WandbServer

pytestmark = pytest.mark.server

PAGE = "docs/search.md"
EPOCHS = 4
# A trial with one of these rates waits in its third epoch until it is stopped: in a callback, or outside.
INSIDE, OUTSIDE = 0.02, 0.03
TRIALS = [{"lr0": 0.01}, {"lr0": INSIDE}, {"lr0": OUTSIDE}]
WAITING = f"""
import os
import time

from yolo_callbacks import Callback

def wait(trainer):
    if trainer.epoch == 2:
        open(os.environ["WANDB_RUN_ID"] + ".waits", "w").close()
    while trainer.epoch == 2 and time.monotonic() < started + 100:
        time.sleep(0.01)

started = time.monotonic()

class Waiting(Callback):
    def on_train_start(self, trainer):
        if trainer.args.lr0 == {OUTSIDE}:
            trainer.callbacks["on_train_epoch_start"].append(wait)

    def on_train_epoch_start(self, trainer):
        if trainer.args.lr0 == {INSIDE}:
            wait(trainer)
"""


def variables(folder: Path, server: WandbServer) -> dict[str, str]:
    """The variables of an agent, which keeps what is its own in a folder."""
    own = {"WANDB_DATA_DIR": str(folder / "data"), "WANDB_CONFIG_DIR": str(folder / "config"), "HOME": str(folder)}
    return {**own, **server.environment}


def check(server: WandbServer, sweep: ServedSweep, folders: Iterable[Path], said: str) -> None:
    """One trial has finished and two were stopped; none has failed."""
    assert (sweep.started, sweep.stopped) == (["trial-1", "trial-2", "trial-3"], ["trial-2", "trial-3"]), said
    assert server.unknown == []
    assert "Traceback" not in said
    assert "errored" not in said
    summaries = [json.loads((folder / "callbacks.json").read_text())["summary"] for folder in folders]
    stopped = ("ended by W&B's agent", 2)
    assert [(each["status"], each["epochs"]) for each in summaries] == [("finished", EPOCHS), stopped, stopped]
    assert not any(row["failures"] for each in summaries for row in each["callbacks"])
    for name, summary in zip(sweep.started, summaries, strict=True):
        run = server.runs[name]
        assert (run.sweep, run.project, run.exit_code) == ("s1", "crowns", 0), said
        epochs = [row["epoch"] for row in run.history if "epoch" in row]
        assert epochs == list(range(1, summary["epochs"] + 1))
        assert run.config["lr0"] == TRIALS[sweep.started.index(name)]["lr0"]


@pytest.mark.parametrize("opened_by", ["the function", pytest.param("the logger", marks=pytest.mark.slow)])
def test_an_agent_that_calls_a_function(opened_by, interpreter, scenes, tmp_path):
    code = block_with(PAGE, "wandb.agent(", "python")
    given = {**FAST, "data": str(scenes), "epochs": EPOCHS, "project": str(tmp_path)}
    changes = {
        '"yolo11n.pt"': repr(TINY),
        'data="coco8.yaml", epochs=20,': f"**{given!r},",
        "WandbLogger(": "waiting.Waiting(), WandbLogger(",
        '"SWEEP_ID"': '"s1"',
        "count=10": f"count={len(TRIALS)}",
    }
    if opened_by == "the logger":
        parameters = 'yaml.safe_load(open(os.environ["WANDB_SWEEP_PARAM_PATH"]))["lr0"]["value"]'
        run = f'SimpleNamespace(config=SimpleNamespace(lr0={parameters}), id=os.environ["WANDB_RUN_ID"], finish=bool)'
        code = f"import os\nimport yaml\nfrom types import SimpleNamespace\n{code}"
        changes["wandb.init()"] = run
    for text, other in changes.items():
        assert text in code
        code = code.replace(text, other)
    (tmp_path / "waiting.py").write_text(WAITING)
    with WandbServer() as server:
        sweep = server.serve_sweep("s1", TRIALS, stops=lambda name: (tmp_path / f"{name}.waits").exists())
        ended = interpreter.run(
            f"import os, sys\nos.chdir({str(tmp_path)!r})\nsys.path.insert(0, os.getcwd())\nimport waiting\n"
            f"import wandb.agents.pyagent\nwandb.agents.pyagent.Agent.HEARTBEAT_SLEEP_SECONDS = 0.5\n{code}",
            environment=variables(tmp_path, server),
        )
    assert ended.status == 0, ended.said
    check(server, sweep, [tmp_path / name for name in sweep.started], ended.said)


@pytest.mark.slow
def test_an_agent_that_runs_a_command(installed, scenes, tmp_path):
    sweep_yaml: dict[str, Any] = yaml.safe_load(block_with(PAGE, "early_terminate", "yaml"))
    own = {**FAST, "model": TINY, "data": scenes, "epochs": EPOCHS, "project": tmp_path}
    command = [word for word in sweep_yaml["command"] if word.partition("=")[0] not in own]
    command[-1:-1] = [f"{name}={value}" for name, value in own.items()]
    (tmp_path / "waiting.py").write_text(WAITING)
    (tmp_path / "callbacks.yaml").write_text(
        f"{block_with(PAGE, 'WandbLogger: {images: 0', 'yaml')}  - waiting:Waiting\n"
    )
    # the command `wandb agent`, which asks its server more often than every five seconds
    (tmp_path / "agent.py").write_text(
        "from wandb import wandb_agent\nfrom wandb.cli.cli import cli\nwandb_agent.Agent.POLL_INTERVAL = 0.5\ncli()\n"
    )
    with WandbServer() as server:
        sweep = server.serve_sweep(
            "s1", TRIALS, stops=lambda name: (tmp_path / f"{name}.waits").exists(), command=command
        )
        done = installed.run("python", "agent.py", "agent", "crowns/s1", cwd=tmp_path, **variables(tmp_path, server))
    assert done.returncode == 0, done.stderr
    check(server, sweep, sorted(tmp_path.glob("train*")), done.stdout + done.stderr)
