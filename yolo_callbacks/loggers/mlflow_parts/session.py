"""Log to an MLflow run in a thread, which imports MLflow, opens the run, sends to it and ends it within time limits."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from yolo_callbacks.loggers.logger_parts.news import News
from yolo_callbacks.loggers.mlflow_parts import at_exit
from yolo_callbacks.loggers.mlflow_parts.limits import limited
from yolo_callbacks.loggers.mlflow_parts.opened_run import OpenedRun, is_refused, open_run
from yolo_callbacks.loggers.mlflow_parts.outbox import Outbox, Task
from yolo_callbacks.loggers.mlflow_parts.outcome import Outcome
from yolo_callbacks.loggers.mlflow_parts.target import Target
from yolo_callbacks.utils.redaction import clean_text, clean_url

__all__ = ["IMAGES", "MlflowSession", "Upload"]

IMAGES = "images"
_MOST_IMAGES = 8  # epochs whose images wait
_LONGEST_MESSAGE = 400

# Until which share of `finish_timeout` what waits is sent, files are uploaded, and the run is ended. Each has the time
# that those before it have left.
SENT, UPLOADED, ENDED = 0.6, 0.85, 0.95


class Upload(NamedTuple):
    """Something that is uploaded at the end."""

    name: str
    """Names it in the table."""
    call: Callable[[OpenedRun], str | None]
    """Uploads it, and returns what the table says of it; None for nothing."""


class MlflowSession:
    """An MLflow run as the training thread uses it: no method waits for MLflow, except those with a time limit.

    Args:
        target: Where to log.
        init_timeout: Seconds that one request may take, and after which a warning says that no run is open.
        finish_timeout: Seconds that `close` may take.
        describe: Returns the text of an error without arguments that no message may show.
    """

    def __init__(
        self, target: Target, *, init_timeout: float, finish_timeout: float, describe: Callable[[BaseException], str]
    ) -> None:
        self._target = target
        self.init_timeout, self.finish_timeout = init_timeout, finish_timeout
        self._pid = os.getpid()
        self._describe = describe
        self._news = News(self._described, "MLflow")
        self._outcome = Outcome()
        self._outbox = Outbox()
        self._run: OpenedRun | None = None
        self._attempts = 0
        self._opened = threading.Event()
        self._end: tuple[Sequence[Upload], str] = (), "FAILED"
        self._started = self._closing = time.monotonic()
        self._said_to_wait = self._abandoned = False
        # A request may take its time: nobody waits for the thread at the exit of the interpreter.
        self._thread = threading.Thread(target=self._work, name="mlflow-session", daemon=True)

    @property
    def inherited(self) -> bool:
        """Whether this process is a fork of the one that has the run."""
        return self._pid != os.getpid()

    @property
    def run_id(self) -> str | None:
        """The id of the run, as far as it is known now."""
        run = self._run
        return run.run_id if run is not None else self._target.run_id

    def wait_for_run(self) -> str | None:
        """Return the id of the run; wait until it is open, at most `init_timeout`. None if it is not open then."""
        if not self.inherited:
            self._opened.wait(self.init_timeout)
        run = self._run
        return run.run_id if run is not None else None

    def start(self) -> None:
        """Start to open the run; where the system allows no thread more, add a warning."""
        at_exit.add(self)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._news.warn_of(error, "nothing is logged")

    def submit(self, task: Task) -> None:
        """Send something after all that waits."""
        if (task.what == IMAGES and self._outbox.waiting(IMAGES) >= _MOST_IMAGES) or not self._outbox.put(task):
            self._outcome.add_lost([task])

    def print_news(self) -> None:
        """Print what the thread has found out."""
        waited = time.monotonic() - self._started
        if self._run is None and not self._said_to_wait and waited > self.init_timeout and self._thread.is_alive():
            self._said_to_wait = True
            self._news.warning(f"no run is open after {waited:.0f} s. Rows are kept, and sent when the server answers.")
        self._news.print()

    def close(self, uploads: Sequence[Upload], status: str) -> None:
        """Send what waits, upload, then end the run if the session has opened it: all within `finish_timeout`.

        Args:
            uploads: What is uploaded, the most valuable first.
            status: The status of the run in MLflow.
        """
        at_exit.remove(self)
        if self.inherited:
            return
        self._end = uploads, status
        self._outcome.add_missing(*(upload.name for upload in uploads))
        if self._run is None or self._run.owned:
            self._outcome.add_missing(f"status {status}")
        self._closing = time.monotonic()
        self._outbox.close(self._left(SENT))
        if self._thread.ident is not None:
            self._thread.join(self.finish_timeout)
        self._abandoned = self._thread.is_alive()
        left = self._outbox.left()
        self._outcome.add_lost(left)
        if left or self._abandoned:
            self._news.warning(f"what was not logged within {self.finish_timeout:.3g} s (finish_timeout) is given up")
        self.print_news()

    def send_late(self, uploads: Sequence[Upload]) -> None:
        """Upload files that are written after `close`; not where the server has failed before.

        It waits at most as long as uploads may take in `close`.
        """
        run = self._run
        if run is None or self.inherited or self._abandoned or self._outcome.missing or not uploads:
            return
        self._outcome.add_missing(*(upload.name for upload in uploads))
        self._closing = time.monotonic()
        self._upload_in_time(run, uploads)
        missing = [upload.name for upload in uploads if upload.name in self._outcome.missing]
        if missing:
            self._news.warning(f"not logged: {', '.join(missing)}")
        self.print_news()

    def outcome(self) -> str:
        """Return where the run is, and what did not arrive."""
        return self._outcome.text()

    def _left(self, share: float) -> float:
        """Return the seconds until a share of `finish_timeout` has passed."""
        return max(self._closing + share * self.finish_timeout - time.monotonic(), 0.0)

    def _described(self, error: BaseException) -> str:
        """Return the text of an error without credentials, also where it quotes the address of the store."""
        text, uri = self._describe(error), self._target.tracking_uri
        if uri:
            text = text.replace(uri, clean_url(uri))
        return clean_text(text)[:_LONGEST_MESSAGE]

    # On the thread ----------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while (task := self._outbox.next()) is not None:
                self._try(task)
            self._conclude()
        except BaseException as error:  # also SystemExit: the training thread learns of it by this message only
            self._news.warn_of(error, "nothing more is logged")
        finally:
            self._opened.set()

    def _try(self, task: Task) -> None:
        try:
            with limited(self.init_timeout):
                task.send(self._open())
        except Exception as error:
            opened = self._run is not None
            lost = opened and (not task.lasts or is_refused(error))
            what = task.what if opened else "the run"
            verb = "logged" if opened else "opened"
            self._news.warn_of(error, f"{what} could not be {verb}{'' if lost else ' yet, it is tried again'}")
            if not lost:
                self._outbox.delay()
                return
            self._outcome.add_lost([task])
        self._outbox.remove(task)

    def _open(self) -> OpenedRun:
        if self._run is None:
            self._attempts += 1
            self._run = open_run(self._target, search=self._attempts > 1)
            self._outcome.place = self._run.place
            if self._run.is_beside:
                self._news.info("the active run has epochs of another training, this one is logged to a child of it")
            if self._run.address:
                self._news.info(self._run.address)
            self._opened.set()
        return self._run

    def _conclude(self) -> None:
        """Upload, and end the run; not where it could not be opened until now."""
        run, (uploads, status) = self._run, self._end
        if run is None or self._abandoned:
            return
        if not self._outbox.is_failing:
            self._upload_in_time(run, uploads)
        if not run.owned:
            return
        try:
            with limited(self._left(ENDED)):
                run.client.set_terminated(run.run_id, status)
        except Exception as error:
            self._news.warn_of(error, "the run could not be ended")
        else:
            self._outcome.add_arrived(f"status {status}")

    def _upload_in_time(self, run: OpenedRun, uploads: Sequence[Upload]) -> None:
        # A call that waits for a dead server cannot be ended, only left behind: in a thread that nobody waits for.
        thread = threading.Thread(target=self._upload, args=(run, uploads), name="mlflow-uploads", daemon=True)
        thread.start()
        thread.join(self._left(UPLOADED))

    def _upload(self, run: OpenedRun, uploads: Sequence[Upload]) -> None:
        for upload in uploads:
            left = self._left(UPLOADED)
            if left <= 0 or self._abandoned:
                return
            try:
                with limited(left, retries=1):
                    note = upload.call(run)
            except Exception as error:
                self._news.warn_of(error, f"{upload.name} could not be logged")
            else:
                self._outcome.add_arrived(upload.name)
                if note:
                    self._outcome.notes.append(note)
