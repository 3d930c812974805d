"""End a training on a signal of a scheduler, so that it can be resumed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.callbacks.preemption_parts.joint_leave import JointLeave
from yolo_callbacks.decisions.remaining_time import EpochTimes, must_leave, time_for_work
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_bool
from yolo_callbacks.utils.durations import validate_duration
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.signals import SignalWatch, Terminated
from yolo_callbacks.utils.slurm import job_end_time, requeue_job

__all__ = ["Preemption"]

_DEFAULT_GRACE = 30.0  # seconds from SIGTERM to SIGKILL: KillWait of SLURM, terminationGracePeriodSeconds of Kubernetes
_WAIT = 20.0  # seconds that the other ranks wait for the end of rank 0
_SECONDS_LEFT = "preemption/seconds_left"  # of the rank that has got the signal, for the others
_MOMENT = 0.5  # seconds within which a signal comes to all processes of a group
_NEVER_CAUGHT = ("SIGKILL", "SIGSTOP")
# Those of Unix, which Windows does not have: a file of callbacks is valid there too.
_OTHER_NAMES = ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCONT", "SIGTSTP", "SIGXCPU", "SIGALRM", "SIGQUIT")


class Preemption(Callback):
    """End the training on a signal of a scheduler that needs the machine, so that it can be resumed.

    After the signal the present epoch is finished, where it ends in time. Then the run is left without its final
    evaluation, `last.pt` keeps its optimizer, W&B marks the run as preempting, and `model.train()` returns. Where the
    epoch does not end in time, the training is left after the present batch by `SystemExit`, with the exit code of the
    signal: Ultralytics can resume at the start of an epoch only, so that the middle of one cannot be saved. A resume
    repeats that epoch. In both cases the resumed run decides as an uninterrupted one.

    Several ranks leave after the same epoch, or after the same batch, whichever of them has got the signal. They do not
    leave a validation before its end.

    A run whose last epoch is over when the signal comes is not left: it is evaluated and finished, if the time allows.

    Under SLURM the job is put back into the queue, by rank 0 and after all files are written; not on SIGTERM, which
    `scancel` sends too.

    Args:
        signals: The names of the signals. Defaults to `('SIGUSR1', 'SIGTERM')`.
        grace: Seconds from a signal to the kill, or a duration such as `"2m"`; a third of them, at most 10, is kept for
            the end of the run. Defaults to `"auto"`: under SLURM to the end of the job's time, but 30 after SIGTERM;
            elsewhere 30.
        requeue: Whether SLURM starts the job again, by `scontrol requeue`. Defaults to `True`.

    Attributes:
        received: The signals that this process has received in this run, the first one first.
        left_epoch: The epoch with which the training was left; 0 if it was not.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `signals` is empty, holds no name of a signal or one that cannot be caught, or `grace` is
            negative or no duration.
        SystemExit: From `model.train()`, if the training is left in the middle of an epoch.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import Preemption, SaveBest, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, SaveBest("mAP50-95"), Preemption("SIGUSR1", grace=120))

    Logs nothing. Writes no file. It needs a suite: as plain functions of `model.add_callback` it does nothing.
    """

    every_rank: ClassVar[bool] = True

    def __init__(
        self,
        signals: str | Sequence[str] = ("SIGUSR1", "SIGTERM"),
        *,
        grace: float | str = "auto",
        requeue: bool = True,
    ) -> None:
        self.signals = _validate_signals(signals)
        self.grace = grace if grace == "auto" else _validate_grace(grace)
        self.requeue = validate_bool("requeue", requeue)
        self.reset()

    def reset(self) -> None:
        """Forget the last run."""
        self._watch = SignalWatch(self.signals)
        self.left_epoch = 0
        self._times = EpochTimes()
        self._epoch_start: float | None = None
        self._validation_start = self._validation = 0.0
        self._limit: float | None = None
        self._kill_time: float | None = None
        self._known: list[str] = []
        self._joint: JointLeave | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy gets: a thread belongs to its process."""
        return {**self.__dict__, "_joint": None}

    @property
    def received(self) -> list[str]:
        """The signals that this process has received in this run, the first one first."""
        return list(self._watch.received)

    # Signals ----------------------------------------------------------------------------------------------------------

    def on_pretrain_routine_start(self, trainer: Any) -> None:
        """Watch the signals from the set-up on: the workers of the loaders, which it starts, inherit the handlers."""
        TrainingRun.of(trainer).supervision.contexts.add(self._watching())

    def on_pretrain_routine_end(self, trainer: Any) -> None:
        """Watch the signals on ranks that have had no event before."""
        run = TrainingRun.of(trainer)
        if run.in_suite(self) and not self._watch.active:
            run.supervision.contexts.enter(self._watching())

    def on_train_start(self, trainer: Any) -> None:
        """Say which signals are not watched, and why; let several ranks agree on a batch."""
        run = TrainingRun.of(trainer)
        if run.in_suite(self) and run.ranks > 1:
            run.supervision.open_rank_store()
            self._joint = JointLeave(run.rank, run.ranks, lambda: run.shared.rank_store)
        if not TrainingRun.of(trainer).in_suite(self):
            LOGGER.warning("Preemption does nothing in this run: it needs a suite, attach(model, Preemption())")
        elif not self._watch.active:
            LOGGER.warning("Preemption does nothing in this run: Python handles signals in the main thread only")
        for name in self._watch.foreign:
            LOGGER.warning(f"Preemption: {name} is left to the handler that other code has set for it")
        for name in self._watch.missing:
            LOGGER.warning(f"Preemption: this system has no {name}")

    @contextmanager
    def _watching(self) -> Iterator[None]:
        with self._watch:
            try:
                yield
            except RuntimeError as error:
                # The signal has ended the workers of the loader too, as torch lets SIGTERM do; perhaps before it has
                # come to this process.
                if "DataLoader worker" in str(error) and self._comes_now():
                    self._note_signals()
                    LOGGER.warning("Preemption: the workers of the loader have ended, and the training is left now")
                    raise self._terminated() from None
                raise

    def _comes_now(self) -> bool:
        """Return whether a signal has come, or comes within a moment."""
        until = time.monotonic() + _MOMENT
        while not self.received and time.monotonic() < until:
            time.sleep(0.01)
        return bool(self.received)

    def _terminated(self) -> Terminated:
        name = self.received[0] if self.received else self._joint.reason if self._joint else "SIGTERM"
        return Terminated(getattr(signal, name))

    # The epoch --------------------------------------------------------------------------------------------------------

    def on_train_epoch_start(self, trainer: Any) -> None:
        """Start to measure the epoch."""
        self._epoch_start, self._validation = time.monotonic(), 0.0

    def on_train_batch_end(self, trainer: Any) -> None:
        """Leave the training if a signal has come and the epoch does not end in time."""
        if self._joint is not None and self._joint.leaves():
            LOGGER.warning("Preemption: all ranks leave the training after this batch")
            raise self._terminated()
        if self._watch.received:
            self._leave_in_need()

    def on_val_start(self, validator: Any) -> None:
        """Start to measure the validation."""
        self._validation_start = time.monotonic()

    def on_val_batch_end(self, validator: Any) -> None:
        """Leave the training if a signal has come and the validation does not end in time."""
        if self._watch.received and self._watch.active:  # not in a validation after the training
            self._leave_in_need()

    def on_val_end(self, validator: Any) -> None:
        """Measure the validation."""
        self._validation = time.monotonic() - self._validation_start

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Ask to leave the training with this epoch if a signal has come."""
        if self._epoch_start is not None:
            seconds = time.monotonic() - self._epoch_start
            self._times.add(seconds, self._validation if record.validated else None)
            self._epoch_start = None
        if self._watch.received:
            self._note_signals()
            run.request_end(self.received[0])
            if self._kill_time is not None:
                run.offer(_SECONDS_LEFT, self._kill_time - time.monotonic())

    def _note_signals(self) -> None:
        """Say once which signal has come, and find out how much time there is."""
        new = [name for name in self.received if name not in self._known]
        for name in new:
            came = self._watch.received[name]
            grace = self._grace(name)
            self._kill_time = _earlier(self._kill_time, came + grace)
            self._limit = _earlier(self._limit, came + time_for_work(grace))
            LOGGER.warning(f"Preemption: {name} came, {grace:.0f} s are left: the training ends with this epoch")
        self._known += new

    def _grace(self, name: str) -> float:
        if not isinstance(self.grace, str):
            return self.grace
        end = None if name == "SIGTERM" else job_end_time()
        return _DEFAULT_GRACE if end is None else max(end - time.time(), 0.0)

    def _leave_in_need(self) -> None:
        self._note_signals()
        shortest = self._times.shortest
        expected = None if shortest is None or self._epoch_start is None else self._epoch_start + shortest
        if self._limit is not None and must_leave(time.monotonic(), self._limit, expected):
            kill_time = time.monotonic() if self._kill_time is None else self._kill_time
            if self._joint is not None and self._joint.ask(self.received[0], kill_time):
                return
            LOGGER.warning("Preemption: this epoch does not end in time, and the training is left now")
            raise self._terminated()

    # The end ----------------------------------------------------------------------------------------------------------

    def on_train_end(self, trainer: Any) -> None:
        """Note with which epoch the training was left, and let loggers know how much time there is."""
        run = TrainingRun.of(trainer)
        for seconds in run.offers(_SECONDS_LEFT):
            if seconds is not None:
                self._kill_time = _earlier(self._kill_time, time.monotonic() + seconds)
        run.supervision.kill_time = self._kill_time
        if run.left is not None and self._signal_of(run):
            self.left_epoch = run.last_epoch

    def teardown(self, trainer: Any) -> None:
        """Let loggers know how much time there is, and ask the other ranks no more."""
        if self._joint is not None:
            self._joint.close()
            if self._joint.kill_time is not None:
                self._kill_time = _earlier(self._kill_time, self._joint.kill_time)
        TrainingRun.of(trainer).supervision.kill_time = self._kill_time

    def on_run_end(self, run: TrainingRun, summary: Mapping[str, Any]) -> None:
        """Let SLURM start the job again, if the run is not finished."""
        name = self._signal_of(run)
        left = run.left is not None or isinstance(run.failure, Terminated)
        if self.requeue and left and name and name != "SIGTERM":
            requeue_job("Preemption")
        if self._joint is not None:
            self._joint.end_together(0)

    def finalize(self, run: TrainingRun) -> None:
        """Wait on the other ranks until rank 0 has written its files, where all leave in the middle of an epoch."""
        if self._joint is not None and not run.is_main:
            self._joint.end_together(min(_WAIT, max(run.seconds_left - 1, 1)))

    def _signal_of(self, run: TrainingRun) -> str:
        """Return the signal by which this run was left, perhaps one that another rank has received; `""` for none."""
        agreed = run.supervision.agreed
        of_another_rank = agreed is not None and agreed.by == type(self).__name__
        if self.received:
            return self.received[0]
        if agreed and of_another_rank:
            return agreed.reason
        return self._joint.reason if self._joint else ""

    def outcome(self) -> str:
        """Return which signal has come, and when the training was left."""
        if self.left_epoch:
            return f"left with epoch {self.left_epoch}" + (f" by {self.received[0]}" if self.received else "")
        if not self.received and self._joint is not None and self._joint.reason:
            return f"{self._joint.reason} came to another rank"
        return f"{self.received[0]} came" if self.received else "no signal"


def _earlier(known: float | None, new: float) -> float:
    return new if known is None else min(known, new)


def _validate_signals(signals: object) -> tuple[str, ...]:
    """Return the names of signals as a tuple."""
    given = (signals,) if isinstance(signals, (str, signal.Signals)) else signals
    if not isinstance(given, Sequence):
        raise TypeError(f"signals must be names of signals such as 'SIGUSR1', received {signals!r}")
    if not given:
        raise ValueError("signals must name at least one signal, received none")
    known = (*signal.Signals.__members__, *_OTHER_NAMES)
    for name in given:
        if not isinstance(name, (str, signal.Signals)):
            raise TypeError(f"signals must be names of signals such as 'SIGUSR1', received {name!r}")
        if (name if isinstance(name, str) else name.name) not in known:
            raise ValueError(f"signals must be names of signals such as 'SIGUSR1', received {name!r}")
    names = tuple(dict.fromkeys(name if isinstance(name, str) else name.name for name in given))
    for name in names:
        if name in _NEVER_CAUGHT:
            raise ValueError(f"signals must be signals that a process can handle, received {name!r}")
    return names


def _validate_grace(grace: object) -> float:
    """Return `grace` as seconds."""
    return validate_duration("grace", grace, minimum=0)
