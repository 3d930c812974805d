"""Note how far a rank has come, at the cost of an attribute for each event."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from yolo_callbacks.decisions.rank_progress import BatchTimes, Part, Place
from yolo_callbacks.utils.files import parse_json, to_json

__all__ = ["Beat", "Heartbeat"]

_EPOCHS = 10  # more than end between two looks of the thread


class Heartbeat:
    """Note how far this rank has come: the training thread writes it, a thread that watches reads it.

    Attributes:
        thread: The identifier of the training thread.
        state: The place, and the time at which the rank came there, as `time.monotonic()`.
        times: The last epochs, each with the times of its batches.
    """

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.state = (Place(), monotonic())
        self.times: tuple[tuple[int, BatchTimes], ...] = ()
        self._epoch, self._batches = 0, 0
        self._started = self._stepped = self._own = 0.0

    def start_epoch(self, epoch: int) -> None:
        """Note the start of an epoch, or of its repetition."""
        now = monotonic()
        self._epoch, self._batches = epoch, 0
        self._started = self._stepped = now
        self._own = 0.0
        self.state = (Place(epoch, Part.TRAINING), now)

    def start_step(self) -> None:
        """Note that a batch is there, and its step begins."""
        now = monotonic()
        self._own += now - self._stepped
        self.state = (Place(self._epoch, Part.TRAINING, 2 * self._batches + 1), now)

    def end_step(self) -> None:
        """Note that the step of a batch is over."""
        now = self._stepped = monotonic()
        self._batches += 1
        self.state = (Place(self._epoch, Part.TRAINING, 2 * self._batches), now)

    def end_batches(self) -> None:
        """Note that the epoch has no further batch."""
        if self._batches:
            now = monotonic()
            own = self._own + now - self._stepped  # in the callbacks after the last batch
            times = BatchTimes(own / self._batches, (now - self._started) / self._batches, self._batches)
            self.times = (*self.times, (self._epoch, times))[-_EPOCHS:]
        self.reach(Part.TRAINED)

    def reach(self, part: Part) -> None:
        """Note that a part of the epoch begins."""
        self.state = (Place(self._epoch, part), monotonic())

    def end_validation_batch(self) -> None:
        """Note that a batch of a validation is complete."""
        place = self.state[0]
        self.state = (place._replace(batch=place.batch + 1), monotonic())


@dataclass(frozen=True)
class Beat:
    """Hold what a rank sends to the others.

    Attributes:
        place: Where it is.
        idle: The seconds since it came there.
        times: The last epochs, each with the times of its batches.
        left: Whether it has left the training.
        host: The name of its machine.
        pid: The id of its process.
        stack: The innermost calls of its training thread, for a rank that makes no progress.
        number: The number of the beat, so that no two are equal.
    """

    place: Place
    idle: float
    times: tuple[tuple[int, BatchTimes], ...] = ()
    left: bool = False
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    stack: tuple[str, ...] = ()
    number: int = 0

    def to_text(self) -> str:
        """Return it as text for the store."""
        return to_json(vars(self))

    @classmethod
    def of(cls, text: str) -> Beat:
        """Return the beat that `to_text` has made a text of."""
        content: Mapping[str, Any] = parse_json(text)
        epoch, part, batch = content["place"]
        return cls(
            **{
                **content,
                "place": Place(epoch, Part(part), batch),
                "times": tuple((number, BatchTimes(*each)) for number, each in content["times"]),
                "stack": tuple(content["stack"]),
            }
        )

    @property
    def process(self) -> str:
        """The process, for messages."""
        return f"{self.host}, process {self.pid}"
