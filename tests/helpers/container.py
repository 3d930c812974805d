"""Run the command of a container without a container: the first process of it, with folders in place of its mounts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from killed_values import EPOCHS
from trainings import FAST, TINY

SMALL = {**FAST, "batch": 8, "nbs": 8, "patience": 0, "epochs": EPOCHS}
TIMEOUT = 240


def mounted(text: str, mounts: Mapping[str, Path]) -> str:
    """Replace the paths of mounts in a text by folders of this machine."""
    for path in sorted(mounts, key=len, reverse=True):
        text = text.replace(path, str(mounts[path]))
    return text


def small_arguments(arguments: Sequence[str], data: Path) -> Iterator[str]:
    """Yield the arguments of `yolo train` for a training that takes seconds."""
    ours = {**SMALL, "model": TINY, "data": str(data)}
    yield from (each for each in arguments if each.partition("=")[0] not in ours)
    yield from (f"{name}={value}" for name, value in ours.items())


def run_container(
    command: Sequence[str], folder: Path, *, hold_at: int = 0, send: str = "", environment: Mapping[str, str] = {}
) -> tuple[int, str]:
    """Run a command as a container does, which starts it without a shell; return its exit code and what it said.

    Args:
        command: The command and its arguments.
        folder: The present folder.
        hold_at: The epoch in which the signal comes, at the end of a batch; see `scripted_by_epoch`.
        send: The name of the signal, which only the first process gets.
        environment: More variables.
    """
    folder.mkdir(parents=True, exist_ok=True)
    hold, log = folder / "hold", folder / "log"
    variables = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": "1",
        "HOLD_AT": str(hold_at),
        "HOLD_FILE": str(hold),
        **environment,
    }
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=output, stderr=subprocess.STDOUT)
        try:
            if send:
                _wait_for(hold, process)
                process.send_signal(getattr(signal, send))
                hold.unlink()
            code = process.wait(TIMEOUT)
        finally:
            process.kill()
    return code if code >= 0 else 128 - code, log.read_text()


def _wait_for(file: Path, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + TIMEOUT
    while not file.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    if not file.exists():
        raise RuntimeError(f"the training was not held, its exit code is {process.poll()}")
