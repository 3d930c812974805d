"""Measure how long a training takes, and how much of that its callbacks take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

__all__ = ["Clock", "EpochShare"]


class EpochShare:
    """Find how much of a growing number of seconds was spent in epochs; the rest is spent once a run.

    Attributes:
        epochs: How many epochs were counted.
        seconds: The seconds of all these epochs.
    """

    def __init__(self) -> None:
        self.epochs, self.seconds = 0, 0.0
        self._before: float | None = None

    def begin(self, seconds: float) -> None:
        """Start to count: the first epoch follows."""
        self._before = seconds

    def end_epoch(self, seconds: float) -> None:
        """Count an epoch."""
        if self._before is not None:
            self.epochs += 1
            self.seconds = seconds - self._before


class Clock:
    """Measure one run.

    Attributes:
        earlier: The seconds of training before this process resumed the run.
        epoch_share: How much of the time in callbacks was spent in epochs.
    """

    def __init__(self) -> None:
        self.earlier = 0.0
        self.epoch_share = EpochShare()
        self._started: float | None = None
        self._in_callbacks = 0.0
        self._event_started: float | None = None

    def start(self) -> None:
        """Start the time of the training."""
        self._started = perf_counter()

    @property
    def running(self) -> bool:
        """Whether the training has started."""
        return self._started is not None

    @property
    def seconds(self) -> float:
        """The seconds since the training started in this process."""
        return 0.0 if self._started is None else perf_counter() - self._started

    @property
    def total(self) -> float:
        """The seconds of training of the run, with those before it was resumed."""
        return self.earlier + self.seconds

    @property
    def seconds_in_callbacks(self) -> float:
        """How much of that was spent in the suite and its callbacks, the event in progress included."""
        return self._in_callbacks + (0.0 if self._event_started is None else perf_counter() - self._event_started)

    @contextmanager
    def event(self) -> Iterator[None]:
        """Count the time of a block; a block inside another one is counted once."""
        if self._event_started is not None:
            yield
            return
        self._event_started = perf_counter()
        try:
            yield
        finally:
            self._in_callbacks += perf_counter() - self._event_started
            self._event_started = None
