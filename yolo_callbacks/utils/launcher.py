"""Read from the environment which process of a training this is, if a launcher has started several."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Launch", "find_launch", "slurm_variables"]

_NEEDED = ("LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Launch:
    """The place of this process among those that a launcher has started for one training.

    Attributes:
        rank: The number of this process among all.
        local_rank: Its number among those of its node.
        world_size: The number of all processes.
        local_world_size: The number of processes of its node.
    """

    rank: int
    local_rank: int
    world_size: int
    local_world_size: int


def find_launch(environment: Mapping[str, str]) -> Launch | None:
    """Return the place of this process; None where no launcher has started several.

    Args:
        environment: The environment variables.

    Raises:
        ValueError: If some of the variables of a launcher are not set, or are no numbers.
    """
    if "RANK" not in environment or environment.get("WORLD_SIZE", "1") == "1":
        return None
    if missing := [name for name in _NEEDED if name not in environment]:
        raise ValueError(
            f"RANK and WORLD_SIZE are set, as by a launcher, but not {', '.join(missing)}: start the training with "
            "torchrun or srun, or unset RANK"
        )
    launch = Launch(*(_number(environment, name) for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")))
    if not (0 <= launch.rank < launch.world_size and 0 <= launch.local_rank < launch.local_world_size):
        raise ValueError(
            f"RANK={launch.rank} of WORLD_SIZE={launch.world_size} and LOCAL_RANK={launch.local_rank} of "
            f"LOCAL_WORLD_SIZE={launch.local_world_size} do not fit together"
        )
    return launch


def slurm_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of torchrun for a task of `srun`; none where `srun` has not started several tasks.

    A batch script has `SLURM_PROCID` and `SLURM_NTASKS` too, although it is one process. Only `srun` sets
    `SLURM_STEP_NUM_TASKS`.

    Args:
        environment: The environment variables. `RANK`, which torchrun under `srun` sets, wins; so do `MASTER_ADDR` and
            `MASTER_PORT`.

    Raises:
        ValueError: If a variable of SLURM is not set, or cannot be read.
    """
    if "RANK" in environment or environment.get("SLURM_STEP_NUM_TASKS", "1") == "1":
        return {}
    job, step = (_number(environment, name) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    counts = _tasks_of_nodes(_text(environment, "SLURM_STEP_TASKS_PER_NODE"))
    node = _number(environment, "SLURM_NODEID")
    if node >= len(counts):
        raise ValueError(f"SLURM_NODEID={node} is not in SLURM_STEP_TASKS_PER_NODE")
    return {
        # the same for all tasks of the step, another one for another step on this node, below the ephemeral ports
        "MASTER_ADDR": environment.get("MASTER_ADDR") or _first_host(_text(environment, "SLURM_STEP_NODELIST")),
        "MASTER_PORT": environment.get("MASTER_PORT") or str(20000 + (job * 7 + step) % 10000),
        "RANK": str(_number(environment, "SLURM_PROCID")),
        "LOCAL_RANK": str(_number(environment, "SLURM_LOCALID")),
        "WORLD_SIZE": str(_number(environment, "SLURM_STEP_NUM_TASKS")),
        "LOCAL_WORLD_SIZE": str(counts[node]),
    }


def _text(environment: Mapping[str, str], name: str) -> str:
    try:
        return environment[name]
    except KeyError:
        raise ValueError(f"{name} is not set in this task of srun") from None


def _number(environment: Mapping[str, str], name: str) -> int:
    text = _text(environment, name)
    if not text.isdigit():
        raise ValueError(f"{name} must be a number, got {text!r}")
    return int(text)


def _tasks_of_nodes(text: str) -> list[int]:
    """Return the number of tasks of each node from SLURM's `2(x3),1`."""
    counts: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if not found:
            raise ValueError(f"SLURM_STEP_TASKS_PER_NODE cannot be read: {text!r}")
        counts += [int(found[1])] * int(found[2] or 1)
    return counts


def _first_host(text: str) -> str:
    """Return the first host of SLURM's `node[01-04,07]-ib,login`."""
    found = re.match(r"([^,\[]*)(?:\[(\d+)[^\]]*\]([^,\[]*))?", text)
    host = "".join(part or "" for part in found.groups()) if found and found[1] else ""
    if not host:
        raise ValueError(f"SLURM_STEP_NODELIST cannot be read: {text!r}")
    return host
