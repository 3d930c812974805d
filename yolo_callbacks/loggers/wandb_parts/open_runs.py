"""Remember which W&B runs of this process a logger has opened; the user has opened the others."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

__all__ = ["add", "others_are_open", "remove", "users_run"]

_runs: list[Any] = []  # the runs that loggers of this process have opened and not finished


def add(run: Any) -> None:
    """Note that a logger has opened a run."""
    _runs.append(run)


def remove(run: Any) -> None:
    """Note that the run of a logger is finished."""
    _runs[:] = [other for other in _runs if other is not run]


def users_run() -> Any:
    """Return the run that a user or a sweep has open; None where there is none, or where a logger opened it."""
    run = getattr(sys.modules.get("wandb"), "run", None)
    return None if any(run is other for other in _runs) else run


def others_are_open(run: Any = None) -> bool:
    """Return whether something else than the given run needs wandb's process: another run, or the agent of a sweep.

    `wandb.agent(function=…)` of wandb 0.31.0 asks the server by that process. After a `wandb.teardown()` it would never
    get another trial.
    """
    from wandb.sdk import wandb_setup

    agent = sys.modules.get("wandb.agents.pyagent")
    if agent is not None and agent.is_running():
        return True
    with contextlib.suppress(AttributeError):  # private in wandb 0.31.0; it has runs of `reinit="create_new"` too
        active = list(wandb_setup.singleton()._active_runs)
        return any(other is not run for other in active)
    import wandb

    return any(other is not run for other in _runs) or (wandb.run is not None and wandb.run is not run)
