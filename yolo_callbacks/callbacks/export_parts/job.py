"""Run an export in a process of its own, which ends with this one, and read what it has reached."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolo_callbacks.state.run_files import link_or_copy
from yolo_callbacks.trainer.export_process import REQUEST, RESULT
from yolo_callbacks.trainer.export_request import ExportRequest
from yolo_callbacks.utils.files import has_room, read_json, temporary_beside, write_json
from yolo_callbacks.utils.forks import FORK_GUARD
from yolo_callbacks.utils.messages import one_line
from yolo_callbacks.utils.redaction import clean_text

__all__ = ["COMMAND", "ExportJob"]

COMMAND = (sys.executable, "-m", "yolo_callbacks.trainer.export_process")
"""What carries out the request in a folder, which is its argument."""

_LOG = "log.txt"
_END_OF_LOG = 4096  # bytes
# What makes a process a rank of a training, and what would give it callbacks or a run of W&B of its own.
_NOT_INHERITED = (
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"),
    *("YOLO_CALLBACKS", "WANDB_SWEEP_ID", "WANDB_RUN_ID"),
)


@dataclass
class ExportJob:
    """One export. Make it with the checkpoint, then `start` it, perhaps in a thread.

    Attributes:
        request: What is asked for.
        checkpoint: The checkpoint; None for an export of an untrained model.
        weights: The folder of the checkpoints, in which the temporary folder of the job is.
        epoch: The epoch of the checkpoint; 0 where it is not known.
        uses_gpu: Whether the process may use a GPU.
        command: What is started, with the folder as its argument.
        folder: The temporary folder; what a killed process leaves of it, the next start of the run removes.
    """

    request: ExportRequest
    checkpoint: Path | None
    weights: Path
    epoch: int = 0
    uses_gpu: bool = False
    command: Sequence[str] = COMMAND

    def __post_init__(self) -> None:
        self.folder = temporary_beside(self.weights.absolute() / "export")  # the process has a folder of its own
        self._process: subprocess.Popen[bytes] | None = None
        self._started = time.monotonic()
        self._error = ""
        self._closed = threading.Event()

    def start(self) -> None:
        """Start the process, unless the job is closed. It does not raise."""
        if self._closed.is_set():
            return
        try:
            self._prepare()
            self._launch()
        except Exception as error:
            self._error = f"its process could not be started: {error}"
        if self._closed.is_set():  # meanwhile, by another thread, which has found no process yet
            self.close()

    def _prepare(self) -> None:
        self.folder.mkdir(mode=0o700)
        if self.checkpoint is not None:
            if not has_room(self.weights, self.checkpoint.stat().st_size):
                raise OSError(f"the disk of {self.weights} has little room")
            link_or_copy(self.checkpoint, self.folder / self.checkpoint.name)
        write_json(self.folder / REQUEST, self.request.as_json())

    def _launch(self) -> None:
        options: dict[str, Any] = {"start_new_session": True}  # Ctrl-C in a terminal is for the training alone
        if os.name == "nt":
            options = {"creationflags": 0x4000}  # BELOW_NORMAL_PRIORITY_CLASS
        FORK_GUARD.acquire()  # a worker of a loader that is forked now would keep the pipe of this process open
        try:
            with (self.folder / _LOG).open("wb") as log:
                self._process = subprocess.Popen(  # noqa: S603 (our own module)
                    [*self.command, str(self.folder)],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.folder,
                    env=self._environment(),
                    **options,
                )
        finally:
            FORK_GUARD.release()

    def _environment(self) -> dict[str, str]:
        """Return the environment of the process: it installs nothing, downloads nothing, and logs nowhere."""
        own = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
        threads = str(self.request.threads)
        own |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
        own |= {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "WANDB_MODE": "disabled", "PYTHONUTF8": "1"}
        own["PYTHONPATH"] = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
        if not self.uses_gpu:
            own["CUDA_VISIBLE_DEVICES"] = "-1"
        return own

    def is_done(self, timeout: float) -> bool:
        """Return whether the process has ended; end it where it takes more than `timeout` seconds."""
        if self._error:
            return True
        if self._process is None:
            return False
        if self._process.poll() is not None:
            return True
        if time.monotonic() - self._started < timeout:
            return False
        self._give_up(timeout)
        return True

    def wait(self, timeout: float) -> None:
        """Wait until the process has ended, at most until it has taken `timeout` seconds; then end it."""
        if self._process is None or self._error:
            return
        try:
            self._process.wait(max(0.0, self._started + timeout - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._give_up(timeout)

    def _give_up(self, timeout: float) -> None:
        self._error = f"it took more than {timeout:g} s"
        self._kill()

    def result(self) -> Mapping[str, Any]:
        """Return what the process has written, with `error` where it failed."""
        if self._error:
            return {"error": self._error, "stage": "process"}
        found = read_json(self.folder / RESULT)
        if found is not None:
            return found
        code = self._process.returncode if self._process is not None else None
        by = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        return {"error": f"its process {by}{self._last_line()}", "stage": "process"}

    def exported(self, result: Mapping[str, Any]) -> Path | None:
        """Return the export of a result, in the temporary folder; None where there is none."""
        file = Path(str(result.get("file") or ""))
        return None if file.name == "" or file.is_absolute() or ".." in file.parts else self.folder / file

    def close(self) -> None:
        """End the process where it runs, and remove its folder; a job that has not started never starts."""
        self._closed.set()
        self._kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kill(self) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            with contextlib.suppress(OSError):
                if hasattr(os, "killpg"):
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5.0)
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()

    def _last_line(self) -> str:
        """Return the last line that the process has printed, without credentials."""
        try:
            with (self.folder / _LOG).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _END_OF_LOG))
                lines = log.read().decode(errors="replace").split("\n")
        except OSError:
            return ""
        said = [line.strip() for line in lines if line.strip()]
        return f": {one_line(clean_text(said[-1]))[:200]}" if said else ""
