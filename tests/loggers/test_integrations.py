"""Beside Ultralytics' own integrations: what docs/integrations.md says, where the service runs without a server."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from interpreter import Interpreter

# In a process of its own: where pytest is imported, Ultralytics switches its integrations off.
TRAINING = """
from trainings import FAST, SETTINGS, TINY
SETTINGS.update(tensorboard=tensorboard)
from ultralytics import YOLO
from yolo_callbacks import EarlyStopping, MemoryCleanup, SaveBest, TensorBoardLogger, attach
model = YOLO(TINY)
deciders = SaveBest("mAP50", promote=True, skip_untrained=False), EarlyStopping(skip_untrained=False)
attach(model, *deciders, MemoryCleanup(), TensorBoardLogger(), strict=True)
model.train(**{**FAST, "data": data, "epochs": 2, "project": folder, "name": "run"})
"""


def logged(folder: Path) -> dict[str, list[int]]:
    """The steps of every scalar in the event file of a folder."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    (file,) = folder.glob("events.out.tfevents.*")
    steps: dict[str, list[int]] = {}
    for event in EventFileLoader(str(file)).Load():
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "scalars":
                steps.setdefault(value.tag, []).append(event.step)
    return steps


@pytest.mark.slow
def test_tensorboard_of_both_in_folders_of_their_own(interpreter, tmp_path, scenes):
    pytest.importorskip("tensorboard")
    ended = interpreter.run(TRAINING, data=str(scenes), folder=str(tmp_path), tensorboard=True)
    assert ended.status == 0, ended.said
    theirs, ours = logged(tmp_path / "run"), logged(tmp_path / "run" / "tensorboard")
    assert theirs["metrics/mAP50(B)"] == [1, 2, 3]  # from 8.4.52 on the final evaluation is their third epoch
    assert ours["metrics/mAP50(B)"] == [1, 2]
    assert ours["final/metrics/mAP50(B)"] == [2]
    published = {"best/mAP50", "early_stopping/wait"}
    assert published <= set(ours)
    assert not published & set(theirs)


class Platform(ThreadingHTTPServer):
    """A stand-in for Ultralytics' Platform on the loopback address: answers every request, and keeps them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), PlatformHandler)
        self.received: list[tuple[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def events(self, name: str) -> list[dict[str, Any]]:
        bodies = [body for path, body in self.received if path.endswith("/training/metrics")]
        return [body["data"] for body in bodies if body["event"] == name]


class PlatformHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server.received.append((self.path, json.loads(content) if self.command == "POST" else content))
        answer = {"modelId": "m", "runId": "r", "uploadUrl": f"{server.url}/upload", "gcsPath": "bucket/best.pt"}
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    do_PUT = do_POST  # noqa: N815 (the name that http.server calls)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def platform() -> Iterator[Platform]:
    server = Platform()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ultralytics.utils.callbacks.platform") is None, reason="older than Platform")
@pytest.mark.skipif(sys.version_info < (3, 11), reason="Platform's own requirement")
def test_platform_gets_what_it_gets_without_us(tmp_path, scenes, platform):
    environment = {"ULTRALYTICS_PLATFORM_URL": platform.url, "ULTRALYTICS_API_KEY": "k" * 40}
    with closing(Interpreter(environment)) as interpreter:
        ended = interpreter.run(TRAINING, data=str(scenes), folder=str(tmp_path), tensorboard=False)
    assert ended.status == 0, ended.said
    epochs = platform.events("epoch_end")
    assert [row["epoch"] for row in epochs] == [0, 1, 2]
    assert {key.partition("/")[0] for row in epochs for key in row["metrics"]} == {"train", "val", "metrics", "lr"}
    assert len(platform.events("training_complete")) == 1
    uploads = [body for path, body in platform.received if path == "/upload"]
    best = (tmp_path / "run" / "weights" / "best.pt").read_bytes()
    assert uploads == [best]  # the promoted one, stripped
