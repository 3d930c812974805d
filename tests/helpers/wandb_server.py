"""The smallest stand-in for a Weights & Biases server: it answers on loopback, records what arrives, and fails at will.

    with WandbServer() as server:
        subprocess.run([...], env={**os.environ, **server.environment})
        server.runs[run_id].history

It knows the operations that wandb 0.31.0 sends for a run, its files, its artifacts, its alerts and the agent of a
sweep, and answers any other one with a GraphQL error: a client retries a dropped connection for minutes, an error not
at all.
"""

# ruff: noqa: N802, N815 - methods bear the names of what they answer

from __future__ import annotations

import gzip
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal
from urllib.parse import quote, unquote

Fault = Literal["refuse", "hang", "500", "401"]

ENTITY = "tester"
OPERATION = re.compile(r"\b(?:query|mutation)\s+(\w+)")
STATUS = {"500": 500, "401": 401}


@dataclass
class ServedRun:
    """Hold the data of one run that arrived."""

    id: str
    project: str = ""
    name: str = ""
    group: str = ""
    notes: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    """As given, and W&B's own entries under `_wandb`."""
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    """The rows as they arrived, the keys as logged, nested ones as objects; NaN is kept.

    `wandb sync --include-online` sends every row again, behind those that are there: `_step` distinguishes them.
    """
    files: dict[str, bytes] = field(default_factory=dict)
    """By name in the run's folder, as `media/images/...png`."""
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    """The committed ones: `name`, `type`, `aliases`, `metadata`, `files` (name to uploaded size)."""
    alerts: list[dict[str, Any]] = field(default_factory=list)
    """`title`, `text`, `severity`."""
    exit_code: int | None = None
    """None: the run did not finish."""
    sweep: str | None = None
    """The id of its sweep."""


