"""Keep the rows of a W&B run until its end: wandb may lose them by a kill, a full disk or a frozen process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from yolo_callbacks.loggers.wandb_parts.file import RowKey, row_key

__all__ = ["MAX_BATCH_ROWS", "Definition", "KeptRows"]

# Rows of batches that are kept, or that may wait for wandb; rows of epochs are all kept.
MAX_BATCH_ROWS = 10_000


class Definition(NamedTuple):
    """The arguments of one call of `define_metric`."""

    name: str
    step_metric: str
    summary: str | None


class KeptRows:
    """Keep the rows of a run, and know which ones are logged already.

    Attributes:
        definitions: The definitions of metrics, which a new file of the run needs too.
        past: Rows of the epochs that a resumed run has completed, until `take_past`.
        logged: Rows that an earlier part of a resumed run has logged.
        logged_batch: The last batch whose row the server has; those of all batches before it are there too.
    """

    def __init__(self) -> None:
        self.definitions: list[Definition] = []
        self.past: list[dict[str, Any]] = []
        self.logged: set[RowKey] = set()
        self.logged_batch = 0
        self._rows: list[dict[str, Any]] = []  # of epochs, and of the final evaluation
        self._batch_rows: deque[dict[str, Any]] = deque(maxlen=MAX_BATCH_ROWS)

    def keep(self, row: dict[str, Any]) -> None:
        """Keep a row; one without a key, which no file can be searched for, is not kept."""
        key = row_key(row)
        if key is not None:
            (self._batch_rows if key[0] == "batch" else self._rows).append(row)

    def take_past(self) -> list[dict[str, Any]]:
        """Move the rows of the past to the kept ones, and return them."""
        past, self.past = self.past, []
        self._rows[:0] = past
        return past

    def is_logged(self, row: Mapping[str, Any]) -> bool:
        """Return whether an earlier part of the run has logged a row."""
        key = row_key(row)
        return key in self.logged or (key is not None and key[0] == "batch" and key[1] <= self.logged_batch)

    def logged_later(self) -> tuple[int, int] | None:
        """Return the first and the last epoch that are logged and that the run trains again; None if there is none.

        A run may go on from a copy that is older than its rows. W&B can neither change nor remove a row. To rewind the
        run, by `resume_from` of wandb 0.31.0, is a preview of some servers, and not for metrics with their own axis.
        """
        completed = max((row["epoch"] for row in self.past), default=0)
        logged = max((epoch for kind, epoch in self.logged if kind == "epoch"), default=0)
        return (completed + 1, logged) if 0 < completed < logged else None

    def log_final_again(self) -> None:
        """Log the final evaluation once more: an extended run has another one than before."""
        self.logged.discard(("final", 0))

    def unlogged(self) -> list[dict[str, Any]]:
        """Return the kept rows that no earlier part of the run has logged."""
        return [row for row in (*self._batch_rows, *self._rows) if not self.is_logged(row)]

    @staticmethod
    def keys_of(rows: Iterable[Mapping[str, Any]]) -> set[RowKey]:
        """Return the keys of rows."""
        return {key for row in rows if (key := row_key(row)) is not None}
