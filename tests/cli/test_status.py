"""`yolo-callbacks status`: what it prints, and its exit code."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from yolo_callbacks.cli.command import main
from yolo_callbacks.state.status_file import moment, pid_namespace, process_start, write_status


def made(folder: Path, **changed: Any) -> Path:
    folder.mkdir()
    now = moment(time.time())
    usual = {"state": "training", "epoch": 3, "epochs": 9, "seconds_left": 600.0, "heartbeat": now, "progress": now}
    process = {"pid": os.getpid(), "process_start": moment(process_start()), "host": socket.gethostname()}
    process["pid_namespace"] = pid_namespace()
    write_status(folder, {**usual, **process, **changed})
    return folder


def test_a_run_that_goes_on(tmp_path, capsys):
    assert main(["status", str(made(tmp_path / "run"))]) == 0
    assert capsys.readouterr().out.startswith("training: epoch 3 of 9, about 10 min left, process ")


def test_a_killed_run_and_one_that_is_well(tmp_path, capsys):
    killed = made(tmp_path / "killed", process_start=moment(0.0))
    finished = made(tmp_path / "finished", state="finished", epoch=9)
    with pytest.raises(SystemExit) as ended:
        main(["status", str(killed), str(finished)])
    assert ended.value.code == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{killed}: killed: epoch 3 of 9, the last heartbeat is ")
    assert lines[1] == f"{finished}: finished: epoch 9 of 9"


def test_as_json(tmp_path, capsys):
    folder = made(tmp_path / "run", best={"monitor": "mAP50", "value": 0.5, "epoch": 2})
    assert main(["status", "--json", str(folder)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["run"], found["state"], found["best"]["value"]) == (str(folder), "training", 0.5)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "has no status.json: no callbacks ran there"), ("{", "status.json cannot be read: JSONDecodeError")],
)
def test_a_folder_without_one(tmp_path, capsys, content, said):
    if content:
        (tmp_path / "status.json").write_text(content)
    with pytest.raises(SystemExit) as ended:
        main(["status", str(tmp_path)])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("state", "code"), [("finished", 2), ("failed", 3)])
def test_a_folder_without_one_keeps_none_of_the_others_back(tmp_path, capsys, state, code):
    (tmp_path / "val").mkdir()
    ended = made(tmp_path / "train", state=state)
    with pytest.raises(SystemExit) as raised:
        main(["status", "--json", str(tmp_path / "val"), str(ended)])
    assert raised.value.code == code
    out, err = capsys.readouterr()
    assert json.loads(out)["state"] == state
    assert f"{tmp_path / 'val'} has no status.json" in err


def test_show_says_what_a_run_does_that_has_not_ended(tmp_path, capsys):
    folder = made(tmp_path / "run", process_start=moment(0.0))
    (folder / "callbacks.json").write_text('{"epoch": 2}')
    assert main(["show", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "has the state after epoch 2" in out
    assert "\n  killed: epoch 3 of 9, the last heartbeat is " in out
