"""Write and read the status of a run, for whoever watches it from outside."""

from __future__ import annotations

import math
import os
import socket
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from yolo_callbacks.decisions.run_health import ACTIVE, health
from yolo_callbacks.utils.files import write_json
from yolo_callbacks.utils.lenient import any_json, as_count, as_mapping, as_number, as_text

__all__ = [
    "SCHEMA",
    "STATUS_FILE",
    "RunStatus",
    "described",
    "moment",
    "pid_namespace",
    "process_start",
    "read_status",
    "write_status",
]

STATUS_FILE = "status.json"
SCHEMA = 1
_INTERVAL = 10.0
_IDLE_INTERVALS, _IDLE_FACTOR = 3.0, 2.0  # without progress, worth a word: of heartbeats, of the longest time before


@dataclass(frozen=True)
class RunStatus:
    """Hold the status of a run, as it was read.

    Attributes:
        state: What the run does now, or how it has ended; `"killed"` or `"silent"` where it has no heartbeat any more.
        reason: Why it has ended, `""` where that is unknown.
        epoch: The epoch that it is in, or was in.
        epochs: The planned epochs.
        best: `monitor`, `value` and `epoch` of the best epoch; empty where there is none.
        seconds_left: The expected seconds to the end, from now on; None where unknown.
        age: The seconds since the last heartbeat.
        idle: The seconds without progress at the last heartbeat.
        stalled: Whether that is longer than usual in this run. In a validation progress stands still: never there.
        pid: The number of the process.
        host: The name of its machine.
    """

    state: str
    reason: str
    epoch: int
    epochs: int
    best: dict[str, Any]
    seconds_left: float | None
    age: float
    idle: float
    stalled: bool
    pid: int
    host: str


def moment(seconds: float) -> str:
    """Return a time since the epoch of the system as text, in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_status(folder: Path, content: dict[str, Any]) -> None:
    """Write the file of a run; a reader finds the old or the new one, complete.

    Raises:
        OSError: If it cannot be written.
    """
    write_json(folder / STATUS_FILE, {"schema": SCHEMA, **content})


def read_status(folder: Path) -> RunStatus:
    """Return the status of the run of a folder, judged by its heartbeat.

    Raises:
        OSError: If there is no status, or it cannot be read.
        ValueError: If it is no JSON.
    """
    found = as_mapping(any_json(folder / STATUS_FILE))
    heartbeat = _seconds(found.get("heartbeat"))
    age = max(time.time() - heartbeat, 0.0)
    interval = _finite(found.get("interval")) or _INTERVAL
    host, pid = as_text(found.get("host")), as_count(found.get("pid"))
    is_visible = host == socket.gethostname() and as_text(found.get("pid_namespace")) == pid_namespace()
    alive = _is_alive(pid, _seconds(found.get("process_start"))) if pid and is_visible else None
    best = as_mapping(found.get("best"))
    left = _finite(found.get("seconds_left"))
    state = health(as_text(found.get("state"), "unknown"), age, interval, process_alive=alive)
    idle = max(heartbeat - _seconds(found.get("progress"), heartbeat), 0.0)
    usual = max(_IDLE_INTERVALS * interval, _IDLE_FACTOR * (_finite(found.get("longest_idle")) or 0.0))
    return RunStatus(
        state=state,
        reason=as_text(found.get("reason")),
        epoch=as_count(found.get("epoch")),
        epochs=as_count(found.get("epochs")),
        best={"monitor": as_text(best.get("monitor")), "value": best.get("value"), "epoch": as_count(best.get("epoch"))}
        if _finite(best.get("value")) is not None
        else {},
        seconds_left=None if left is None else max(left - age, 0.0),
        age=age,
        idle=idle,
        stalled=state in ("starting", "training") and idle >= usual,
        pid=pid,
        host=host,
    )


def described(status: RunStatus) -> str:
    """Return a status in one line."""
    parts = [f"epoch {status.epoch} of {status.epochs}"]
    if status.best:
        value = f"{float(status.best['value']):.4g}"
        parts.append(f"best {status.best['monitor']} {value} at epoch {status.best['epoch']}")
    if status.state in ("killed", "silent"):
        parts.append(f"the last heartbeat is {_duration(status.age)} old")
    if status.state == "silent":
        parts.append(f"process {status.pid} on {status.host} was killed, hangs, or cannot write")
    elif status.state in ACTIVE:
        if status.stalled:
            parts.append(f"no progress for {_duration(status.idle + status.age)}")
        elif status.seconds_left is not None:
            parts.append(f"about {_duration(status.seconds_left)} left")
        parts.append(f"process {status.pid} on {status.host}")
    reason = f" ({status.reason})" if status.reason else ""
    return f"{status.state}{reason}: {', '.join(parts)}"


def _duration(seconds: float) -> str:
    """Return a time as `1 h 20 min`, `5 min` or `12 s`."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 100 else f"{minutes} min"


def process_start() -> float:
    """Return when this process has started, in whole seconds since the epoch of the system."""
    import psutil

    return float(int(psutil.Process(os.getpid()).create_time()))


def pid_namespace() -> str:
    """Return the namespace of the numbers of processes; `""` where the system has none.

    A container has its own, also where it has the name of its machine, as with `docker run --network host`.
    """
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not on Linux, or a container without rights
        return ""


def _finite(value: object) -> float | None:
    """Return a finite number; None for any other value."""
    number = as_number(value)
    return number if number is not None and math.isfinite(number) else None


def _is_alive(pid: int, started: float) -> bool:
    """Return whether a process exists, and is not a later one with the same number."""
    import psutil

    try:
        process = psutil.Process(pid)
        return bool(process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - started) < 2.0)
    except psutil.Error:
        return False


def _seconds(value: object, default: float = 0.0) -> float:
    """Return a moment of the file as seconds since the epoch of the system."""
    try:
        return datetime.strptime(as_text(value), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
    except (ValueError, OverflowError):
        return default
