"""The two W&B helpers of these tests, proved with the real client: a run's file read back, and the stand-in server."""

from __future__ import annotations

import functools
import json
import math
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from wandb_runs import Run, read_run, read_runs
from wandb_server import Fault, WandbServer

from yolo_callbacks.loggers.wandb_parts.arrival import refusals
from yolo_callbacks.loggers.wandb_parts.file import logged_rows, write_completed

LOGGING = """
import numpy, sys, wandb

quiet = wandb.Settings(console="off", x_disable_stats=True, x_disable_meta=True, silent=True)
run = wandb.init(project="shapes", id=sys.argv[1], config={"lr": 0.1, "nested": {"list": [1, 2]}}, tags=["a"],
                 notes="why", group="g", name="named", settings=quiet)
run.define_metric("epoch", hidden=True)
run.define_metric("metrics/*", step_metric="epoch", summary="max")
for epoch, value in enumerate([0.3, 0.5, 0.4], 1):
    run.log({"epoch": epoch, "metrics/mAP": value, "loss": float("nan"), "a": {"b": epoch}, "text": "x" * 40_000})
box = {"position": {"minX": 0.1, "minY": 0.1, "maxX": 0.5, "maxY": 0.5}, "class_id": 1}
boxes = {"predictions": {"box_data": [box], "class_labels": {1: "one"}}}
run.log({"epoch": 3, "shown": wandb.Image(numpy.zeros((8, 8, 3), "uint8"), boxes=boxes)})
artifact = wandb.Artifact("model", "model", metadata={"mAP": 0.5})
artifact.add_file(sys.argv[2], name="best.pt", policy="immutable")
run.log_artifact(artifact, aliases=["best", "latest"])
run.alert("Stopped", "no progress")
run.config.update({"late": True})
run.summary["own"] = 7
run.finish(exit_code=1)
wandb.teardown()
"""

INIT = """
import sys, wandb

try:
    wandb.init(project="p", settings=wandb.Settings(console="off", silent=True, init_timeout=3))
except Exception as error:
    print(type(error).__name__)
    sys.exit(3)
"""

RESUMING = """
import sys, wandb

quiet = wandb.Settings(console="off", x_disable_stats=True, silent=True)
with wandb.init(project="p", id="one", resume=sys.argv[1], settings=quiet) as run:
    run.log({"part": sys.argv[1]})
"""

Client = Callable[..., subprocess.CompletedProcess[str]]


