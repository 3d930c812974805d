"""Name a rank that is stuck or slow, while the others wait for it."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, ClassVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.callbacks.watchdog_parts.heartbeat import Heartbeat
from yolo_callbacks.callbacks.watchdog_parts.lookout import Finding, stacks_name
from yolo_callbacks.callbacks.watchdog_parts.stacks import StackFile
from yolo_callbacks.callbacks.watchdog_parts.watcher import RankWatcher, WatchRules
from yolo_callbacks.decisions.rank_progress import Part, default_timeout
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.rank_store import group_timeout
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_bool, validate_float
from yolo_callbacks.utils.durations import validate_duration
from yolo_callbacks.utils.fields import Field, listing, number, one_of, read_fields, whole
from yolo_callbacks.utils.files import LOGGER

__all__ = ["RankWatchdog"]

_MOST = 100  # findings that are kept


class RankWatchdog(Callback):
    """Name a rank that is stuck or slow, while the others wait for it.

    In a training of several ranks each one waits for all others, batch by batch. If one of them hangs, all of them
    wait in silence: after hours torch ends the wait with an error that does not name the cause. This callback compares
    how far the ranks have come. Without progress for `timeout` seconds, one line on rank 0 names the rank that is
    furthest behind, its machine, its process, its place in the training and its innermost calls, and the rank writes
    the stacks of all of its threads. A process that has ended, or does not answer, is named first. Where all ranks hang
    in one place and answer, the line names none as the cause, and shows the calls of each.

    A rank is slow in an epoch if the time that it takes for itself, between the steps of its batches, is more than
    `slow` times the median of the others, and costs a tenth of a batch and a second of the epoch at least. That time
    is spent in its loader and in callbacks; no rank waits for another one there. It does not find a slow GPU: the time
    of a step is that of the slowest rank on all of them.

    With one process it watches that one: a loader that hangs, for example.

    A thread of each rank watches. The training thread notes its place, and waits for nothing: neither for a rank, nor
    for the device. The training is never ended, unless `end` is set.

    Args:
        timeout: The seconds without progress from which on a rank is stuck, or a duration such as `"10m"`. Defaults to
            `"auto"`: half of the time after which torch ends a wait, at most 10 minutes. A single process: 10 minutes.
        slow: How many times the median of the other ranks makes a rank slow; None for no such line. Defaults to `2.0`.
        end: Whether a training with a stuck rank is ended, by SIGTERM to every rank, and 30 seconds later by the end
            of the process. A resume continues it. Defaults to `False`.

    Attributes:
        findings: What was found in this run, at most 100: dicts with `kind` (`"stuck"`, `"slow"`, or `"standstill"` of
            all ranks together), `rank`, `epoch` and `seconds`; on rank 0. After a resume, those before it come first.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `timeout` is no duration, or `slow` is less than 1.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import RankWatchdog, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, RankWatchdog(timeout="5m"))

    Logs nothing. It uses the timer of `faulthandler`, of which a process has one. Writes `stacks-rank<r>.txt` in the
    run's folder, on the machine of the rank; it is removed at the end if nothing was written. It needs a suite: as
    plain functions of `model.add_callback` it does nothing. `in_epochs` does not change what it watches.
    """

    every_rank: ClassVar[bool] = True

    def __init__(self, timeout: float | str = "auto", *, slow: float | None = 2.0, end: bool = False) -> None:
        self.timeout = timeout
        self._given = None if timeout == "auto" else validate_duration("timeout", timeout)
        self.slow = None if slow is None else validate_float("slow", slow, minimum=1)
        self.end = validate_bool("end", end)
        self.reset()

    def reset(self) -> None:
        """Forget the last run."""
        self.findings: list[dict[str, Any]] = []
        self._restored = 0  # how many of them an earlier process has made
        self._heartbeat = Heartbeat()
        self._watcher: RankWatcher | None = None
        self._is_main = True
        self._unsaid: deque[str] = deque()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy gets: a thread belongs to its process."""
        return {**self.__dict__, "_watcher": None}

    def rests(self, run: TrainingRun) -> bool:
        """Return False: a rank that is not watched in some epochs would seem to hang."""
        return False

    def output_files(self, task: str) -> set[str]:
        """Return the names of its files."""
        return {"stacks-rank*.txt"}

    # Progress ---------------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Any) -> None:
        """Start to watch."""
        run = TrainingRun.of(trainer)
        if not run.in_suite(self):
            LOGGER.warning("RankWatchdog does nothing in this run: it needs a suite, attach(model, RankWatchdog())")
            return
        self._heartbeat, self._is_main = Heartbeat(), run.is_main
        run.supervision.open_rank_store()
        timeout = default_timeout(group_timeout(run.device), several=run.ranks > 1)
        in_main_thread = threading.current_thread() is threading.main_thread()
        if self.end and not in_main_thread:
            LOGGER.warning("RankWatchdog ends no training of this process, which trains outside of its main thread")
        self._watcher = RankWatcher(
            run.rank,
            run.ranks,
            self._heartbeat,
            WatchRules(self._given or timeout, self.slow, end=self.end and in_main_thread),
            self._open_stacks(run),
            lambda: run.shared.rank_store,
            self._report,
        )
        self._watcher.start()

    def on_train_epoch_start(self, trainer: Any) -> None:
        """Note the start of an epoch."""
        self._heartbeat.start_epoch(trainer.epoch + 1)

    def on_train_batch_start(self, trainer: Any) -> None:
        """Note that a batch is there."""
        self._heartbeat.start_step()

    def on_train_batch_end(self, trainer: Any) -> None:
        """Note that a batch is complete."""
        self._heartbeat.end_step()

    def on_train_epoch_end(self, trainer: Any) -> None:
        """Note that the epoch has no further batch."""
        self._heartbeat.end_batches()

    def on_val_start(self, validator: Any) -> None:
        """Note the start of a validation."""
        self._heartbeat.reach(Part.VALIDATION if validator.training else Part.FINAL)

    def on_val_batch_end(self, validator: Any) -> None:
        """Note that a batch of the validation is complete."""
        self._heartbeat.end_validation_batch()

    def on_val_end(self, validator: Any) -> None:
        """Note that the validation is complete."""
        self._heartbeat.reach(Part.VALIDATED if validator.training else Part.OVER)

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Note the end of the epoch, and name the ranks that were slow in it."""
        self._heartbeat.reach(Part.CLOSED)
        self._say_slow()

    # Findings ---------------------------------------------------------------------------------------------------------

    def _report(self, finding: Finding) -> None:
        """Keep a finding; say at once that a rank is stuck: the training thread waits then."""
        if len(self.findings) < _MOST:
            self.findings.append(finding.shown())
        if finding.kind == "slow":
            self._unsaid.append(finding.text)
        else:
            say = LOGGER.warning if self._is_main else LOGGER.error  # Ultralytics shows only errors of other ranks
            say(f"RankWatchdog: {finding.text}")

    def _say_slow(self) -> None:
        while self._unsaid:
            LOGGER.warning(f"RankWatchdog: {self._unsaid.popleft()}")

    def _open_stacks(self, run: TrainingRun) -> StackFile | None:
        try:
            return StackFile(run.save_dir / stacks_name(run.rank))
        except OSError as error:
            LOGGER.warning(f"RankWatchdog writes no stacks in this run: {error}")
            return None

    # The end ----------------------------------------------------------------------------------------------------------

    def on_train_end(self, trainer: Any) -> None:
        """Note that the training is over."""
        self._heartbeat.reach(Part.OVER)

    def teardown(self, trainer: Any) -> None:
        """Stop to watch."""
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        self._say_slow()

    def outcome(self) -> str:
        """Return which ranks were stuck or slow; those before a resume apart."""
        before, found = self.findings[: self._restored], self.findings[self._restored :]
        text = _in_words(found) or "no rank was stuck or slow"
        return f"{text} (before the resume: {_in_words(before)})" if before else text

    def state_dict(self) -> dict[str, Any]:
        """Return the findings."""
        return {"findings": self.findings}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the findings."""
        self.findings = read_fields(state, {"findings": Field(listing(_finding, _MOST), [])})["findings"]
        self._restored = len(self.findings)


def _in_words(findings: list[dict[str, Any]]) -> str:
    """Return what was found, in a few words; `""` for nothing."""
    parts = []
    for kind in ("stuck", "standstill", "slow"):
        found = [each for each in findings if each["kind"] == kind]
        if not found:
            continue
        times = "once" if len(found) == 1 else f"{len(found)} times"
        ranks = sorted({each["rank"] for each in found})
        named = f": rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}"
        parts.append(f"all ranks hung in one place {times}" if kind == "standstill" else f"{kind} {times}{named}")
    return "; ".join(parts)


def _finding(content: Any) -> dict[str, Any]:
    """Read a stored finding."""
    fields = {"kind": Field(one_of("stuck", "standstill", "slow")), "rank": Field(whole()), "epoch": Field(whole())}
    return read_fields(content, {**fields, "seconds": Field(number(0))})
