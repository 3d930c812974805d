"""`yolo-callbacks train --auto-resume`: a run starts, goes on in its folder or from its mirror, and is over."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from trainings import TINY, results_csv

from yolo_callbacks.cli.command import main

FAST = ["imgsz=32", "batch=4", "workers=0", "device=cpu", "plots=False", "seed=0", "epochs=3"]
# Ends the process after epoch 1, once, and then leaves the training with epoch 2, once.
KILL = """
import json, os
from contextlib import suppress
from pathlib import Path
from yolo_callbacks import Callback

def is_copied():
    # A copy is complete with its manifest, which is written last, and not at once.
    for manifest in Path("store").rglob("copies/*.json"):
        with suppress(ValueError):
            return bool(json.loads(manifest.read_text()))
    return False

class Kill(Callback):
    def on_train_epoch_start(self, trainer):
        if trainer.epoch == 1 and not Path("killed").exists():
            Path("killed").touch()
            while not is_copied():
                pass
            os._exit(9)

    def on_epoch(self, run, record):
        if record.epoch == 2 and not Path("left").exists():
            Path("left").touch()
            run.end(record, resumable=True, evaluate=False)
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--auto-resum", "name=a"], "argument '--auto-resum': did you mean --auto-resume?"),
        (["--auto_resume", "name=a"], "argument '--auto_resume': did you mean --auto-resume?"),
        (["--auto-resume", "model=a.pt"], "--auto-resume needs name=, project= or save_dir=, which name the run"),
        (["--auto-resume", "name=a", "resume=True"], "--auto-resume decides whether to resume: leave out resume"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    assert main(["train", *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.training
@pytest.mark.parametrize("to_the_end", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_killed_command_goes_on_elsewhere_and_is_over_then(tmp_path, scenes, to_the_end):
    (tmp_path / "killing.py").write_text(KILL)
    (tmp_path / "callbacks.yaml").write_text(
        f"callbacks:\n  - SaveBest\n  - Mirror: {{url: 'file://{tmp_path}/store'}}\n  - killing:Kill\n"
    )

    def command(project, model=TINY):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
        given = ["train", "--auto-resume", "callbacks=callbacks.yaml", f"model={model}", f"data={scenes}", *FAST]
        code = "import sys, isolation; from yolo_callbacks.cli.command import main; sys.exit(main())"
        run = [sys.executable, "-c", code, *given, f"project={tmp_path / project}", "name=first"]
        options = {"capture_output": True, "text": True, "timeout": 300}
        return subprocess.run(run, check=False, cwd=tmp_path, env=environment, **options)

    assert command("here").returncode == 9
    (tmp_path / "here").rename(tmp_path / "lost")
    # The folder is an absolute one, so that the model is not needed to find it.
    second = command("there", model="is-not-there.pt")
    assert f"goes on after epoch 1, copied from file://{tmp_path}/store" in second.stdout + second.stderr
    assert "to continue: start the same command again" in second.stdout + second.stderr
    # Not 0, which Kubernetes would take for a job that is complete.
    assert second.returncode == 75, second.stdout + second.stderr
    folder = tmp_path / "there" / "first"
    assert [row["epoch"] for row in results_csv(folder)] == [1, 2]
    if not to_the_end:
        return
    third = command("there")
    assert third.returncode == 0, third.stdout + third.stderr
    assert [row["epoch"] for row in results_csv(folder)] == [1, 2, 3]
    fourth = command("there", model="is-not-there.pt")
    assert fourth.returncode == 0
    assert "is over, there is nothing to train" in fourth.stdout + fourth.stderr
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["first"]
    assert not (tmp_path / "here").exists()
