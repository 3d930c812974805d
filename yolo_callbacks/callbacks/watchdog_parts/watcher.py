"""Watch a rank from a thread, and the other ranks through their store."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from time import monotonic

from yolo_callbacks.callbacks.watchdog_parts.heartbeat import Beat, Heartbeat
from yolo_callbacks.callbacks.watchdog_parts.lookout import Finding, Lookout
from yolo_callbacks.callbacks.watchdog_parts.stacks import StackFile, innermost_calls
from yolo_callbacks.trainer.rank_store import RankStore, StoreLostError
from yolo_callbacks.utils.files import LOGGER

__all__ = ["RankWatcher", "WatchRules"]

_LOOKS = 20  # in the time after which a rank is stuck
_SHORTEST, _LONGEST = 0.05, 5.0  # seconds between two looks
_JOIN = 2.0  # seconds that the end of a training waits for the thread
_GRACE = 30.0  # seconds from SIGTERM to the end of the process, as torchrun


class WatchRules:
    """What counts as wrong, and what is done then.

    Args:
        timeout: The seconds without progress from which on a rank is stuck.
        slow: How many times the median of the others makes a rank slow; None for no such finding.
        end: Whether the training is ended where a rank is stuck.
    """

    def __init__(self, timeout: float, slow: float | None, *, end: bool) -> None:
        self.timeout, self.slow, self.end = timeout, slow, end

    @property
    def interval(self) -> float:
        """The seconds between two looks."""
        return min(_LONGEST, max(_SHORTEST, self.timeout / _LOOKS))


class RankWatcher:
    """Watch the training thread of this rank; on rank 0, judge all ranks.

    A rank that has no store, or has lost it, watches itself.

    Args:
        rank: The number of this process.
        ranks: The number of processes.
        heartbeat: The progress of this rank.
        rules: What counts as wrong.
        stacks: The file of the stacks of this rank; None where it could not be opened.
        address: Returns the address of the store; None where there is none yet.
        report: Called with each finding, in the thread that watches.
    """

    def __init__(
        self,
        rank: int,
        ranks: int,
        heartbeat: Heartbeat,
        rules: WatchRules,
        stacks: StackFile | None,
        address: Callable[[], tuple[str, int] | None],
        report: Callable[[Finding], None],
    ) -> None:
        self._rank, self._ranks, self._heartbeat = rank, ranks, heartbeat
        self._rules, self._stacks, self._address, self._report = rules, stacks, address, report
        self._closed = threading.Event()
        start = monotonic()
        self._lookout = Lookout(range(ranks), rules.timeout, rules.slow, start)
        self._alone = Lookout([rank], rules.timeout, None, start)
        self._store: RankStore | None = None
        self._lost = False
        self._asked = ""
        self._number = 0
        self._ending = False
        self._thread = threading.Thread(target=self._work, name="yolo-callbacks-watchdog", daemon=True)

    def start(self) -> None:
        """Start to watch."""
        self._thread.start()

    def close(self) -> None:
        """Stop to watch, and tell the others that this rank has left the training."""
        self._closed.set()
        self._thread.join(_JOIN)
        if self._stacks is not None and not self._thread.is_alive():
            self._stacks.close()
            self._stacks = None

    def _work(self) -> None:
        try:
            while not self._closed.wait(self._rules.interval):
                if self._stacks is not None:  # where no thread runs any more, nobody sets the clock again
                    self._stacks.arm(self._rules.timeout + self._rules.interval)
                self._look(left=False)
            self._look(left=True)
        except Exception as error:  # of a thread nobody else would hear
            LOGGER.error("RankWatchdog failed, and watches this rank no longer", exc_info=error)

    def _look(self, *, left: bool) -> None:
        beat = self._beat(left=left)
        try:
            store = self._connected()
            if store is not None:
                self._exchange(store, beat)
                return
        except StoreLostError as error:
            self._lost, self._store = True, None
            LOGGER.debug(f"RankWatchdog: rank 0 cannot be reached: {error}")
        if not left:
            self._look_alone(beat)

    def _beat(self, *, left: bool) -> Beat:
        place, since = self._heartbeat.state
        idle = monotonic() - since
        self._number += 1
        stack = innermost_calls(self._heartbeat.thread) if idle >= self._rules.timeout / 2 else ()
        return Beat(place, idle, self._heartbeat.times, left, stack=stack, number=self._number)

    def _connected(self) -> RankStore | None:
        if self._store is None and not self._lost:
            address = self._address()
            self._store = RankStore(address) if address is not None else None
        return self._store

    def _exchange(self, store: RankStore, beat: Beat) -> None:
        """Tell how this rank goes on, and do what rank 0 asks for."""
        store.put(f"beat/{self._rank}", beat.to_text())
        if self._rank == 0:
            self._judge(store, beat)
        ends = store.get("end") is not None  # before the stacks, which rank 0 asks for first
        asked = store.get(f"stacks/{self._rank}") or ""
        if asked != self._asked:
            self._asked = asked
            self._write_stacks(beat)
        if ends and not beat.left:
            self._end_process()

    def _judge(self, store: RankStore, own: Beat) -> None:
        now = monotonic()
        self._lookout.hear(0, own, now)
        for rank in range(1, self._ranks):
            if (text := store.get(f"beat/{rank}")) is not None:
                self._lookout.hear(rank, Beat.of(text), now)
        self._say_recovered(self._lookout, now)
        for finding in self._lookout.find_slow():
            self._report(finding)
        if own.left:
            return
        stuck = self._lookout.find_stuck(now)
        for finding in stuck:
            for rank in finding.stacks:
                store.put(f"stacks/{rank}", str(self._number))
            self._report(finding)
        if stuck and self._rules.end:
            store.put("end", "")

    def _look_alone(self, beat: Beat) -> None:
        """Judge this rank only."""
        now = monotonic()
        self._alone.hear(self._rank, beat, now)
        self._say_recovered(self._alone, now)
        for finding in self._alone.find_stuck(now):
            self._write_stacks(beat)
            self._report(finding)
            if self._rules.end:
                self._end_process()

    def _say_recovered(self, lookout: Lookout, now: float) -> None:
        for line in lookout.find_recovered(now):
            LOGGER.info(f"RankWatchdog: {line}")

    def _write_stacks(self, beat: Beat) -> None:
        if self._stacks is not None:
            self._stacks.write(f"rank {self._rank} of {self._ranks} ({beat.process}): {beat.place.words()}")

    def _end_process(self) -> None:
        """End this process as a scheduler does. The training thread may be in a call that no signal ends."""
        if self._ending:
            return
        self._ending = True
        LOGGER.error("RankWatchdog ends the training" + (" on every rank" if self._ranks > 1 else ""))
        os.kill(os.getpid(), signal.SIGTERM)
        if not self._closed.wait(_GRACE):
            os._exit(128 + signal.SIGTERM)
