"""Judge the beats of all ranks on rank 0, and say in words what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from yolo_callbacks.callbacks.watchdog_parts.heartbeat import Beat
from yolo_callbacks.decisions.rank_progress import BatchTimes, Place, RankReport, slow_ranks, waited_for

__all__ = ["Finding", "Lookout", "stacks_name"]


def stacks_name(rank: int) -> str:
    """Return the name of the file with the stacks of a rank."""
    return f"stacks-rank{rank}.txt"


@dataclass(frozen=True)
class Finding:
    """What is wrong with a rank.

    Attributes:
        kind: `"stuck"` or `"slow"`.
        rank: The rank.
        epoch: The epoch.
        seconds: How long it has made no progress; of a slow one, what it takes for itself in each batch.
        text: The same in words.
    """

    kind: str
    rank: int
    epoch: int
    seconds: float
    text: str

    def shown(self) -> dict[str, Any]:
        """Return what a user reads of it."""
        return {"kind": self.kind, "rank": self.rank, "epoch": self.epoch, "seconds": round(self.seconds, 3)}


class Lookout:
    """Judge the beats of all ranks. All times are those of `time.monotonic()` on this machine.

    Args:
        ranks: The ranks that are judged.
        timeout: The seconds without progress from which on a rank is stuck.
        slow: How many times the median of the others makes a rank slow; None for no such finding.
        start: The present time.
    """

    def __init__(self, ranks: Iterable[int], timeout: float, slow: float | None, start: float) -> None:
        self._ranks = frozenset(ranks)
        self._timeout, self._slow, self._start = timeout, slow, start
        self._beats: dict[int, Beat] = {}
        self._heard: dict[int, float] = {}
        self._stuck: dict[int, tuple[Place, float]] = {}  # those that were named: where, and since when
        self._unheard: set[int] = set()
        self._times: dict[int, dict[int, BatchTimes]] = {}
        self._judged = 0

    def hear(self, rank: int, beat: Beat, now: float) -> None:
        """Note the last beat of a rank; one that is known already is nothing new."""
        known = self._beats.get(rank)
        if known is not None and known.number == beat.number:
            return
        self._beats[rank], self._heard[rank] = beat, now
        for epoch, times in beat.times:
            if epoch > self._judged:
                self._times.setdefault(epoch, {})[rank] = times

    def find_stuck(self, now: float) -> list[Finding]:
        """Return the ranks for which the others wait, each once for each place in which it is stuck."""
        reports = {
            rank: RankReport(beat.place, beat.idle, now - self._heard[rank], beat.left)
            for rank, beat in self._beats.items()
        }
        for rank in self._ranks - {*reports, *self._unheard}:
            reports[rank] = RankReport(Place(), 0.0, now - self._start)
        found = []
        for rank in waited_for(reports, self._timeout):
            place, seconds = reports[rank].place, reports[rank].idle + reports[rank].silent
            if self._stuck.get(rank, (None, 0.0))[0] == place:
                continue
            self._stuck[rank] = (place, now - seconds)
            if rank not in self._beats:
                self._unheard.add(rank)
            found.append(Finding("stuck", rank, place.epoch, seconds, self._words(rank, seconds, reports)))
        return found

    def find_recovered(self, now: float) -> list[str]:
        """Return a line for each rank that was stuck, and goes on."""
        lines = []
        for rank, (place, since) in list(self._stuck.items()):
            beat = self._beats.get(rank)
            if beat is not None and beat.place != place and not beat.left:
                del self._stuck[rank]
                lines.append(f"rank {rank} goes on after about {now - since:.0f} s, {beat.place.words()}")
        return lines

    def find_slow(self) -> list[Finding]:
        """Return the ranks that were slow in an epoch, once all ranks have told their times of it."""
        found = []
        for epoch in sorted(self._times):
            times = self._times[epoch]
            if len(times) < len(self._ranks):
                continue
            self._judged = epoch
            usual = slow_ranks(times, self._slow) if self._slow is not None else {}
            for rank in sorted(usual):
                own, process = times[rank].own, self._beats[rank].process
                text = (
                    f"rank {rank} ({process}) is slow in epoch {epoch}: its loader and its callbacks take "
                    f"{own:.3g} s for a batch, those of the others {usual[rank]:.2g} s"
                )
                found.append(Finding("slow", rank, epoch, own, text))
        self._times = {epoch: times for epoch, times in self._times.items() if epoch > self._judged}
        return found

    def _words(self, rank: int, seconds: float, reports: Mapping[int, RankReport]) -> str:
        beat = self._beats.get(rank)
        if beat is None:
            return f"rank {rank} was never heard of in {seconds:.0f} s: it cannot reach rank 0, or has ended"
        name = f"rank {rank} ({beat.process})"
        if reports[rank].silent >= self._timeout / 2:
            text = f"{name} does not answer any more, for {reports[rank].silent:.0f} s: its process has ended or stands"
            return f"{text}. It was {beat.place.words()}{self._others(rank, reports)}"
        text = f"{name} has made no progress for {seconds:.0f} s, {beat.place.words()}{self._others(rank, reports)}"
        if beat.stack:
            text += f". It is in {', called by '.join(beat.stack)}"
        return f"{text}. Its stacks are written to {stacks_name(rank)} in the folder of the run"

    def _others(self, rank: int, reports: Mapping[int, RankReport]) -> str:
        """Return where the other ranks are."""
        place = reports[rank].place
        left = [str(other) for other, report in reports.items() if report.left]
        ahead = [str(other) for other, report in reports.items() if report.place > place and not report.left]
        beside = [str(other) for other, report in reports.items() if report.place == place and other != rank]
        parts = [f"{_ranks(ahead)} waiting for it"] * bool(ahead)
        parts += [f"{_ranks(beside)} in the same place"] * bool(beside and not ahead)
        parts += [f"{_ranks(left)} gone from the training"] * bool(left)
        return f"; {', '.join(parts)}" if parts else ""


def _ranks(names: list[str]) -> str:
    """Return the names of ranks, of many only the first ones."""
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"rank {shown} is" if len(names) == 1 else f"ranks {shown} are"
