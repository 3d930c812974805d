"""A server in front of MLflow that fails at will, and MLflow's real server behind it.

with Gate() as gate:                 # answers nothing by itself: every request fails as `fault` says
    ...
with real_server(folder) as url, Gate(url) as gate:
    gate.fault = "500"               # from now on
"""

# ruff: noqa: N815 - methods bear the names that http.server calls

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

_STATUS = {"401": 401, "403": 403, "413": 413, "500": 500}


class Gate:
    """Pass requests on to a server, or fail.

    Args:
        behind: The address of the server; None for none.

    Attributes:
        fault: None to pass requests on; `"401"` and the like to answer with that status; `"hang"` to accept requests
            and answer nothing; `"drop"` to close connections.
        loses_answers: How many answers of the server are lost from now on: the request has been carried out.
        paths: Method and path of each request.
    """

    def __init__(self, behind: str | None = None) -> None:
        self.behind, self.fault = behind, None if behind else "500"
        self.loses_answers = 0
        self.paths: list[str] = []
        self._released = threading.Event()
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                gate._handle(self)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client has given up

    @property
    def url(self) -> str:
        """The address of the gate."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Gate:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.paths.append(f"{request.command} {request.path}")
        fault = self.fault
        if fault == "hang":
            self._released.wait()
        if fault in ("hang", "drop"):
            request.close_connection = True
        elif fault is not None:
            self._answer(request, _STATUS[fault], b'{"error_code": "FAULT", "message": "no"}')
        else:
            self._pass_on(request, body)

    def _pass_on(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        passed = urllib.request.Request(f"{self.behind}{request.path}", data=body or None, method=request.command)
        for name, value in request.headers.items():
            if name.lower() not in ("host", "content-length", "connection", "accept-encoding"):
                passed.add_header(name, value)
        try:
            with urllib.request.urlopen(passed, timeout=60) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read()
        if self.loses_answers:
            self.loses_answers -= 1
            request.close_connection = True
            return
        self._answer(request, status, content)

    def _answer(self, request: BaseHTTPRequestHandler, status: int, content: bytes) -> None:
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


@contextmanager
def real_server(folder: Path) -> Iterator[str]:
    """Run `mlflow server` on the loopback address, with a database and artifacts in a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, start_new_session=True,
            # without the seven processes of its queue of jobs
            env={**environment, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )  # fmt: skip
        try:
            _wait_for(f"{url}/health", process, folder / "server.log")
            yield url
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.2)
    raise RuntimeError(f"the server of MLflow did not start:\n{log.read_text()}")
