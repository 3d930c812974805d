"""Connect a training to the trial of Ray Tune in which it runs."""

from __future__ import annotations

import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from yolo_callbacks.utils.files import LOGGER

__all__ = ["FunctionTrial", "Report", "ThreadTrial", "Trial", "current_trial"]

Write = Callable[[Path], None]
"""Writes the checkpoint of a trial to a folder."""

_LOCAL = threading.local()  # Ray runs the function of each trial in a new thread


class Trial(Protocol):
    """A trial of Ray Tune, as a training sees it.

    Attributes:
        id: Identifies the trial in its search.
        names_folders: Whether a run without `name=` is to be named after the trial.
        restored_epoch: The epoch of the checkpoint from which the trial goes on, which Ray Tune knows; 0 where it
            begins.
    """

    id: str
    names_folders: bool
    restored_epoch: int

    def start(self) -> None:
        """Prepare for reports: called before the first one of each training."""

    def report(self, metrics: Mapping[str, Any], write: Write, *, checkpoint: bool, last: bool) -> bool:
        """Report an epoch, and wait until the trial may go on.

        Args:
            metrics: What is reported.
            write: Writes the checkpoint of the epoch to a folder.
            checkpoint: Whether Ray Tune is to keep the checkpoint.
            last: Whether the training is over.

        Returns:
            Whether the trial goes on; False where Ray Tune has stopped it.
        """

    def take_checkpoint(self) -> Path | None:
        """Return the folder with the checkpoint from which the trial is to go on, once; None where it begins."""


def current_trial() -> Trial | None:
    """Return the trial that runs in this thread, or None."""
    trial: Trial | None = getattr(_LOCAL, "trial", None)
    if trial is None and (identity := _id_of_function()):
        trial = _LOCAL.trial = FunctionTrial(identity)
    return trial


def _id_of_function() -> str | None:
    """Return the id of the trial whose function this process runs; None outside of a trial."""
    tune = sys.modules.get("ray.tune")  # a process of a trial has imported it
    if tune is None or not hasattr(tune, "get_context"):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # outside of a trial, Ray warns and returns None
        found = tune.get_context().get_trial_id()
    return str(found) if found else None


class FunctionTrial:
    """A trial whose function reports by `ray.tune.report`, as in `model.tune(use_ray=True)`.

    Args:
        identity: Its id.
    """

    def __init__(self, identity: str) -> None:
        self.id = identity
        self.names_folders = False
        self.restored_epoch = 0
        self._checkpoint: Any = None
        self._taken: Any = None
        self._is_new = True

    def start(self) -> None:
        """Let Ray wait for the end of the training where it stops the trial.

        Ray 2.60 ends a function trial by `finish(timeout=0)` of its session, and kills the process 0.2 s later. It has
        no public way to wait for a function. With `ray_trainable` nothing of this is needed.
        """
        try:
            from ray.train._internal.session import get_session

            session: Any = get_session()
            finish = session.finish
        except (ImportError, AttributeError):
            LOGGER.warning(
                "RayTuneReporter: this version of Ray does not wait for the end of the training where it stops a trial "
                "of a function. With yolo_callbacks.ray_trainable(function) it does"
            )
            return
        if not getattr(finish, "waits", False):

            def finish_and_wait(timeout: float | None = None) -> Any:
                return finish()

            finish_and_wait.waits = True  # type: ignore[attr-defined]
            session.finish = finish_and_wait

    def report(self, metrics: Mapping[str, Any], write: Write, *, checkpoint: bool, last: bool) -> bool:
        """Report an epoch; see `Trial.report`."""
        from ray import tune

        with tempfile.TemporaryDirectory(prefix="yolo-callbacks-") as folder:
            if checkpoint:
                write(Path(folder))
            given = tune.Checkpoint.from_directory(folder) if checkpoint else None
            try:
                tune.report(dict(metrics), checkpoint=given)
            except SystemExit:  # how Ray leaves a function
                return False
        return True

    def take_checkpoint(self) -> Path | None:
        """Return the folder of the checkpoint, once; see `Trial.take_checkpoint`."""
        if not self._is_new:  # Ray would return the latest reported one
            return None
        self._is_new = False
        from ray import tune

        checkpoint = tune.get_checkpoint()
        return None if checkpoint is None else Path(checkpoint.to_directory(tempfile.mkdtemp(prefix="yolo-callbacks-")))


@dataclass(frozen=True)
class Report:
    """What a training has reported.

    Attributes:
        metrics: The metrics.
        write: Writes the checkpoint of the epoch to a folder, while the training waits.
        checkpoint: Whether Ray Tune is to keep the checkpoint.
        last: Whether the training is over.
    """

    metrics: Mapping[str, Any]
    write: Write
    checkpoint: bool
    last: bool


class ThreadTrial:
    """A trial whose function runs in a thread, and waits in each report until it is told to go on or to end.

    Args:
        identity: The id of the trial.
        function: Called in the thread, with `config`.
        config: The hyperparameters.

    Attributes:
        checkpoint: The folder of the checkpoint from which the trial is to go on; None where it begins.
        returned: What the function has returned.
    """

    def __init__(self, identity: str, function: Callable[[dict[str, Any]], Any], config: dict[str, Any]) -> None:
        self.id = identity
        self.names_folders = True
        self.restored_epoch = 0
        self.checkpoint: Path | None = None
        self.returned: Any = None
        self._function, self._config = function, config
        self._thread = threading.Thread(target=self._run, name="trial", daemon=True)
        self._changed = threading.Condition()
        self._report: Report | None = None
        self._goes_on, self._is_stopping, self._is_over = False, False, False
        self._error: BaseException | None = None

    # In the thread of Ray ---------------------------------------------------------------------------------------------

    def next_report(self) -> Report | None:
        """Let the function go on to its next report, and return that; None where the function has ended.

        Raises:
            BaseException: What the function has raised.
        """
        self._go_on()
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or self._report is not None)
            found, self._report = self._report, None
        error, self._error = self._error, None
        if found is None and error is not None:
            raise error
        return found

    def stop(self) -> None:
        """Let the function end where it waits, and wait until it has."""
        if self._thread.ident is None:
            return
        with self._changed:
            self._is_stopping = True
        self._go_on()
        self._thread.join()

    def _go_on(self) -> None:
        if self._thread.ident is None:
            self._thread.start()
            return
        with self._changed:
            self._goes_on = True
            self._changed.notify_all()

    # In the thread of the function ------------------------------------------------------------------------------------

    def _run(self) -> None:
        _LOCAL.trial = self
        error: BaseException | None = None
        try:
            self.returned = self._function(self._config)
        except SystemExit as exit_:
            error = exit_ if exit_.code else None
        except BaseException as raised:
            error = raised
        with self._changed:
            self._error, self._is_over = error, True
            self._changed.notify_all()

    def start(self) -> None:
        """Do nothing: Ray waits for `stop`."""

    def report(self, metrics: Mapping[str, Any], write: Write, *, checkpoint: bool, last: bool) -> bool:
        """Report an epoch; see `Trial.report`."""
        with self._changed:
            if self._is_stopping:  # another training of a function that does not end
                return False
            self._report = Report(metrics, write, checkpoint, last)
            self._goes_on = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._goes_on)
            return not self._is_stopping

    def take_checkpoint(self) -> Path | None:
        """Return the folder of the checkpoint, once; see `Trial.take_checkpoint`."""
        found, self.checkpoint = self.checkpoint, None
        return found
