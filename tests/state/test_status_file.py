"""Test reading and writing status.json, also with damaged content."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from yolo_callbacks.state.run_files import is_needed
from yolo_callbacks.state.status_file import (
    STATUS_FILE,
    RunStatus,
    described,
    moment,
    pid_namespace,
    process_start,
    read_status,
    write_status,
)


def content(**changed: Any) -> dict[str, Any]:
    now = moment(time.time())
    usual = {
        "state": "training",
        "epoch": 3,
        "epochs": 9,
        "best": {"monitor": "mAP50", "value": 0.5, "epoch": 2},
        "seconds_left": 600.0,
        "heartbeat": now,
        "progress": now,
        "interval": 10.0,
        "pid": os.getpid(),
        "process_start": moment(process_start()),
        "host": socket.gethostname(),
        "pid_namespace": pid_namespace(),
    }
    return {**usual, **changed}


def written(folder: Path, **changed: Any) -> RunStatus:
    write_status(folder, content(**changed))
    return read_status(folder)


def test_a_run_that_goes_on(tmp_path):
    found = written(tmp_path)
    assert (found.state, found.epoch, found.epochs, found.pid) == ("training", 3, 9, os.getpid())
    assert found.best == {"monitor": "mAP50", "value": 0.5, "epoch": 2}
    assert json.loads((tmp_path / STATUS_FILE).read_text())["schema"] == 1


def test_a_process_that_is_gone_was_killed_at_once(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert written(tmp_path, pid=process.pid).state == "killed"
    assert written(tmp_path, pid=process.pid, state="finished").state == "finished"


def test_another_process_with_the_number_of_a_killed_one(tmp_path):
    assert written(tmp_path, process_start=moment(process_start() - 3600)).state == "killed"


def test_a_run_of_another_machine_is_judged_by_its_heartbeat(tmp_path):
    elsewhere = {"host": "another-machine", "pid": 1}
    assert written(tmp_path, **elsewhere).state == "training"
    assert written(tmp_path, **elsewhere, heartbeat=moment(time.time() - 120)).state == "silent"


def test_a_container_with_the_name_of_its_machine_is_judged_by_its_heartbeat(tmp_path):
    inside = {"pid_namespace": "pid:[1]", "process_start": moment(0.0)}
    assert written(tmp_path, **inside).state == "training"
    assert written(tmp_path, **inside, heartbeat=moment(time.time() - 120)).state == "silent"


def test_the_time_left_goes_down_with_the_age_of_the_heartbeat(tmp_path):
    found = written(tmp_path, heartbeat=moment(time.time() - 30))
    assert found.seconds_left == pytest.approx(600 - found.age)
    assert found.age >= 30


def status(**changed: Any) -> RunStatus:
    usual: dict[str, Any] = {
        "state": "training",
        "reason": "",
        "epoch": 3,
        "epochs": 9,
        "best": {},
        "seconds_left": 600.0,
    }
    return RunStatus(**{**usual, "age": 4.0, "idle": 2.0, "stalled": False, "pid": 7, "host": "gpu3", **changed})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "training: epoch 3 of 9, about 10 min left, process 7 on gpu3"),
        ({"seconds_left": 8000.0}, "training: epoch 3 of 9, about 2 h 13 min left, process 7 on gpu3"),
        ({"seconds_left": None}, "training: epoch 3 of 9, process 7 on gpu3"),
        (
            {"best": {"monitor": "mAP50", "value": 0.51234, "epoch": 2}, "state": "finished"},
            "finished: epoch 3 of 9, best mAP50 0.5123 at epoch 2",
        ),
        ({"idle": 300.0, "stalled": True}, "training: epoch 3 of 9, no progress for 5 min, process 7 on gpu3"),
        ({"idle": 300.0, "state": "validating"}, "validating: epoch 3 of 9, about 10 min left, process 7 on gpu3"),
        ({"state": "killed", "age": 90.0}, "killed: epoch 3 of 9, the last heartbeat is 90 s old"),
        (
            {"state": "silent", "age": 7200.0},
            "silent: epoch 3 of 9, the last heartbeat is 2 h 0 min old, process 7 on gpu3 was killed, hangs, or cannot "
            "write",
        ),
        ({"state": "failed", "reason": "ValueError"}, "failed (ValueError): epoch 3 of 9"),
    ],
)
def test_in_words(changed, said):
    assert described(status(**changed)) == said


@pytest.mark.parametrize(
    ("idle", "changed", "stalled"),
    [
        (25, {}, False),
        (35, {}, True),
        (35, {"state": "starting"}, True),
        (35, {"state": "validating"}, False),
        (35, {"state": "evaluating"}, False),
        (35, {"state": "finished"}, False),
        (35, {"interval": 20.0}, False),
        (35, {"longest_idle": 30.0}, False),
        (65, {"longest_idle": 30.0}, True),
    ],
)
def test_a_stall_is_longer_than_usual(tmp_path, idle, changed, stalled):
    found = written(tmp_path, progress=moment(time.time() - idle), **changed)
    assert found.stalled == stalled
    assert ("no progress for" in described(found)) == stalled


@pytest.mark.parametrize(
    "broken",
    [
        "{}",
        "[]",
        "null",
        '{"heartbeat": 5, "best": [1], "epoch": -1, "pid": "x", "interval": "y", "host": null, "state": 7}',
        '{"heartbeat": "9999-99-99T00:00:00Z", "seconds_left": "soon", "best": {"value": "high"}}',
        '{"state": "training", "pid": 1e300, "heartbeat": "0001-01-01T00:00:00Z"}',
        '{"state": "training", "heartbeat": "2999-01-01T00:00:00Z", "seconds_left": NaN, "best": {"value": NaN}}',
        '{"state": "training", "heartbeat": "2999-01-01T00:00:00Z", "seconds_left": Infinity, "interval": NaN}',
    ],
)
def test_any_content_is_read(tmp_path, broken):
    (tmp_path / STATUS_FILE).write_text(broken)
    found = read_status(tmp_path)
    assert found.best == {}
    assert "epoch 0 of 0" in described(found)


def test_it_is_no_file_of_a_resume():
    assert not is_needed(STATUS_FILE)
    assert is_needed("callbacks.json")
