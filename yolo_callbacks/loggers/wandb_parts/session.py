"""Log to a W&B run in a thread, which opens it, sends its rows and finishes it within time limits.

wandb is imported inside functions only: a process that does not log to it does not wait for the import.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.loggers.logger_parts.news import News
from yolo_callbacks.loggers.wandb_parts import at_exit, open_runs
from yolo_callbacks.loggers.wandb_parts.arrival import ROWS
from yolo_callbacks.loggers.wandb_parts.ending import FINISHING, THREAD, Ending, Upload
from yolo_callbacks.loggers.wandb_parts.file import row_key
from yolo_callbacks.loggers.wandb_parts.kept_rows import MAX_BATCH_ROWS, Definition, KeptRows
from yolo_callbacks.loggers.wandb_parts.outcome import Outcome
from yolo_callbacks.loggers.wandb_parts.saving import save_rows
from yolo_callbacks.loggers.wandb_parts.sending import Sender
from yolo_callbacks.loggers.wandb_parts.session_run import SessionRun
from yolo_callbacks.loggers.wandb_parts.session_thread import SessionThread
from yolo_callbacks.utils.forks import FORK_GUARD

__all__ = ["WandbSession"]

# Rows whose images wait for wandb; further ones lose theirs.
_MAX_WAITING_IMAGES = 8


class WandbSession:
    """A W&B run as the training thread uses it: no method waits for wandb, except `run` and `close`.

    Args:
        options: Arguments of `wandb.init`.
        init_timeout: Seconds that the start may take before the run goes offline.
        finish_timeout: Seconds that `close` may take.
        spare: The folder for rows that wandb does not take, where they cannot be added to its own file.
        describe: Returns the text of an error without arguments that no message may show.
        folders: The folders of a resumed run so far.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        init_timeout: float,
        finish_timeout: float,
        spare: Path,
        describe: Callable[[BaseException], str],
        folders: Iterable[str] = (),
    ) -> None:
        self.init_timeout, self.finish_timeout = init_timeout, finish_timeout
        self._pid = os.getpid()
        self._guarded = False
        self._spare = spare / "wandb"
        self._news = News(describe)
        self._outcome = Outcome()
        self._rows = KeptRows()
        self._run = SessionRun(options, folders)
        self._sender = Sender(self._run, self._rows, self._news)
        self._ending = Ending(self._run, self._outcome, self._news, finish_timeout)
        self._thread = SessionThread(self._open, lambda: self._run.wandb_run is not None, self._news)
        # Each counter is changed by one thread only: what waits for wandb is the difference.
        self._rows_submitted = self._images_submitted = 0
        self._rows_taken = self._images_taken = 0

    @property
    def owned(self) -> bool:
        """Whether the session opens the run, and therefore finishes it."""
        return self._run.owned

    @property
    def inherited(self) -> bool:
        """Whether this process is a fork of the one that has the run."""
        return self._pid != os.getpid()

    @property
    def run(self) -> Any:
        """The `wandb.Run`; waits for it `init_timeout` at most, and is None if it is not open then."""
        if self.inherited:
            return None
        self._thread.wait_for_run(self.init_timeout)
        return self._run.wandb_run

    @property
    def run_id(self) -> str | None:
        """The id of the run, as far as it is known now."""
        return self._run.id

    @property
    def folders(self) -> list[str]:
        """The folders of the run so far, of a resumed run the earlier ones first."""
        return list(self._run.folders)

    def start(self, *, past: Iterable[Mapping[str, Any]] = (), background: bool) -> None:
        """Start to open the run, and log those rows of the past that a kill has lost.

        Args:
            past: The rows of the epochs that a resumed run has completed.
            background: Whether to return at once; otherwise return when the run is open.
        """
        self._rows.past = [dict(row) for row in past]
        self._thread.submit(self._sender.replay)
        at_exit.add(self)
        FORK_GUARD.acquire()  # the thread starts wandb's process, and git
        self._guarded = True
        self._thread.start()
        if not background:
            self._thread.wait_for_run(2 * self.init_timeout + 5)

    def log(self, row: Mapping[str, Any], media: Callable[[], Mapping[str, Any]] | None = None) -> None:
        """Log one row of history.

        Args:
            row: Its plain values.
            media: Makes the images of the row, on the session's thread.
        """
        values = dict(row)
        key = row_key(values)
        if key is not None and key[0] == "batch" and self._rows_submitted - self._rows_taken >= MAX_BATCH_ROWS:
            self._outcome.drop("batch losses")
            return
        self._rows.keep(values)
        if media is not None and self._images_submitted - self._images_taken >= _MAX_WAITING_IMAGES:
            self._outcome.drop("images")
            media = None
        self._rows_submitted += 1
        self._images_submitted += media is not None
        self._thread.submit(lambda: self._send(values, media))

    def define(self, name: str, step_metric: str, summary: str | None = None) -> None:
        """Define a metric, with the arguments of `wandb.Run.define_metric`."""
        self._rows.definitions.append(Definition(name, step_metric, summary))
        self.call(name, lambda run: run.define_metric(name, step_metric=step_metric, summary=summary))

    def call(self, what: str, function: Callable[[Any], object]) -> None:
        """Call a function with the run, on the session's thread.

        Args:
            what: Names the call in a warning.
            function: Gets the `wandb.Run`.
        """
        self._thread.submit(lambda: self._sender.call(what, function))

    def print_news(self) -> None:
        """Print what the session's thread has found out: the address of the run, or why there is none."""
        self._news.print()

    def close(self, uploads: Mapping[str, Upload], *, failed: bool) -> None:
        """Upload, then finish the run if the session has opened it: all within `finish_timeout`.

        Args:
            uploads: What is uploaded, by name.
            failed: Whether the training failed.
        """
        at_exit.remove(self)
        if self.inherited:
            return
        exit_code = int(failed)
        self._outcome.add_missing(*uploads, ROWS)  # until they have arrived
        self._thread.submit(lambda: self._ending.end(uploads, exit_code))
        ended = self._thread.end(self.finish_timeout * THREAD)
        if self._guarded:
            self._guarded = False
            FORK_GUARD.release()
        if not ended:
            self._abandon()
        elif self._ending.finished:
            open_runs.remove(self._run.wandb_run)
        if self._run.owned and not self._run.disabled:  # where no row was lost this finds none missing
            save_rows(
                self._run, self._rows, self._outcome, self._news,
                spare=self._spare, in_use=not ended, exit_code=exit_code,
            )  # fmt: skip
        self.print_news()

    def outcome(self) -> str:
        """Return where the run is, what did not arrive, and how to upload it."""
        if self._run.disabled:
            return "disabled"
        return self._outcome.text(address=self._run.address, sync_command=self._run.sync_command())

    def _open(self) -> None:
        finish_timeout = max(self.finish_timeout * FINISHING, 0.5)
        self._run.open(self._news, init_timeout=self.init_timeout, finish_timeout=finish_timeout)

    def _send(self, values: Mapping[str, Any], media: Callable[[], Mapping[str, Any]] | None) -> None:
        self._rows_taken += 1
        self._images_taken += media is not None
        self._sender.log(values, media)

    def _abandon(self) -> None:
        """Leave the thread that waits for wandb behind, and kill wandb's process if no other run needs it."""
        self._outcome.add_missing(ROWS)
        self._news.warning("wandb does not answer, its calls are abandoned")
        run = self._run.wandb_run
        open_runs.remove(run)
        at_exit.add_abandoned(self._thread.thread)
        # In a thread: to look for other runs is a call of wandb too, which may wait for a lock that the thread has.
        killing = threading.Thread(target=at_exit.kill_service_if_unused, args=(run,), name="wandb-end", daemon=True)
        killing.start()
        killing.join(self.finish_timeout * (1 - THREAD) / 2)
