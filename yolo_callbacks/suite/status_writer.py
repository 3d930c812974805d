"""Keep the status of a run up to date in a file, from a thread: with a heartbeat, also within a long epoch."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yolo_callbacks.callbacks.monitor_parts.best import best_of
from yolo_callbacks.decisions.run_health import ended_state
from yolo_callbacks.decisions.training_speed import EpochTime, TimeLeft
from yolo_callbacks.decisions.untrained import detects_nothing
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.state.status_file import moment, pid_namespace, process_start, write_status
from yolo_callbacks.suite.guarded_callback import GuardedCallback
from yolo_callbacks.trainer.supervision import EventCount
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.version import __version__

__all__ = ["Heartbeat", "StatusWriter"]

INTERVAL = 10.0
"""The seconds between two heartbeats."""

_LEAST = 1.0  # the seconds between two changes in the file
_PATIENCE = 2.0  # the seconds that the end of a run waits for the last write


class Heartbeat:
    """Write a status in a thread: when it has changed, at most once a second, and otherwise once in an interval.

    A write that fails is tried again with the next one: nobody who trains waits for this file.

    Args:
        folder: The run's folder.
        content: The status; changed by `update`.
        events: Counts the events of the training: a change is progress.
        owner: Where this object is freed without `close`, the thread ends too. Defaults to `None`.
        interval: The seconds between two heartbeats. Defaults to `INTERVAL`.
        least: The least seconds between two writes. Defaults to `1.0`.
    """

    def __init__(
        self,
        folder: Path,
        content: dict[str, Any],
        events: EventCount,
        *,
        owner: object = None,
        interval: float = INTERVAL,
        least: float = _LEAST,
    ) -> None:
        self._events = events
        self._owner = (lambda: True) if owner is None else weakref.ref(owner)
        self._folder, self._content, self._interval, self._least = folder, content, interval, least
        self._ends_at: float | None = None
        self._changed = threading.Condition()
        self._dirty, self._closed = True, False
        self._seen, self._progress = 0, time.time()
        self._idle = self._longest = 0.0  # seconds without progress: so far, and the longest that went on
        self._thread = threading.Thread(target=self._work, name="yolo-callbacks-status", daemon=True)
        self._thread.start()

    def update(self, content: Mapping[str, Any], *, seconds_left: float | None = None) -> None:
        """Change the status; the thread writes it."""
        with self._changed:
            self._content |= content
            if seconds_left is not None:
                self._ends_at = time.monotonic() + seconds_left
            self._dirty = True
            self._changed.notify_all()

    def close(self) -> None:
        """Write the last status, and end the thread. A disk that hangs is not waited for."""
        with self._changed:
            self._dirty = self._closed = True
            self._changed.notify_all()
        self._thread.join(_PATIENCE)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._dirty or self._closed, self._interval)
                closed, self._dirty = self._closed, False
                content = self._beat()
            with contextlib.suppress(OSError, ValueError):  # the next one may succeed
                write_status(self._folder, content)
            if closed or self._owner() is None:
                return
            with self._changed:
                self._changed.wait_for(lambda: self._closed, self._least)

    def _beat(self) -> dict[str, Any]:
        """Return the status of this moment."""
        now = time.time()
        if self._seen != self._events.number:
            self._seen, self._progress = self._events.number, now
            self._longest, self._idle = max(self._longest, self._idle), 0.0
        elif self._content["state"] == "training":  # no event in a validation
            self._idle = now - self._progress
        left = None if self._ends_at is None else round(max(self._ends_at - time.monotonic(), 0.0), 1)
        return {
            **self._content,
            "seconds_left": left,
            "heartbeat": moment(now),
            "progress": moment(self._progress),
            "longest_idle": round(self._longest, 1),
            "interval": self._interval,
        }


class StatusWriter:
    """Follow one run, on rank 0, and keep its status.json up to date.

    Args:
        run: The training.
        members: Its callbacks: the first one with a best value says what the best epoch is.
        past: The records of the epochs before a resume.
    """

    def __init__(self, run: TrainingRun, members: Sequence[GuardedCallback], past: Sequence[EpochRecord]) -> None:
        self._run, self._members = run, members
        self._remaining, self._epoch_end = TimeLeft(), time.monotonic()
        self._fitness: tuple[float, int] | None = None
        for record in past:
            self._compare(record)
        started = moment(time.time())
        self.heartbeat = Heartbeat(
            run.save_dir,
            {
                "state": "starting",
                "reason": "",
                "epoch": run.completed_epochs,
                "epochs": run.planned_epochs,
                "best": self._best(),
                "started": started,
                "pid": os.getpid(),
                "process_start": moment(process_start()),
                "host": socket.gethostname(),
                "pid_namespace": pid_namespace(),
                "version": __version__,
            },
            run.supervision.events,
            owner=run,
        )

    def training(self) -> None:
        """Note that the batches of an epoch start."""
        self.heartbeat.update({"state": "training", "epoch": self._run.epoch, "epochs": self._run.planned_epochs})

    def validating(self) -> None:
        """Note that a validation starts."""
        self.heartbeat.update({"state": "evaluating" if self._run.final else "validating"})

    def epoch_done(self, record: EpochRecord) -> None:
        """Note the end of an epoch."""
        now = time.monotonic()
        whole, self._epoch_end = now - self._epoch_end, now
        self._remaining.add(EpochTime(whole, whole, 0.0, 0.0, 0), validated=False)
        self._compare(record)
        run = self._run
        epochs = 0 if run.stopping else max(run.planned_epochs - record.epoch, 0)
        self.heartbeat.update(
            {"epoch": record.epoch, "epochs": run.planned_epochs, "best": self._best()},
            seconds_left=self._remaining.seconds(epochs, limit=run.time_limit),
        )

    def close(self, status: str, stopped_by: str, epochs: int) -> None:
        """Write how the run has ended."""
        state, reason = ended_state(status, stopped_by)
        self.heartbeat.update(
            {"state": state, "reason": reason, "epoch": epochs, "best": self._best()}, seconds_left=0.0
        )
        self.heartbeat.close()

    def _compare(self, record: EpochRecord) -> None:
        """Take the epoch of a record as the best one where it detects something, and its fitness is better."""
        fitness = record.metrics.get("fitness", math.nan)
        if not record.validated or detects_nothing(record.metrics) or not math.isfinite(fitness):
            return
        if self._fitness is None or fitness > self._fitness[0]:
            self._fitness = (fitness, record.epoch)

    def _best(self) -> dict[str, Any] | None:
        best = best_of(member.callback for member in self._members)
        if best is not None:
            return best._asdict()
        if self._fitness is None:
            return None
        return {"monitor": "fitness", "value": self._fitness[0], "epoch": self._fitness[1]}
