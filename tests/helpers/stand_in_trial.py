"""A trial of Optuna as callbacks use it, for tests of all callbacks alike; and every callback of the package."""

from __future__ import annotations

from typing import Any

from stand_in_export import stand_in


class StandInTrial:
    """Take every report, and prune nothing. It can be pickled and copied."""

    def report(self, value: float, step: int) -> None:
        """Do nothing."""

    def should_prune(self) -> bool:
        """Return that nothing is pruned."""
        return False

    def suggest_float(self, name: str, low: float, high: float) -> float:
        """Return the lower bound."""
        return low


def made(kind: type) -> Any:
    """Return a callback of a class with the arguments that it needs."""
    needed: dict[str, Any] = {
        "Deadline": "1000h",
        "LearningRateSchedule": "constant",
        "Mirror": "memory://mirror",
        "Notify": "json://127.0.0.1:9/nobody-listens",
        "OptunaPruning": StandInTrial(),
        "Unfreeze": {0: "all"},
        "ValidateEvery": 1,
    }
    if kind.__name__ == "ExportBest":
        return stand_in(kind(trials=True))
    return kind(needed[kind.__name__]) if kind.__name__ in needed else kind()
