"""Notice what goes wrong in a training that goes on: a NaN, and memory that runs out."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Mishaps"]


class Mishaps:
    """Notice that an epoch is trained again, or has values that are no numbers.

    Ultralytics repeats an epoch after a NaN, from last.pt, and the first epoch after an out-of-memory error, with
    smaller batches.
    """

    def __init__(self) -> None:
        self._trained_epoch = self._batch_size = 0
        self._broken: set[str] = set()

    def start_epoch(self, epoch: int, batch_size: int) -> tuple[str, str] | None:
        """Return the kind of a mishap, `"nan"` or `"oom"`, and a description; None where the epoch starts as it should.

        Args:
            epoch: The epoch, counted from 1.
            batch_size: Its batch size.
        """
        before, self._batch_size = self._batch_size, batch_size
        if epoch == self._trained_epoch:
            return "nan", f"epoch {epoch} is trained again, from the checkpoint before it"
        if batch_size < before:
            return "oom", f"epoch {epoch} starts again with a batch size of {batch_size} instead of {before}"
        return None

    def end_batches(self, epoch: int) -> None:
        """Note that all batches of an epoch were trained."""
        self._trained_epoch = epoch

    def of_metrics(self, epoch: int, metrics: Mapping[str, float]) -> tuple[str, str] | None:
        """Return the kind and a description where metrics have become NaN; None where none has.

        A metric without a value, such as one of an absent class, is NaN in every epoch.
        """
        new = [key for key, value in metrics.items() if value != value and key not in self._broken]
        numbers = {key for key, value in metrics.items() if value == value}
        self._broken = self._broken.union(new) - numbers
        return ("nan", f"epoch {epoch}: {', '.join(new)} is no number") if new else None
