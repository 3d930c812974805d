"""The command `yolo-callbacks lr-find`: a real range test, what it says, and that it leaves the plot only."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from trainings import TINY
from ultralytics import YOLO
from ultralytics.cfg import entrypoint

from yolo_callbacks.cli.command import main

pytestmark = pytest.mark.training

SMALL = ["imgsz=32", "batch=4", "nbs=8", "workers=0", "device=cpu", "optimizer=SGD"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and an empty folder for temporary files; `yolo` reads the line that it is given."""
    (tmp_path / "here").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    for name in ("YOLO_CALLBACKS", "YOLO_VERBOSE"):
        monkeypatch.setenv(name, "JsonlLogger" if name == "YOLO_CALLBACKS" else "true")
    # Ultralytics has read `sys.argv` when it was imported, long ago
    monkeypatch.setattr(
        "yolo_callbacks.cli.commands.lr_find.run_yolo", lambda command: entrypoint(" ".join(["yolo", *command]))
    )
    return tmp_path


def test_it_leaves_the_plot_and_nothing_else(folder, scenes, capsys):
    YOLO(TINY).save(folder / "tiny.pt")
    before = (folder / "tiny.pt").read_bytes()
    assert main(["lr-find", f"model={folder / 'tiny.pt'}", f"data={scenes}", *SMALL, "steps=40", "last=1"]) == 0
    said = capsys.readouterr().out  # with what Ultralytics says, which has read YOLO_VERBOSE long ago
    assert "40 steps, learning rate 1e-06 to 1\n" in said
    assert re.findall(r"  step +(\d+)  learning rate", said) == [str(step) for step in range(4, 41, 4)]
    assert re.search(r"  step 40  learning rate 1\.00e\+00  loss \S+\n", said)
    assert re.search(r"40 steps done; the loss is lowest at \S+; plot: lr-find\.png\n", said)
    assert re.search(r"suggestion: optimizer=SGD lr0=0\.\d+\n", said)
    assert (folder / "tiny.pt").read_bytes() == before
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["lr-find.png", "tiny.pt"]
    assert (folder / "here" / "lr-find.png").read_bytes().startswith(b"\x89PNG")


def test_a_loss_that_collapses_is_named_and_the_file_can_be_chosen(folder, scenes, capsys):
    arguments = [f"model={TINY}", f"data={scenes}", *SMALL, "first=1e-3", "last=1000", "output=../plot.png", "steps=40"]
    assert main(["lr-find", *arguments]) == 0
    assert re.search(r"^the loss (collapsed|diverged|is nan) .* plot: \.\./plot\.png$", capsys.readouterr().out, re.M)
    assert (folder / "plot.png").is_file()
    assert list((folder / "here").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["first=1"], "first must be above 0 and below last, received first=1 last=1"),
        (["first=0"], "first must be above 0 and below last"),
        (["last=inf"], "first must be above 0 and below last"),
        (["first=low"], "first must be a number, received 'low'"),
        (["steps=5"], "steps must be at least 20, received 5"),
        (["steps=1.5"], "steps must be a number, received '1.5'"),
        (["step=50"], "argument 'step=50': did you mean steps=50?"),
        (["--output", "a.png"], "argument '--output': did you mean output=a.png?"),
        (["callbacks=default"], "callbacks=… cannot be used: no callback runs in a range test"),
        (["resume"], "resume=… cannot be used"),
        (["time=1"], "time=… cannot be used"),
        (["device=0,1"], "device=0,1 cannot be used: a range test needs one device"),
        (["output=no/such/plot.png"], "no/such/plot.png cannot be written: there is no folder no/such"),
    ],
)
def test_a_mistake_is_one_line(arguments, said, capsys, folder):
    assert main(["lr-find", f"model={TINY}", *arguments]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert not [path for path in folder.rglob("*") if path.is_file()]


def test_a_training_that_does_not_begin_is_an_error(scenes, capsys, folder):
    with pytest.raises(Exception, match="epochz"):
        main(["lr-find", f"model={TINY}", f"data={scenes}", *SMALL, "epochz=3"])
    assert not [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_in_a_process_of_its_own(folder, scenes):
    code = "import sys; from yolo_callbacks.cli.command import main; sys.exit(main())"
    paths = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", code, "lr-find", f"model={TINY}", f"data={scenes}", *SMALL, "steps=30"]
    environment = {**os.environ, "PYTHONPATH": paths, "TMPDIR": str(folder / "temporary")}
    done = subprocess.run(command, cwd=folder / "here", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 13  # nothing of Ultralytics' own
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["lr-find.png"]
    wrong = subprocess.run(
        [*command, "epochz=3"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "'epochz' is not a valid YOLO argument" in wrong.stderr
