"""Agree with the other ranks on the batch after which all of them leave the training."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from yolo_callbacks.trainer.rank_store import RankStore, StoreLostError
from yolo_callbacks.utils.files import LOGGER

__all__ = ["JointLeave"]

_EVERY, _SOON = 0.25, 0.01  # seconds between two looks into the store, and while ranks wait for an answer
_LONGEST = 5.0  # seconds that a rank waits for the answer of the others; then it leaves alone
_JOIN = 2.0  # seconds that the end of a training waits for the thread


class JointLeave:
    """Agree with the other ranks on the batch after which all of them leave the training.

    Ranks take their batches together: one that leaves alone lets the others wait in the next batch. They exchange
    nothing for each batch. A thread of each rank looks into a store, and where a rank asks to leave:

    1. Each rank promises a batch that it does not pass before it knows the answer: the next one, at most.
    2. Rank 0 answers with the latest of these batches, when all ranks have promised one. No rank has passed it.
    3. Each rank leaves after that batch. One that has reached its own promise waits there for the answer, which does
       not depend on a training thread.

    Args:
        rank: The number of this process.
        ranks: The number of processes.
        address: Returns the address of the store; None where there is none yet.

    Attributes:
        reason: The name of the signal by which a rank has asked to leave; `""` where none has.
        kill_time: When a scheduler ends that rank, as `time.monotonic()` of this process; None where none has asked.
    """

    def __init__(self, rank: int, ranks: int, address: Callable[[], tuple[str, int] | None]) -> None:
        self._rank, self._ranks, self._address = rank, ranks, address
        self.reason = ""
        self.kill_time: float | None = None
        self._wish: tuple[str, float] | None = None
        self._batches = 0  # those that are complete, written by the training thread
        self._holds = False
        self._target: int | None = None
        self._known, self._changed = threading.Event(), threading.Event()
        self._closed = self._lost = False
        self._store: RankStore | None = None
        self._thread = threading.Thread(target=self._work, name="yolo-callbacks-preemption", daemon=True)
        self._thread.start()

    def ask(self, reason: str, kill_time: float) -> bool:
        """Ask to leave; return whether all ranks leave together: False if the others cannot be asked.

        Args:
            reason: The name of the signal.
            kill_time: When a scheduler ends this process, as `time.monotonic()`.
        """
        if self._target is not None:  # the thread has ended; in a validation a rank must not leave before the others
            return True
        if self._lost or self._address() is None or not self._thread.is_alive():
            return False
        if not self._wish:
            self._wish = reason, kill_time
            self._changed.set()
        return True

    def leaves(self) -> bool:
        """Return whether the training is left after the batch that has just ended; call it after each batch."""
        self._batches += 1
        if not self._holds:
            return False
        if not self._known.wait(_LONGEST):
            LOGGER.error("Preemption: the other ranks do not answer, and this one leaves the training alone")
            return True
        return self._lost or (self._target is not None and self._batches >= self._target)

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._changed.set()
        self._thread.join(_JOIN)

    def end_together(self, seconds: float) -> None:
        """Let no other rank end its process before rank 0 is done, where all leave; call it after `close`.

        A launcher ends all processes where the first one fails, and rank 0 may be writing its files then.

        Args:
            seconds: How long the other ranks wait.
        """
        if self._target is None or self._store is None or self._thread.is_alive():
            return
        end = time.monotonic() + seconds
        with contextlib.suppress(StoreLostError):
            if self._rank == 0:
                self._store.put("leave/done", "")
            while self._store.get("leave/done") is None and time.monotonic() < end:
                time.sleep(_SOON)

    def _work(self) -> None:
        try:
            self._agree()
        except StoreLostError as error:
            LOGGER.debug(f"Preemption: rank 0 cannot be reached: {error}")
        except Exception as error:  # of a thread nobody else would hear
            LOGGER.error("Preemption cannot ask the other ranks any more", exc_info=error)
        finally:
            self._lost = self._target is None
            self._known.set()

    def _agree(self) -> None:
        while (address := self._address()) is None:
            if self._sleep(_EVERY):
                return
        store = self._store = RankStore(address)
        while not (asked := store.get("leave/asked")):
            if self._wish:
                reason, kill_time = self._wish
                store.put("leave/asked", f"{reason} {kill_time - time.monotonic():.3f}")  # clocks differ by machine
            elif self._sleep(_EVERY):
                return
        reason, seconds = asked.split()
        self.kill_time = time.monotonic() + float(seconds)
        self.reason, self._holds = reason, True
        # After the line before: the training thread counts a batch first, and looks then whether it holds.
        store.put(f"leave/bound/{self._rank}", str(self._batches + 1))
        while (answer := store.get("leave/target")) is None:
            bounds = [store.get(f"leave/bound/{rank}") for rank in range(self._ranks)] if self._rank == 0 else [None]
            if all(bounds):
                store.put("leave/target", str(max(int(bound or 0) for bound in bounds)))
            elif self._sleep(_SOON):
                return
        self._target = int(answer)

    def _sleep(self, seconds: float) -> bool:
        """Wait for some time, or until something has changed; return whether the training is over."""
        self._changed.wait(seconds)
        self._changed.clear()
        return self._closed
