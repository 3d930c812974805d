"""Send alerts of a W&B run: NaN, an out-of-memory error, an early stop, and the end of the training."""

from __future__ import annotations

from yolo_callbacks.loggers.wandb_parts.session import WandbSession
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.utils.memory import is_out_of_memory
from yolo_callbacks.utils.origins import Origins

__all__ = ["Alerts"]


class Alerts:
    """Send alerts of what happens in a training.

    Args:
        enabled: Whether to send them.
    """

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._trained_epoch = 0
        self._batch_size = 0

    def on_epoch_start(self, session: WandbSession, epoch: int, batch_size: int) -> None:
        """Send an alert if the epoch is trained again.

        Ultralytics repeats an epoch after a NaN, from last.pt. It repeats the first epoch after an out-of-memory error,
        with smaller batches.
        """
        if epoch == self._trained_epoch:
            self._send(session, "NaN", f"epoch {epoch} is trained again, from the checkpoint before it", "WARN")
        elif batch_size < self._batch_size:
            sizes = f"batch size {self._batch_size} to {batch_size}"
            self._send(session, "Out of memory", f"{sizes}, epoch {epoch} starts again", "WARN")
        self._batch_size = batch_size

    def on_epoch_trained(self, epoch: int) -> None:
        """Remember that all batches of an epoch were trained."""
        self._trained_epoch = epoch

    def on_epoch(self, session: WandbSession, record: EpochRecord, *, stopping: bool) -> None:
        """Send an alert for metrics that are NaN, and for a training that stops before its last epoch."""
        not_numbers = [key for key, value in record.metrics.items() if value != value]  # NaN is not equal to itself
        if not_numbers:
            self._send(session, "NaN", f"epoch {record.epoch}: {', '.join(not_numbers)}", "WARN")
        if stopping and record.epoch < record.epochs:
            self._send(session, "Training stops", f"with epoch {record.epoch} of {record.epochs}", "INFO")

    def on_end(self, session: WandbSession, failure: BaseException | None) -> None:
        """Send an alert for the end of the training."""
        title = "Out of memory" if is_out_of_memory(failure) else "Training ended"
        if failure is None:
            self._send(session, title, "finished", "INFO")
        else:
            self._send(session, title, f"failed: {Origins().described(failure)}", "ERROR")

    def _send(self, session: WandbSession, title: str, text: str, level: str) -> None:
        if self._enabled:
            session.call("an alert", lambda run: run.alert(title=title, text=text, level=level))