def start(folder: Path, script: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script that uses wandb, in a process of its own; its runs and caches are below a folder."""
    folders = {f"WANDB_{name}_DIR": str(folder / name.lower()) for name in ("DATA", "CACHE", "CONFIG")}
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    env = {**inherited, **folders, "WANDB_DIR": str(folder), **environment}
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return functools.partial(start, tmp_path)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"w" * 1000)
    return file


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with WandbServer() as server:
        yield server


def ask(server: WandbServer, path: str, content: dict[str, Any]) -> Any:
    request = urllib.request.Request(server.url + path, json.dumps(content).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def log_row(server: WandbServer, at: int, **row: float) -> None:
    chunk = {"wandb-history.jsonl": {"offset": at, "content": [json.dumps(row)]}}
    ask(server, "/files/e/p/one/file_stream", {"files": chunk})


def hanging(server: WandbServer) -> socket.socket:
    """A connection whose request the server holds."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert server.wait(lambda: server.held == 1)
    return connection


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run."""
    folder = tmp_path_factory.mktemp("run")
    weights = folder / "weights.pt"
    weights.write_bytes(b"w" * 1000)
    done = start(folder, LOGGING, "one", weights, WANDB_MODE="offline")
    assert done.returncode == 0, done.stderr
    return folder


class TestRunFile:
    @pytest.fixture
    def logged(self, original: Path, tmp_path: Path) -> Run:
        (run,) = read_runs(shutil.copytree(original / "wandb", tmp_path / "wandb", symlinks=True))
        return run

    def test_everything_that_was_logged_is_read_back(self, logged: Run, original: Path) -> None:
        assert (logged.id, logged.project, logged.name, logged.group) == ("one", "shapes", "named", "g")
        assert (logged.notes, logged.tags, logged.exit_code) == ("why", ["a"], 1)
        assert logged.column("epoch") == [1, 2, 3, 3]
        assert logged.column("metrics/mAP") == [0.3, 0.5, 0.4]
        assert logged.column("a/b") == [1, 2, 3]
        assert all(math.isnan(value) for value in logged.column("loss"))
        assert logged.column("text") == ["x" * 40_000] * 3  # across blocks
        assert logged.rows[3]["shown/_type"] == "image-file"
        assert {key: logged.config[key] for key in ("lr", "nested", "late")} == {
            "lr": 0.1,
            "nested": {"list": [1, 2]},
            "late": True,
        }
        assert logged.config["_wandb"]["cli_version"]
        assert {key: logged.summary[key] for key in ("metrics/mAP", "epoch", "a", "own")} == {
            "metrics/mAP": {"max": 0.5},
            "epoch": 3,
            "a": {"b": 3},
            "own": 7,
        }
        assert logged.metrics == [
            {"name": "epoch", "step_metric": "", "summary": [], "hidden": True},
            {"glob": "metrics/*", "step_metric": "epoch", "summary": ["max"], "hidden": False},
        ]
        (artifact,) = logged.artifacts
        assert (artifact["name"], artifact["type"], artifact["metadata"]) == ("model", "model", {"mAP": 0.5})
        assert (sorted(artifact["aliases"]), artifact["files"]) == (["best", "latest"], {"best.pt": 1000})
        assert artifact["paths"] == {"best.pt": original / "weights.pt"}
        assert [alert["title"] for alert in logged.alerts] == ["Stopped"]
        boxes = logged.path.parent / "files" / logged.rows[3]["shown/boxes/predictions/path"]
        assert {boxes, logged.path.parent / "files" / logged.rows[3]["shown/path"]} <= set(logged.files)
        assert json.loads(boxes.read_text())["box_data"][0]["class_id"] == 1

    def test_an_incomplete_file_is_read_up_to_its_end(self, logged: Run) -> None:
        assert read_run(logged.path.parent) == logged
        data = logged.path.read_bytes()
        rows = []
        for size in [0, 3, 7, 9, *range(1000, len(data), 9973), len(data)]:
            logged.path.write_bytes(data[:size])
            rows.append(len(read_run(logged.path).rows))
        assert rows == sorted(rows)
        assert (rows[0], rows[-1]) == (0, 4)
        assert {1, 2} < set(rows)
        logged.path.write_bytes(data + b"\0" * 5000)
        assert read_run(logged.path) == logged

    @pytest.mark.slow
    def test_runs_are_in_the_order_of_their_start(self, client: Client, weights: Path, tmp_path: Path) -> None:
        for name in ("b", "a"):
            client(LOGGING, name, weights, WANDB_MODE="offline")
        assert [run.id for run in read_runs(tmp_path)] == ["b", "a"]

    def test_rows_are_added_to_a_file(self, logged: Run) -> None:
        before = read_run(logged.path)
        rows = [{"epoch": epoch, "text": "x" * 40_000, "loss": float("nan")} for epoch in (4, 5)]
        write_completed(logged.path, logged.path, rows, run={"run_id": "one"}, metrics=[], exit_code=0)
        after = read_run(logged.path)
        assert after.column("epoch") == [1, 2, 3, 3, 4, 5]
        assert after.column("_step") == [0, 1, 2, 3, 4, 5]
        assert (after.exit_code, after.summary["epoch"]) == (0, 5)
        assert (after.config, after.artifacts, after.metrics) == (before.config, before.artifacts, before.metrics)
        assert logged_rows(logged.path.parent) == {("epoch", epoch) for epoch in range(1, 6)}

    def test_a_file_of_a_run_that_was_never_opened(self, tmp_path: Path) -> None:
        path = tmp_path / "run-two.wandb"
        run = {"run_id": "two", "project": "p", "entity": "", "display_name": "named"}
        metrics = [("metrics/*", "epoch", "max,last"), ("fitness", "epoch", None)]
        write_completed(path, None, [{"epoch": 1, "final/a": 1.0}], run=run, metrics=metrics, exit_code=1)
        found = read_run(path)
        assert (found.id, found.project, found.name, found.exit_code) == ("two", "p", "named", 1)
        assert [(metric.get("glob"), metric.get("name")) for metric in found.metrics] == [
            ("metrics/*", None),
            (None, "fitness"),
        ]
        assert found.column("epoch") == [1]

    def test_another_file_is_refused(self, tmp_path: Path) -> None:
        other = tmp_path / "run-x.wandb"
        other.write_bytes(b"something else")
        with pytest.raises(ValueError, match="wandb"):
            read_run(other)


class TestServer:
    def test_everything_that_was_logged_arrives(self, server: WandbServer, client: Client, weights: Path) -> None:
        done = client(LOGGING, "one", weights, **server.environment)
        assert done.returncode == 0, done.stderr
        assert server.wait(lambda: server.runs["one"].exit_code is not None)
        assert server.unknown == []
        run = server.runs["one"]
        assert (run.project, run.name, run.group, run.notes, run.tags) == ("shapes", "named", "g", "why", ["a"])
        assert [row["epoch"] for row in run.history] == [1, 2, 3, 3]
        assert [row["metrics/mAP"] for row in run.history[:3]] == [0.3, 0.5, 0.4]
        assert math.isnan(run.history[0]["loss"])
        assert (run.config["lr"], run.config["nested"], run.config["late"]) == (0.1, {"list": [1, 2]}, True)
        assert (run.summary["metrics/mAP"], run.summary["own"], run.exit_code) == ({"max": 0.5}, 7, 1)
        assert run.files[run.history[3]["shown"]["path"]].startswith(b"\x89PNG")
        assert json.loads(run.files[run.history[3]["shown"]["boxes"]["predictions"]["path"]])["box_data"]
        (artifact,) = run.artifacts
        assert (artifact["name"], artifact["type"], artifact["metadata"]) == ("model", "model", {"mAP": 0.5})
        assert (sorted(artifact["aliases"]), artifact["files"]) == (["best", "latest"], {"best.pt": 1000})
        assert [alert["title"] for alert in run.alerts] == ["Stopped"]

    @pytest.mark.slow
    def test_a_run_is_resumed(self, server: WandbServer, client: Client) -> None:
        for resume in ("never", "must"):
            done = client(RESUMING, resume, **server.environment)
            assert done.returncode == 0, done.stderr
        assert [(row["_step"], row["part"]) for row in server.runs["one"].history] == [(0, "never"), (1, "must")]
        assert server.unknown == []

    @pytest.mark.slow
    @pytest.mark.parametrize("fault", ["refuse", "hang", "500", "401"])
    def test_a_client_that_cannot_start_says_so(self, server: WandbServer, client: Client, fault: Fault) -> None:
        server.fault = fault
        # without the last one, the client's own telemetry waits for a server that hangs: 20 s more at exit
        quick = {"WANDB_X_DISABLE_VIEWER": "true", "WANDB_ERROR_REPORTING": "false"}
        done = client(INIT, **server.environment, **quick)
        assert done.returncode == 3, done.stderr
        assert done.stdout.strip() == "CommError"
        assert server.runs == {}

    def test_it_recovers_from_every_fault(self, server: WandbServer) -> None:
        log_row(server, 0, x=0.0)
        server.fault = "refuse"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))
        server.fault = "500"
        with pytest.raises(urllib.error.HTTPError, match="500") as failed:
            log_row(server, 1, x=1.0)
        failed.value.close()
        server.fault = "hang"
        with hanging(server) as connection:
            server.fault = None
            assert connection.recv(1) == b""
        log_row(server, 1, x=1.0)
        assert [row["x"] for row in server.runs["one"].history] == [0.0, 1.0]

    def test_it_dies_once_enough_rows_are_there(self, server: WandbServer) -> None:
        server.stop_after_rows(2)
        log_row(server, 0, x=0.0)
        log_row(server, 0, x=0.0)  # sent again
        log_row(server, 1, x=1.0)
        assert server.wait(lambda: server.fault == "refuse")
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            log_row(server, 2, x=2.0)
        assert len(server.runs["one"].history) == 2

    def test_what_it_does_not_know_is_an_error_that_is_answered(self, server: WandbServer) -> None:
        answer = ask(server, "/graphql", {"query": "query Weather { weather }"})
        assert "Weather" in answer["errors"][0]["message"]
        assert server.unknown == ["Weather"]

    def test_closing_ends_what_it_holds(self) -> None:
        with WandbServer() as server:
            server.fault = "hang"
            connection = hanging(server)
        with connection:
            assert connection.recv(1) == b""


def test_what_a_server_refused_is_read_from_the_log(tmp_path: Path) -> None:
    entries = [
        {"level": "INFO", "msg": "filestream: fatal error is only a word here"},
        {"level": "ERROR", "msg": "api: HTTP error", "status": 403},
        {"level": "ERROR+4", "msg": "filestream: fatal error: 403 Forbidden"},
        {"level": "ERROR", "msg": "context canceled", "task": "DefaultUploadTask{FileKind: 3, Path: a.jpg}"},
        {"level": "ERROR", "msg": "file transfer: upload: failed", "task": "DefaultUploadTask{FileKind: 2, Path: b}"},
        {"level": "ERROR", "msg": "sender: failed to log artifact: no"},
        {"level": "ERROR", "msg": "runupserter: failed to upload changes", "error": "401"},
    ]
    log = tmp_path / "debug-internal.log"
    log.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries) + '{"level":"ERROR","msg":"cut o')
    assert refusals(log) == (
        {"rows": "403 Forbidden", "images and other files": "context canceled", "config": "401"},
        1,
    )
