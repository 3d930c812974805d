"""Send rows to a W&B run; for a resumed run first the rows that a kill has lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.loggers.logger_parts.news import News
from yolo_callbacks.loggers.wandb_parts.file import RowKey, logged_rows, row_key
from yolo_callbacks.loggers.wandb_parts.kept_rows import KeptRows
from yolo_callbacks.loggers.wandb_parts.session_run import SessionRun
from yolo_callbacks.utils.files import LOGGER

__all__ = ["Sender", "rows_in"]


class Sender:
    """Call wandb for a run; an error is a warning, and the next call is made.

    Args:
        run: The run.
        rows: The rows that the session keeps.
        news: Where warnings go.
    """

    def __init__(self, run: SessionRun, rows: KeptRows, news: News) -> None:
        self._run = run
        self._rows = rows
        self._news = news

    def replay(self) -> None:
        """Log those rows of the past that a kill has lost."""
        if not self._run.owned or not (self._run.earlier_folders or self._rows.past):
            return
        self._rows.logged = self._find_logged_rows()
        again = self._rows.logged_later()
        if again is not None:
            epochs = "epoch {}" if again[0] == again[1] else "epochs {} to {}"
            self._news.warning(
                f"the run has rows of {epochs.format(*dict.fromkeys(again))} already, which are trained again, since "
                "the training goes on from an older copy. These rows keep their values: W&B cannot change a row"
            )
        for row in self._rows.take_past():
            self.log(row)

    def log(self, row: Mapping[str, Any], media: Callable[[], Mapping[str, Any]] | None = None) -> None:
        """Log a row that no earlier part of the run has logged.

        Args:
            row: Its plain values.
            media: Makes the images of the row.
        """
        if self._rows.is_logged(row):
            return
        made = media() if media is not None else {}
        key = row_key(row)
        if key is not None and key[0] == "epoch":
            self._rows.log_final_again()
        self.call("a row", lambda run: run.log({**row, **made}))

    def call(self, what: str, function: Callable[[Any], object]) -> None:
        """Call a function with the run."""
        try:
            function(self._run.wandb_run)
        except Exception as error:
            self._news.warn_of(error, f"{what} could not be logged")

    def _find_logged_rows(self) -> set[RowKey]:
        """Return the rows of a resumed run that the server has, or that the folders of an offline run have."""
        try:
            if self._run.offline:
                return rows_in(self._run.earlier_folders)
            summary = self._run.wandb_run.summary
            self._rows.logged_batch = int(summary.get("batch/step", 0))
            return _rows_of_summary(summary)
        except Exception as error:  # a file of another version of wandb, or a summary without an epoch
            LOGGER.debug(f"W&B: the rows that were logged before are not known: {error!r}")
            return KeptRows.keys_of(self._rows.past)  # a row may be lost then, but none is logged twice


def rows_in(folders: Iterable[str]) -> set[RowKey]:
    """Return the rows that the files of a run's folders have.

    Raises:
        Exception: If a file cannot be read, such as one of another version of wandb.
    """
    return set().union(*(logged_rows(Path(folder)) for folder in folders))


def _rows_of_summary(summary: Any) -> set[RowKey]:
    """Return the rows that the server has of a run: rows arrive in order, so that the last epoch names all."""
    epochs = {("epoch", epoch) for epoch in range(1, int(summary["epoch"]) + 1)}
    # the summary of wandb has `keys`, but cannot be iterated
    final = any(str(key).startswith("final/") for key in summary.keys())  # noqa: SIM118
    return epochs | ({("final", 0)} if final else set())
