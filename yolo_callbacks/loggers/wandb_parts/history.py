"""Log the rows of W&B's history: one for each epoch and one for the final evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from yolo_callbacks.loggers.wandb_parts.session import WandbSession
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.scalars import epoch_scalars, final_scalars

__all__ = ["History"]

Media = Callable[[], Mapping[str, Any]]

# The value that W&B keeps in the run's summary, by the first part of a key, beside the last value.
_BEST = {"metrics": "max", "per_class": "max", "fitness": "max", "train": "min", "val": "min"}


class History:
    """Log each epoch once: Ultralytics trains one again after a NaN or an out-of-memory error.

    Args:
        images: Whether rows have validation images.

    Attributes:
        logged_epoch: The last epoch that was logged.
        last: Its record, None before the first epoch of this process.
    """

    def __init__(self, *, images: bool) -> None:
        self.logged_epoch = 0
        self.last: EpochRecord | None = None
        self._defined: set[str] = set()
        self._shown = ("validation",) if images else ()

    def past_rows(self, session: WandbSession, records: Iterable[EpochRecord]) -> list[dict[str, Any]]:
        """Return the rows of the epochs that a resumed run has completed, for the session to log those that are lost.

        What was handed to wandb a moment before a kill may or may not have reached its file.
        """
        rows = [self._epoch_row(session, record) for record in records]
        self.logged_epoch = max((row["epoch"] for row in rows), default=self.logged_epoch)
        return rows

    def is_new(self, record: EpochRecord) -> bool:
        """Return whether the epoch of a record was not logged before."""
        return record.epoch > self.logged_epoch

    def log_epoch(self, session: WandbSession, record: EpochRecord, images: Media | None) -> None:
        """Log an epoch.

        Args:
            session: The session of the run.
            record: The epoch.
            images: Makes the images of the row.
        """
        self.logged_epoch, self.last = record.epoch, record
        session.log(self._epoch_row(session, record), images)

    def log_final(self, session: WandbSession, record: EpochRecord, images: Media | None) -> None:
        """Log the final evaluation, as a row and in the summary of the run."""
        final = final_scalars(record)
        session.call("the final evaluation", lambda run: run.summary.update(final))
        session.log(final, images)

    def _epoch_row(self, session: WandbSession, record: EpochRecord) -> dict[str, Any]:
        scalars = epoch_scalars(record)
        for prefix in sorted({*self._shown, *(key.partition("/")[0] for key in scalars)} - self._defined):
            self._define(session, prefix)
        return {**scalars, "epoch": record.epoch}

    def _define(self, session: WandbSession, prefix: str) -> None:
        """Define the axis of the keys of a prefix, and the best value that the summary keeps."""
        self._defined.add(prefix)
        best = _BEST.get(prefix)
        name = prefix if prefix == "fitness" else f"{prefix}/*"
        session.define(name, "epoch", f"{best},last" if best else None)
