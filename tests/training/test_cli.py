"""The command `yolo-callbacks` of an installation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from environments import arguments


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_third_party_callbacks_are_listed(installed, folder):
    listed = installed.run("yolo-callbacks", "list", cwd=folder).stdout
    assert "Tally: Write a line for every training.\n  file     Where to.\n  lines=1\n" in listed


@pytest.mark.slow
@pytest.mark.training
def test_train_is_yolo_train_with_callbacks(installed, scenes, folder):
    (folder / "callbacks.yaml").write_text("callbacks:\n  - Tally: {file: tally.txt}\n  - JsonlLogger\n")
    command = arguments(data=scenes, project=folder, name="run")
    done = installed.run("yolo-callbacks", "train", "callbacks=callbacks.yaml", *command, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "tally.txt").read_text().count("\n") == 1
    assert len((folder / "run" / "callbacks.jsonl").read_text().splitlines()) == 2
    assert done.stdout.strip().splitlines()[0].startswith("Ultralytics")


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("callbacks=SaveBst", "YOLO_CALLBACKS: no callback is called 'SaveBst', did you mean 'SaveBest'?"),
        ("epochz=3", "'epochz' is not a valid YOLO argument"),
    ],
)
def test_train_reports_a_mistake_in_one_line(wrong, said, installed, scenes, folder):
    command = arguments(data=scenes, project=folder, name="run")
    done = installed.run("yolo-callbacks", "train", *command, wrong, cwd=folder)
    assert done.returncode == 2
    assert re.sub(r"\x1b\[\d*m", "", done.stderr).startswith(said)
    assert done.stderr.count("\n") == 1
    assert list(folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.training
def test_the_demo_writes_into_its_folder_only(installed, folder):
    """A file beside the package would stay behind when it is uninstalled."""

    def files() -> set[Path]:
        return {path for path in installed.packages.rglob("*") if "__pycache__" not in path.parts}

    before = files()
    done = installed.run("yolo-callbacks", "demo", "--epochs", "1", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert files() == before
    assert [path.relative_to(folder).as_posix() for path in folder.glob("*/*")] == ["runs/demo"]
    assert list((folder / "runs" / "demo" / "data").rglob("*.cache"))
    assert (folder / "runs" / "demo" / "report.html").is_file()
