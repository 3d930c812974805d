"""End a W&B run: upload what is large, finish the run, find out what has arrived."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from yolo_callbacks.loggers.logger_parts.news import News
from yolo_callbacks.loggers.wandb_parts.arrival import ROWS, last_step, refusals
from yolo_callbacks.loggers.wandb_parts.at_exit import kill_service_if_unused
from yolo_callbacks.loggers.wandb_parts.outcome import Outcome
from yolo_callbacks.loggers.wandb_parts.session_run import SessionRun
from yolo_callbacks.utils.files import LOGGER

__all__ = ["FINISHING", "THREAD", "Ending", "Upload"]

# Shares of `finish_timeout`: for calls that wait for the server one by one; for wandb to send the rest; for all that
# the thread does. What is left is for the rows that wandb did not take.
UPLOADING, FINISHING, THREAD = 0.4, 0.35, 0.9
_ASKING = 3  # times that the server is asked for the last row: it may be a moment behind


class Upload(NamedTuple):
    """Something large that is uploaded at the end."""

    call: Callable[[Any], Any]
    """Gets the run, and returns the artifact where it logs one."""
    remedy: Callable[[Any], str] | None = None
    """Gets the run, and returns what the user can do where it did not arrive and `wandb sync` does not upload it."""


class Ending:
    """End a run.

    Args:
        run: The run.
        outcome: Where what did not arrive is noted.
        news: Where warnings go.
        finish_timeout: Seconds for the whole end.

    Attributes:
        finished: Whether `run.finish()` was called, and has returned or raised.
    """

    def __init__(self, run: SessionRun, outcome: Outcome, news: News, finish_timeout: float) -> None:
        self._run = run
        self._outcome = outcome
        self._news = news
        self._finish_timeout = finish_timeout
        self._artifacts: dict[str, Any] = {}
        self.finished = False

    def end(self, uploads: Mapping[str, Upload], exit_code: int) -> None:
        """Upload, then finish the run if the session owns it, then find out what did not arrive.

        Args:
            uploads: What is uploaded, by name.
            exit_code: Of the run.
        """
        run = self._run
        self._upload_in_time(uploads)
        step = self._last_step()
        in_time = not run.owned or self._finish(exit_code)
        self.finished = run.owned
        if in_time:
            self._outcome.add_arrived(ROWS)
        if run.disabled or run.offline:
            return
        self._check_artifacts(uploads)
        self._check_refusals()
        if run.owned and in_time and ROWS not in self._outcome.missing:
            self._outcome.unconfirmed = step is None or not self._confirmed(step)

    def _upload_in_time(self, uploads: Mapping[str, Upload]) -> None:
        # A call that waits for a dead server cannot be ended, only left behind: in a thread that nobody waits for.
        thread = threading.Thread(target=self._upload, args=(uploads,), name="wandb-uploads", daemon=True)
        thread.start()
        thread.join(self._finish_timeout * (UPLOADING if self._run.owned else THREAD))

    def _upload(self, uploads: Mapping[str, Upload]) -> None:
        for name, upload in uploads.items():
            try:
                self._artifacts[name] = upload.call(self._run.wandb_run)
            except Exception as error:
                self._outcome.add_missing(name)
                self._news.warn_of(error, f"{name} could not be logged")
                self._add_remedy(name, upload)
            else:
                self._outcome.add_arrived(name)

    def _last_step(self) -> int | None:
        """Return the step of the last row that was logged; None where no server is asked, or wandb does not know it."""
        try:
            return None if self._run.disabled or self._run.offline else int(self._run.wandb_run.step) - 1
        except Exception as error:
            LOGGER.debug(f"W&B: the last step is not known: {error!r}")
            return None

    def _finish(self, exit_code: int) -> bool:
        """Finish the run, and return whether that raised no error."""
        try:
            self._run.wandb_run.finish(exit_code=exit_code)
        except Exception as error:
            # What was handed to wandb may or may not have arrived.
            self._news.warn_of(error, "the run could not be finished")
            self._outcome.add_missing(ROWS)
            if not isinstance(error, TimeoutError):  # wandb's process has ended or is broken
                kill_service_if_unused(self._run.wandb_run)
            return False
        return True

    def _check_artifacts(self, uploads: Mapping[str, Upload]) -> None:
        for name, artifact in list(self._artifacts.items()):
            if uploads[name].remedy is None:
                continue
            try:
                artifact.wait(timeout=1)
            except Exception as error:
                LOGGER.debug(f"W&B: {name} has not arrived: {error!r}")
                self._outcome.add_missing(name)
        for name, upload in uploads.items():
            if name in self._outcome.missing:
                self._add_remedy(name, upload)

    def _add_remedy(self, name: str, upload: Upload) -> None:
        if upload.remedy is not None:
            self._outcome.remedies[name] = upload.remedy(self._run.wandb_run)

    def _check_refusals(self) -> None:
        try:
            found, artifacts = refusals(Path(self._run.wandb_run.settings.log_internal))
        except (OSError, TypeError):
            self._outcome.unconfirmed = True
            return
        self._outcome.add_missing(*found)
        # An artifact that is refused has no name in wandb's log: those without a remedy are the tables of charts.
        named = sum(name in self._outcome.missing for name in self._outcome.remedies)
        if artifacts > named:
            self._outcome.add_missing("tables of charts")

    def _confirmed(self, step: int) -> bool:
        """Return whether the server has the last row, and so all rows before it."""
        for attempt in range(_ASKING):
            try:
                if last_step(self._run.wandb_run.path, self._finish_timeout / 10) >= step:
                    return True
            except Exception as error:
                LOGGER.debug(f"W&B: the server does not answer which rows it has: {error!r}")
                return False
            time.sleep(self._finish_timeout / 50 * attempt)
        return False
