"""Write the line about an MLflow run in the table at the end: where it is, and what did not arrive."""

from __future__ import annotations

from collections.abc import Iterable

from yolo_callbacks.loggers.mlflow_parts.outbox import Task

__all__ = ["Outcome"]

_MOST = 6  # names of what did not arrive, where nothing did


class Outcome:
    """Collect what did not arrive, and write the line.

    Each change is one operation on a dictionary: a thread that was left behind may still make one.

    Attributes:
        place: Where the run is; None as long as it is not open.
        notes: What else the user has to know.
    """

    def __init__(self) -> None:
        self.place: str | None = None
        self.notes: list[str] = []
        self._missing: dict[str, None] = {}
        self._epochs: dict[int, None] = {}

    def add_missing(self, *names: str) -> None:
        """Name things that have not arrived."""
        self._missing.update(dict.fromkeys(names))

    def add_arrived(self, name: str) -> None:
        """Name something as missing no longer."""
        self._missing.pop(name, None)

    def add_lost(self, tasks: Iterable[Task]) -> None:
        """Name tasks that were given up."""
        for task in tasks:
            if task.epoch is None:
                self._missing[task.what] = None
            else:
                self._epochs[task.epoch] = None

    @property
    def missing(self) -> list[str]:
        """What has not arrived, the rows first."""
        rows = [f"rows of {_in_words(sorted(self._epochs))}"] if self._epochs else []
        return [*rows, *self._missing]

    def text(self) -> str:
        """Return the line."""
        missing = self.missing
        parts = [f"not logged: {', '.join(missing)}"] if missing else []
        if self.place is None and len(missing) > _MOST:  # the list of all files of a run says nothing more
            parts = [f"nothing arrived: {len(missing)} items, first {missing[0]}"]
        parts += self.notes
        return "; ".join([*parts, self.place or "no run was opened"])


def _in_words(epochs: list[int]) -> str:
    """Return numbers of epochs with ranges in place of neighbours."""
    ranges: list[list[int]] = []
    for epoch in epochs:
        if ranges and epoch == ranges[-1][-1] + 1:
            ranges[-1][1:] = [epoch]
        else:
            ranges.append([epoch])
    shown = ", ".join("-".join(map(str, each)) for each in ranges)
    return f"epoch {shown}" if len(epochs) == 1 else f"epochs {shown}"