@dataclass
class ServedSweep:
    """A sweep, which gives its agent one trial after the other."""

    trials: list[dict[str, Any]]
    """The parameters of each trial; its run has the id `trial-1`, `trial-2` and so on."""
    stops: Callable[[str], bool]
    """Returns whether to stop a trial that is running, by its id."""
    command: list[str]
    """The command that an agent runs for each trial, with `${args}` and the like; empty for that of wandb."""
    program: str
    started: list[str] = field(default_factory=list)
    """The ids of the trials that an agent was given."""
    stopped: list[str] = field(default_factory=list)
    """The ids of the trials for which an agent got the command to stop."""

    def commands(self, running: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the commands for an agent that runs the given trials."""
        for name in running:
            if name not in self.stopped and self.stops(name):
                self.stopped.append(name)
                return [{"type": "stop", "run_id": name}]
        if running:
            return []
        if len(self.started) == len(self.trials):
            return [{"type": "exit"}]
        parameters = self.trials[len(self.started)]
        self.started.append(f"trial-{len(self.started) + 1}")
        args = {name: {"value": value} for name, value in parameters.items()}
        return [{"type": "run", "run_id": self.started[-1], "args": args, "program": self.program}]


@dataclass
class Refusal:
    """Requests that are refused."""

    at: str
    status: int
    left: int
    """How many are answered before."""


class WandbServer:
    """A server on a free port of 127.0.0.1, for as long as the `with` block lasts."""

    def __init__(self) -> None:
        self.runs: dict[str, ServedRun] = {}
        self.operations: list[str] = []
        """The names of the GraphQL operations that arrived, in order."""
        self.views: dict[str, dict[str, Any]] = {}
        """The workspaces by their internal name: `project`, `displayName`, `spec`, and how often it was `saved`."""
        self.sweeps: dict[str, ServedSweep] = {}
        """By their id."""
        self.unknown: list[str] = []
        """The operations that were answered with an error."""
        self.held = 0
        """How many requests hang now."""
        self._changed = threading.Condition(threading.RLock())  # guards all that is recorded
        self._switching = threading.RLock()  # guards what follows
        self._fault: Fault | None = None
        self._stop_after: tuple[int, Fault] | None = None
        self._refusals: list[Refusal] = []
        self._released = threading.Event()
        self._connections: set[socket.socket] = set()
        self._http: _Server | None = None
        self._loop: threading.Thread | None = None
        self._reserved: socket.socket | None = None
        self._artifacts: dict[str, dict[str, Any]] = {}
        self._stored: dict[str, bytes] = {}
        self.port = 0
        self.delay = 0.0
        """Seconds before each answer."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that a client needs to log to this server."""
        return {
            "WANDB_MODE": "online",
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": "0123456789" * 4,
            "WANDB_ENTITY": ENTITY,
        }

    def __enter__(self) -> WandbServer:
        self._reserve()
        self._listen()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._switching:
            self._released.set()
            self._close()
            if self._reserved is not None:
                self._reserved.close()

    @property
    def fault(self) -> Fault | None:
        """How it fails now: "refuse" closes the port, "hang" accepts and never answers, "500" and "401" answer so."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        with self._switching:
            if fault == self._fault:
                return
            if self._fault == "hang":
                self._released.set()  # requests held so far lose their connection
            before, self._fault = self._fault, fault
            self._released = threading.Event()
            if before == "refuse":
                self._listen()
            elif fault == "refuse":
                self._close()
                self._reserve()
        with self._changed:
            self._changed.notify_all()

    def stop_after_rows(self, rows: int, fault: Fault = "refuse") -> None:
        """Fail from the moment when this many history rows have arrived, of all runs; they are still acknowledged."""
        with self._switching:
            self._stop_after = (rows, fault)

    def refuse(self, at: str, status: int, *, after: int = 0) -> None:
        """Answer requests of one kind with an HTTP status, for good.

        Args:
            at: The name of a GraphQL operation, `"file_stream"`, `"finish"` (the last request of the file stream),
                `"run files"` or `"artifact files"` (the uploads themselves), or `"everything"`.
            status: The HTTP status.
            after: How many such requests are answered before.
        """
        with self._switching:
            self._refusals.append(Refusal(at, status, after))

    def heal(self) -> None:
        """Refuse nothing any more."""
        with self._switching:
            self._refusals.clear()

    def refused(self, path: str, body: bytes) -> int | None:
        """Return the status with which a request is refused."""
        with self._switching:
            found = None
            for refusal in self._refusals:
                if refusal.at in ("everything", *_kinds(path, body)):
                    refusal.left -= 1
                    found = refusal.status if refusal.left < 0 else found
            return found

    def serve_sweep(
        self,
        name: str,
        trials: Sequence[Mapping[str, Any]],
        *,
        stops: Callable[[str], bool],
        command: Sequence[str] = (),
        program: str = "",
    ) -> ServedSweep:
        """Serve a sweep to an agent; see `ServedSweep`."""
        with self._changed:
            sweep = ServedSweep([dict(each) for each in trials], stops, list(command), program)
            self.sweeps[name] = sweep
            return sweep

    def wait(self, condition: Callable[[], Any], seconds: float = 30) -> bool:
        """Wait until something is true of what arrived, or of the fault; False if it took too long."""
        with self._changed:
            return bool(self._changed.wait_for(condition, seconds))

    # The socket ---------------------------------------------------------------------------------------------------

    def _reserve(self) -> None:
        """Hold the port without listening: connections are refused, and nobody else gets it."""
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", self.port))
        self.port = self._reserved.getsockname()[1]

    def _listen(self) -> None:
        assert self._reserved is not None
        self._http = _Server(self, self._reserved)
        self._reserved = None
        self._loop = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._loop.start()

    def _close(self) -> None:
        if self._http is None or self._loop is None:
            return
        self._http.shutdown()
        self._http.server_close()
        self._loop.join()
        self._http = self._loop = None
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _hold(self, released: threading.Event) -> None:
        with self._changed:
            self.held += 1
            self._changed.notify_all()
        released.wait()
        with self._changed:
            self.held -= 1

    def _after_answer(self) -> None:
        with self._switching:
            if self._stop_after is None:
                return
            rows, fault = self._stop_after
            with self._changed:
                arrived = sum(len(run.history) for run in self.runs.values())
            if arrived >= rows:
                self._stop_after = None
                self.fault = fault

    # What arrives -------------------------------------------------------------------------------------------------

    def _run(self, name: str) -> ServedRun:
        return self.runs.setdefault(name, ServedRun(name))

    def _put(self, path: str, body: bytes) -> dict[str, Any]:
        with self._changed:
            kind, owner, name = unquote(path).removeprefix("/storage/").split("/", 2)
            if kind == "run":
                self._run(owner).files[name] = body
            else:
                self._stored[f"{owner}/{name}"] = body
            self._changed.notify_all()
        return {}

    def _file_stream(self, path: str, body: bytes) -> dict[str, Any]:
        content = json.loads(body)
        with self._changed:
            run = self._run(unquote(path).split("/")[-2])
            for name, chunk in (content.get("files") or {}).items():
                lines = [json.loads(line) for line in chunk["content"]] if name.endswith((".json", ".jsonl")) else []
                if name == "wandb-history.jsonl":  # the offset distinguishes a repeated chunk from a new one
                    run.history[chunk["offset"] : chunk["offset"] + len(lines)] = lines
                elif name == "wandb-summary.json" and lines:
                    run.summary = lines[-1]
            if content.get("complete"):
                run.exit_code = content.get("exitcode")
            self._changed.notify_all()
        return {"exitcode": None, "limits": {}}

    def _graphql(self, body: bytes) -> dict[str, Any]:
        request = json.loads(body)
        found = OPERATION.search(request["query"])
        name = found[1] if found else ""
        answer = getattr(self, f"_answer_{name}", None)
        with self._changed:
            self.operations.append(name)
            if answer is None:
                self.unknown.append(name)
                return {"data": None, "errors": [{"message": f"the test server does not know {name}"}]}
            try:
                data = answer(request.get("variables") or {})
            except (KeyError, TypeError, ValueError) as error:  # another client than this was written for
                self.unknown.append(name)
                return {"data": None, "errors": [{"message": f"{name}: {error!r}"}]}
            self._changed.notify_all()
        return {"data": data}

    def _answer_Viewer(self, given: dict[str, Any]) -> dict[str, Any]:
        teams = {"edges": [{"node": {"name": ENTITY}}]}
        viewer = {"id": "1", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}", "teams": teams}
        return {"viewer": viewer}

    def _answer_GetDefaultEntity(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"viewer": {"id": "1", "entity": ENTITY}}

    def _answer_ServerFeaturesQuery(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def _answer_OrganizationCoreWeaveOrganizationID(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"entity": {"organization": {"coreWeaveOrganizationId": None}}}

    def _answer_RunResumeStatus(self, given: dict[str, Any]) -> dict[str, Any]:
        """The run so far, for `resume=`."""
        model: dict[str, Any] = {
            "id": "1",
            "name": given["project"],
            "entity": {"id": "1", "name": ENTITY},
            "bucket": None,
        }
        run = self.runs.get(given["name"])
        if run is not None:
            last = [json.dumps(row) for row in run.history[-1:]]
            model["bucket"] = {
                "id": run.id,
                "name": run.id,
                "displayName": run.name,
                "summaryMetrics": json.dumps(run.summary),
                "config": json.dumps({key: {"value": value} for key, value in run.config.items()}),
                "historyLineCount": len(run.history),
                "historyTail": json.dumps(last),
                "logLineCount": 0,
                "eventsLineCount": 0,
                "eventsTail": "[]",
                "tags": run.tags,
                "notes": run.notes,
                "wandbConfig": json.dumps({"t": {"value": 1}}),
            }
        return {"model": model}

    def _answer_UpsertBucket(self, given: dict[str, Any]) -> dict[str, Any]:
        inserted = given["name"] not in self.runs
        run = self._run(given["name"])
        run.project = given.get("project") or run.project
        run.name = given.get("displayName") or run.name or run.id
        run.group = given.get("groupName") or run.group
        run.notes = given.get("notes") or run.notes
        run.tags = given.get("tags") or run.tags
        run.sweep = given.get("sweep") or run.sweep
        if given.get("config"):
            run.config = {key: entry["value"] for key, entry in json.loads(given["config"]).items()}
        if given.get("summaryMetrics"):
            run.summary = json.loads(given["summaryMetrics"])
        project = {"id": "1", "name": run.project, "entity": {"id": "1", "name": ENTITY}}
        bucket = {
            "id": run.id,
            "name": run.id,
            "displayName": run.name,
            "description": None,
            "config": "{}",
            "sweepName": run.sweep,
            "project": project,
            "historyLineCount": len(run.history),
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def _answer_Run(self, given: dict[str, Any]) -> dict[str, Any]:
        """A run for `wandb.Api().run(...)`."""
        run = self.runs.get(given["name"])
        found = run and {
            "id": run.id,
            "projectId": "1",
            "name": run.id,
            "displayName": run.name,
            "state": "running" if run.exit_code is None else "finished",
            "config": json.dumps({key: {"value": value} for key, value in run.config.items()}),
            "summaryMetrics": json.dumps(run.summary),
            "historyLineCount": len(run.history),
            "tags": run.tags,
            "user": {"name": ENTITY, "username": ENTITY},
        }
        return {"project": {"run": found}}

    def _answer_RunHistoryKeys(self, given: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(given["name"])
        steps = [row["_step"] for row in run.history if "_step" in row] if run else []
        return {"project": {"run": run and {"historyKeys": {"lastStep": max(steps, default=-1), "keys": {}}}}}

    def _answer_CreateRunFiles(self, given: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": name, "uploadUrl": self._upload("run", given["run"], name)} for name in given["files"]]
        return {"createRunFiles": {"runID": given["run"], "uploadHeaders": [], "files": files}}

    def _answer_NotifyScriptableRunAlert(self, given: dict[str, Any]) -> dict[str, Any]:
        self._run(given["runName"]).alerts.append({key: given.get(key) for key in ("title", "text", "severity")})
        return {"notifyScriptableRunAlert": {"success": True}}

    def _answer_SweepWithRuns(self, given: dict[str, Any]) -> dict[str, Any]:
        sweep = self.sweeps[given["sweep"]]
        config = {"program": sweep.program, **({"command": sweep.command} if sweep.command else {})}
        found = {"id": "1", "name": given["sweep"], "config": json.dumps(config), "runs": {"edges": []}}
        return {"project": {"sweep": found}}

    def _answer_CreateAgent(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["sweep"] not in self.sweeps:
            raise ValueError("no such sweep")
        return {"createAgent": {"agent": {"id": given["sweep"]}}}

    def _answer_Heartbeat(self, given: dict[str, Any]) -> dict[str, Any]:
        commands = self.sweeps[given["id"]].commands(json.loads(given["runState"]))
        return {"agentHeartbeat": {"agent": {"id": given["id"]}, "commands": json.dumps(commands)}}

    def _answer_View(self, given: dict[str, Any]) -> dict[str, Any]:
        found = self.views.get(given["viewName"])
        node = found and {
            "id": given["viewName"],
            "displayName": found["displayName"],
            "spec": json.dumps(found["spec"]),
        }
        return {"project": {"allViews": {"edges": [{"node": node}] if node else []}}}

    def _answer_UpsertView2(self, given: dict[str, Any]) -> dict[str, Any]:
        before = self.views.get(given["name"])
        self.views[given["name"]] = {
            "project": f"{given['entityName']}/{given['projectName']}",
            "displayName": given["displayName"],
            "spec": json.loads(given["spec"]),
            "saved": 1 + (before["saved"] if before else 0),
        }
        return {"upsertView": {"view": {"id": given["name"], "name": given["name"]}, "inserted": before is None}}

    def _answer_ArtifactType(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"artifact": None}}

    def _answer_CreateArtifact(self, given: dict[str, Any]) -> dict[str, Any]:
        asked = given["input"]
        name = str(len(self._artifacts) + 1)
        self._artifacts[name] = {**asked, "run": asked.get("runName")}
        artifact = {"id": name, "state": "PENDING", "artifactSequence": {"id": name, "latestArtifact": None}}
        return {"createArtifact": {"artifact": artifact}}

    def _answer_CreateArtifactManifest(self, given: dict[str, Any]) -> dict[str, Any]:
        file = {"id": "1", "uploadUrl": self._upload("artifact", given["artifactID"], "manifest"), "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": given["artifactID"], "file": file}}}

    def _answer_UpdateArtifactManifest(self, given: dict[str, Any]) -> dict[str, Any]:
        name = given["artifactManifestID"]
        file = {"id": "1", "uploadUrl": self._upload("artifact", name, "manifest"), "uploadHeaders": []}
        return {"updateArtifactManifest": {"artifactManifest": {"id": name, "file": file}}}

    def _answer_CreateArtifactFiles(self, given: dict[str, Any]) -> dict[str, Any]:
        edges = []
        for asked in given["input"]["artifactFiles"]:
            name = asked["artifactID"]
            node: dict[str, Any] = {
                "storagePath": f"{name}/{asked['name']}",
                "uploadUrl": self._upload("artifact", name, f"files/{asked['name']}"),
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": name},
            }
            edges.append({"node": node})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _answer_CommitArtifact(self, given: dict[str, Any]) -> dict[str, Any]:
        name = given["artifactID"]
        asked = self._artifacts[name]
        manifest = json.loads(self._stored.get(f"{name}/manifest", b"{}"))
        paths = {path: f"{name}/files/{path}" for path in manifest.get("contents", {})}
        artifact = {
            "name": (asked.get("artifactCollectionNames") or [asked.get("artifactCollectionName")])[0],
            "type": asked.get("artifactTypeName"),
            "aliases": [alias["alias"] for alias in asked.get("aliases") or []],
            "metadata": json.loads(asked.get("metadata") or "{}"),
            "files": {path: len(self._stored[at]) for path, at in paths.items() if at in self._stored},
        }
        self._run(asked["run"]).artifacts.append(artifact)
        return {"commitArtifact": {"artifact": {"id": name, "digest": asked.get("digest")}}}

    def _answer_ArtifactByID(self, given: dict[str, Any]) -> dict[str, Any]:
        """An artifact for `artifact.wait()`."""
        asked = self._artifacts[given["id"]]
        name = (asked.get("artifactCollectionNames") or [asked.get("artifactCollectionName")])[0]
        owner = self._run(asked["run"])
        sequence = {
            "__typename": "ArtifactSequence",
            "id": "1",
            "name": name,
            "project": {"id": "1", "internalId": "1", "name": owner.project, "entity": {"id": "1", "name": ENTITY}},
        }
        artifact = {
            "__typename": "Artifact",
            "id": given["id"],
            "artifactSequence": sequence,
            "versionIndex": 0,
            "artifactType": {"name": asked.get("artifactTypeName")},
            "description": None,
            "metadata": asked.get("metadata"),
            "ttlDurationSeconds": -2,
            "ttlIsInherited": True,
            "tags": [],
            "historyStep": None,
            "state": "COMMITTED",
            "size": 0,
            "digest": asked.get("digest") or "",
            "digestAlgorithm": "MANIFEST_MD5",
            "commitHash": "0",
            "fileCount": 1,
            "createdAt": "2026-01-01T00:00:00",
            "updatedAt": None,
            "aliases": [],
        }
        return {"artifact": artifact}

    def _upload(self, kind: str, owner: str, name: str) -> str:
        return f"{self.url}/storage/{kind}/{quote(owner)}/{quote(name)}"


def _kinds(path: str, body: bytes) -> list[str]:
    """Return what `WandbServer.refuse` calls a request."""
    if path == "/graphql":
        found = OPERATION.search(json.loads(body)["query"])
        return [found[1]] if found else []
    if path.startswith("/storage/"):
        return ["run files" if path.startswith("/storage/run/") else "artifact files"]
    return ["file_stream", "finish"] if json.loads(body).get("complete") else ["file_stream"]


class _Server(ThreadingHTTPServer):
    """Listens on a socket that is bound already, and knows its open connections."""

    daemon_threads = True
    request_queue_size = 128  # a client opens one connection a file: with 5 it is refused some, and tries again later

    def __init__(self, owner: WandbServer, bound: socket.socket) -> None:
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = bound
        self.owner = owner
        self.server_activate()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.owner._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.owner._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _handle(self) -> None:
        owner = self.server.owner
        body = self._body()
        with owner._switching:
            fault, released = owner._fault, owner._released
        time.sleep(owner.delay)
        if fault == "refuse":  # arrived while the port was being closed
            self.close_connection = True
            return
        if fault == "hang":
            owner._hold(released)
            self.close_connection = True
            return
        if fault is not None:
            self._answer({"errors": [{"message": "the test server was told to fail"}]}, STATUS[fault])
            return
        status = owner.refused(self.path, body)
        if status is not None:
            self._answer({"error": "refused", "errors": [{"message": "the test server was told to fail"}]}, status)
            return
        if self.path.startswith("/storage/"):
            answer = owner._put(self.path, body)
        elif self.path.endswith("/file_stream"):
            answer = owner._file_stream(self.path, body)
        elif self.path == "/graphql":
            answer = owner._graphql(body)
        else:
            self._answer({"error": "no such path"}, 404)
            return
        self._answer(answer)
        owner._after_answer()

    do_GET = do_POST = do_PUT = _handle

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _answer(self, content: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Silent."""
