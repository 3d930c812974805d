"""Judge the beats of all ranks on rank 0, and say in words what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from yolo_callbacks.callbacks.watchdog_parts.heartbeat import Beat
from yolo_callbacks.decisions.rank_progress import BatchTimes, Place, RankReport, is_silent, slow_ranks, waited_for

__all__ = ["Finding", "Lookout", "stacks_name"]


_MOST_STACKS = 4  # different ones in a line


def stacks_name(rank: int) -> str:
    """Return the name of the file with the stacks of a rank."""
    return f"stacks-rank{rank}.txt"


@dataclass(frozen=True)
class Finding:
    """What is wrong with a rank.

    Attributes:
        kind: `"stuck"`, `"standstill"` where all ranks hang in one place, or `"slow"`.
        rank: The rank; of a standstill the lowest one.
        epoch: The epoch.
        seconds: How long it has made no progress; of a slow one, what it takes for itself in each batch.
        text: The same in words.
        stacks: The ranks whose stacks are of use.
    """

    kind: str
    rank: int
    epoch: int
    seconds: float
    text: str
    stacks: tuple[int, ...] = ()

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
        found = waited_for(reports, self._timeout)
        known = [rank for rank in found if self._stuck.get(rank, (None, 0.0))[0] == reports[rank].place]
        if known and not any(is_silent(reports[rank], self._timeout) for rank in found):
            return []  # the others wait for one that was named, and answers again
        new = [rank for rank in found if rank not in known]
        for rank in new:
            self._stuck[rank] = (reports[rank].place, now - _idle_seconds(reports[rank]))
        self._unheard.update(rank for rank in new if rank not in self._beats)
        present = [report for report in reports.values() if not report.left]
        if len(new) > 1 and len(new) == len(present) and not any(is_silent(each, self._timeout) for each in present):
            return [self._standstill(new, reports)]
        return [
            Finding(
                "stuck",
                rank,
                reports[rank].place.epoch,
                _idle_seconds(reports[rank]),
                self._words(rank, reports),
                (rank,),
            )
            for rank in new
        ]

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
        """Return the ranks that were slow in an epoch, once all ranks have sent their times of it."""
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

    def _standstill(self, ranks: list[int], reports: Mapping[int, RankReport]) -> Finding:
        """Return the finding that all ranks hang in one place. Only their calls can show which one is the cause."""
        place, seconds = reports[ranks[0]].place, min(_idle_seconds(reports[rank]) for rank in ranks)
        text = (
            f"{_named(ranks)} hang in the same place, and all of them answer: no progress for "
            f"{seconds:.0f} s, {place.words()}"
        )
        if left := [rank for rank, report in reports.items() if report.left]:
            text += f"; {_ranks(left)} gone from the training"
        calls: dict[tuple[str, ...], list[int]] = {}
        for rank in ranks:
            calls.setdefault(self._beats[rank].stack, []).append(rank)
        shown = [f"{_ranks(of)} in {', called by '.join(stack)}" for stack, of in calls.items() if stack]
        if shown:
            text += f". A rank that is in no exchange is the cause: {'; '.join(shown[:_MOST_STACKS])}"
        text += ". Their stacks are written to stacks-rank<r>.txt in the folder of the run"
        return Finding("standstill", ranks[0], place.epoch, seconds, text, tuple(ranks))

    def _words(self, rank: int, reports: Mapping[int, RankReport]) -> str:
        beat, seconds = self._beats.get(rank), _idle_seconds(reports[rank])
        if beat is None:
            return f"rank {rank} was never heard of in {seconds:.0f} s: it cannot reach rank 0, or has ended"
        name = f"rank {rank} ({beat.process})"
        if is_silent(reports[rank], self._timeout):
            text = f"{name} does not answer any more, for {reports[rank].silent:.0f} s: its process has ended or hangs"
            return f"{text}. It was {beat.place.words()}{self._others(rank, reports)}"
        text = f"{name} has made no progress for {seconds:.0f} s, {beat.place.words()}{self._others(rank, reports)}"
        if beat.stack:
            text += f". It is in {', called by '.join(beat.stack)}"
        return f"{text}. Its stacks are written to {stacks_name(rank)} in the folder of the run"

    def _others(self, rank: int, reports: Mapping[int, RankReport]) -> str:
        """Return where the other ranks are."""
        place = reports[rank].place
        present = {other: report for other, report in reports.items() if other != rank and not report.left}
        left = [other for other, report in reports.items() if report.left]
        ahead = [other for other, report in present.items() if report.place > place]
        beside = [other for other, report in present.items() if report.place == place]
        if is_silent(reports[rank], self._timeout):  # those beside it that answer are in an exchange with it
            ahead += [other for other in beside if not is_silent(reports[other], self._timeout)]
            ahead.sort()
        parts = [f"{_ranks(ahead)} waiting for it"] * bool(ahead)
        parts += [f"{_ranks(beside)} in the same place"] * bool(beside and not ahead)
        parts += [f"{_ranks(left)} gone from the training"] * bool(left)
        return f"; {', '.join(parts)}" if parts else ""


def _idle_seconds(report: RankReport) -> float:
    """Return the seconds for which no progress of a rank is known."""
    return report.idle + report.silent


def _named(ranks: list[int]) -> str:
    """Return the names of ranks, of many only the first ones."""
    shown = ", ".join(map(str, ranks[:8])) + (", …" if len(ranks) > 8 else "")
    return f"rank {shown}" if len(ranks) == 1 else f"ranks {shown}"


def _ranks(ranks: list[int]) -> str:
    """Return the names of ranks with their verb."""
    return f"{_named(ranks)} {'is' if len(ranks) == 1 else 'are'}"
