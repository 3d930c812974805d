"""Copy snapshots to a store in a thread, so that training never waits for the store."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from yolo_callbacks.callbacks.mirror_parts.snapshot import Snapshot
from yolo_callbacks.state.mirror_store import MirrorStore

__all__ = ["DELAYS", "Uploader"]

DELAYS = (1.0, 2.0, 4.0, 8.0)
"""The seconds before each further attempt."""


class _ClosedError(Exception):
    """The run is over, and its time to finish too."""


class Uploader:
    """Copy one snapshot at a time. One more can wait: a newer one replaces it.

    The thread lives while there is work, and does not keep the process alive.

    Args:
        store: The store.
        key: The key of the run.
        delays: The seconds before each further attempt. Defaults to `None`, which is `DELAYS`.

    Attributes:
        copied_epochs: The epoch of each copy that is complete, in their order.
        failed_epochs: The epochs that could not be copied.
        error: The last exception of the store; None if there was none.
    """

    def __init__(self, store: MirrorStore, key: str, delays: Sequence[float] | None = None) -> None:
        self._store, self._key, self._delays = store, key, DELAYS if delays is None else delays
        self._changed = threading.Condition()
        self._waiting: Snapshot | None = None
        self._running = self._closed = False
        self.copied_epochs: list[int] = []
        self.failed_epochs: list[int] = []
        self.error: Exception | None = None

    def submit(self, snapshot: Snapshot) -> None:
        """Copy a snapshot to the store later, and remove it then. It replaces one that waits."""
        with self._changed:
            replaced, self._waiting = self._waiting, snapshot
            starts, self._running = not self._running, True
            self._changed.notify_all()
        if replaced is not None:
            replaced.remove()
        if starts:
            threading.Thread(target=self._work, name="yolo-callbacks-mirror", daemon=True).start()

    def fail(self, epoch: int, error: Exception) -> None:
        """Note that an epoch could not be copied."""
        with self._changed:
            self.failed_epochs.append(epoch)
            self.error = error

    def wait(self, seconds: float) -> bool:
        """Return whether all work was done before the seconds have passed; the work goes on otherwise."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, max(0.0, seconds))

    def close(self) -> None:
        """Give up what is not done. A copy that is cut short does not count in the store."""
        with self._changed:
            self._closed = True
            waiting, self._waiting = self._waiting, None
            self._changed.notify_all()
        if waiting is not None:
            waiting.remove()

    def _work(self) -> None:
        while True:
            with self._changed:
                snapshot, self._waiting = self._waiting, None
                if snapshot is None:
                    self._running = False
                    self._changed.notify_all()
                    return
            try:
                self._copy(snapshot)
            finally:
                snapshot.remove()

    def _copy(self, snapshot: Snapshot) -> None:
        """Copy a snapshot, with further attempts, until a newer one waits or the run is over."""
        for delay in (*self._delays, None):
            try:
                self._store.write(
                    snapshot.folder,
                    key=self._key,
                    epoch=snapshot.epoch,
                    finished=snapshot.finished,
                    check=self._check,
                )
            except _ClosedError:
                return
            except Exception as error:  # a file system of fsspec may raise anything
                if delay is None or self._is_overtaken(delay):
                    self.fail(snapshot.epoch, error)
                    return
            else:
                with self._changed:
                    self.copied_epochs.append(snapshot.epoch)
                return

    def _is_overtaken(self, delay: float) -> bool:
        """Return after a delay, or once a further attempt makes no sense, whether that is the case."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed or self._waiting is not None, delay)

    def _check(self) -> None:
        if self._closed:
            raise _ClosedError
