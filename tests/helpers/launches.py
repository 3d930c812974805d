"""Start the processes of a training as launchers do, on one node and on several, all of them on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from trainings import FAST, TINY

BOUND = 200  # seconds, with room for a slow machine: a rank that waits for another waits for hours
EPOCHS = 3


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def torchrun(nodes: int, processes: int) -> list[list[str]]:
    """The beginning of the command of each node."""
    shape = ["--nnodes", str(nodes), "--nproc-per-node", str(processes)]
    master = ["--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    return [["-m", "torch.distributed.run", *shape, *master, "--node-rank", str(node)] for node in range(nodes)]


def run(
    folder: Path,
    commands: list[list[str]],
    environments: list[dict[str, str]] | None = None,
    prefixes: list[list[str]] | None = None,
) -> list[int]:
    """Run the commands at once, and return their exit codes; what they print is in `log<N>`.

    Args:
        folder: The folder of the logs.
        commands: The arguments of `python`.
        environments: What is added to the environment of each. Defaults to `None`, for nothing.
        prefixes: What is put before each command. Defaults to `None`, for nothing.
    """
    launchers = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_", "SLURM_", "PYTEST", "YOLO_CALLBACKS")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(launchers)}
    variables |= {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"}
    processes = []
    try:
        for index, command in enumerate(commands):
            prefix = prefixes[index] if prefixes else []
            own = {**variables, **(environments[index] if environments else {})}
            with (folder / f"log{index}").open("w") as log:
                process = subprocess.Popen(
                    [*prefix, sys.executable, "-W", "ignore", *command],
                    env=own,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            processes.append(process)
        return [process.wait(BOUND) for process in processes]
    finally:
        for process in processes:
            process.terminate()  # torchrun ends its processes, which are no longer in its process group
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(40)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def printed(folder: Path) -> str:
    """Return all that the commands have printed."""
    return "".join(path.read_text() for path in sorted(folder.glob("log?")))


def logs(folder: Path) -> str:
    """Return the end of what each command has printed, for the message of a failed test."""
    return "".join(path.read_text()[-5000:] for path in sorted(folder.glob("log?")))


def training(folder: Path, data: Path, *more: str, **witness: Any) -> list[str]:
    """The arguments of `python` for a training of three epochs whose ranks note what they see.

    Args:
        folder: The folder of the notes, and of the run unless `more` names another one.
        data: The data set.
        *more: Further arguments of the command.
        **witness: Further arguments of `Witness`.
    """
    arguments = {"folder": str(folder), **witness}
    lines = [f"  - launched_witness:Witness: {json.dumps(arguments)}", "  - SaveBest: {monitor: mAP50}"]
    callbacks = folder / "callbacks.yaml"
    callbacks.write_text("\n".join(["callbacks:", *lines, "  - ReduceLROnPlateau", "  - JsonlLogger"]))
    given = {**FAST, "model": TINY, "data": data, "epochs": EPOCHS, "batch": 8, "nbs": 8, "optimizer": "SGD"}
    given |= {"project": folder, "name": "run", "warmup_epochs": 0}
    words = [f"{name}={value}" for name, value in given.items()]
    return ["-m", "yolo_callbacks", "train", f"callbacks={callbacks}", *words, *more]


def seen(folder: Path, ranks: int) -> list[dict[str, Any]]:
    """Return the values that each rank has recorded."""
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(ranks)]
