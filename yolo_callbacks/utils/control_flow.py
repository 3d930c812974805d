"""Distinguish exceptions that end a training on purpose from failures."""

from __future__ import annotations

import threading

__all__ = ["is_control_flow", "is_pruned"]

_PRUNED = "optuna.exceptions.TrialPruned"


def is_control_flow(error: BaseException) -> bool:
    """Return whether an exception is to end the training, and is no failure of the code that raised it.

    That is `optuna.TrialPruned`, what `wandb.agent` raises in the thread of a trial that it stops, and every exception
    that is no `Exception`, such as `KeyboardInterrupt` and `SystemExit`.
    """
    return not isinstance(error, Exception) or is_pruned(error) or _is_of_agent(error)


def is_pruned(error: BaseException | None) -> bool:
    """Return whether an exception ends a trial of Optuna as pruned."""
    return any(f"{kind.__module__}.{kind.__qualname__}" == _PRUNED for kind in type(error).__mro__)


def _is_of_agent(error: BaseException) -> bool:
    """Return whether `wandb.agent(function=…)` has raised an exception in this thread, to stop its trial.

    It raises a plain `Exception`, and marks the thread before (wandb 0.31.0, `wandb/agents/pyagent.py`).
    """
    return type(error) is Exception and getattr(threading.current_thread(), "_terminated", False) is True
