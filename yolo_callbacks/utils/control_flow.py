"""Distinguish exceptions that end a training on purpose from failures."""

from __future__ import annotations

import os
import threading

__all__ = ["StoppedByAgent", "TrialStopped", "is_control_flow", "is_pruned", "is_stopped", "is_trial_of_sweep"]

_PRUNED = "optuna.exceptions.TrialPruned"


class StoppedByAgent(SystemExit):
    """The agent of a W&B sweep stops the trial that this process is."""


class TrialStopped(SystemExit):
    """Leave the function of a trial that Ray Tune has stopped, as Ray itself does: it is no failure.

    Args:
        reason: Why the training ends.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(0)
        self.reason = reason

    def __str__(self) -> str:
        """Return the reason; the argument of a `SystemExit` is its code."""
        return self.reason


def is_control_flow(error: BaseException) -> bool:
    """Return whether an exception is to end the training, and is no failure of the code that raised it.

    That is `optuna.TrialPruned`, what `wandb.agent` raises in the thread of a trial that it stops, and every exception
    that is no `Exception`, such as `KeyboardInterrupt` and `SystemExit`.
    """
    return not isinstance(error, Exception) or is_pruned(error) or _is_of_agent(error)


def is_pruned(error: BaseException | None) -> bool:
    """Return whether an exception ends a trial of Optuna or Ray Tune as pruned."""
    if isinstance(error, TrialStopped):
        return True
    return any(f"{kind.__module__}.{kind.__qualname__}" == _PRUNED for kind in type(error).__mro__)


def is_stopped(error: BaseException | None) -> bool:
    """Return whether an exception ends a trial that the agent of a W&B sweep stops."""
    return isinstance(error, StoppedByAgent) or (error is not None and _is_of_agent(error))


def is_trial_of_sweep() -> bool:
    """Return whether the agent of a W&B sweep has started this process, or runs in it."""
    return bool(os.environ.get("WANDB_SWEEP_ID"))


def _is_of_agent(error: BaseException) -> bool:
    """Return whether `wandb.agent(function=…)` has raised an exception in this thread, to stop its trial.

    It raises a plain `Exception`, and marks the thread before (wandb 0.31.0, `wandb/agents/pyagent.py`).
    """
    return type(error) is Exception and getattr(threading.current_thread(), "_terminated", False) is True
