"""One W&B run that never costs the training: a thread opens it, sends its rows and finishes it, within bounds.

wandb is imported inside functions only: who does not log to it does not wait for it.
"""

from __future__ import annotations

import atexit
import glob
import os
import queue
import shlex
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from yolo_callbacks.loggers.wandb_parts.arrival import ROWS, last_step, refusals
from yolo_callbacks.loggers.wandb_parts.file import RowKey, logged_rows, row_key
from yolo_callbacks.loggers.wandb_parts.opening import (
    chooses_id,
    forget,
    kill_service,
    named_id,
    new_id,
    open_run,
    others_are_open,
    users_run,
)
from yolo_callbacks.loggers.wandb_parts.saving import Saved
from yolo_callbacks.utils.files import LOGGER

__all__ = ["Upload", "WandbSession"]

# Shares of `finish_timeout`: for calls that wait for the server one by one; for wandb to send the rest; for all that
# the thread does. What is left is for the rows that wandb did not take.
_UPLOADING, _FINISHING, _THREAD = 0.4, 0.35, 0.9
# Rows of batches that wait for wandb, or that are kept in case it loses them; rows of epochs are all kept.
_MAX_BATCH_ROWS = 10_000
# Rows whose images wait for wandb; further ones lose theirs.
_MAX_WAITING_IMAGES = 8
_ASKING = 3  # times that the server is asked for the last row: it may be a moment behind


class Upload(NamedTuple):
    """Something large that is uploaded at the end."""

    call: Callable[[Any], Any]
    """Gets the run, and returns the artifact where it logs one."""
    remedy: Callable[[Any], str] | None = None
    """Gets the run, and returns what the user can do where it did not arrive and `wandb sync` does not bring it."""


class _Row(NamedTuple):
    values: dict[str, Any]
    media: Callable[[], Mapping[str, Any]] | None


class WandbSession:
    """A W&B run, and the thread that is alone to call wandb.

    Args:
        options: Arguments of `wandb.init`.
        init_timeout: Seconds that the start may take before the run goes offline.
        finish_timeout: Seconds that `close` may take.
        spare: The folder for rows that wandb does not take, where they cannot be added to its own file.
        describe: Returns the text of an error without arguments that no message may show.
        folders: The folders of a resumed run so far.

    Attributes:
        owned: Whether the session opens the run, and therefore finishes it.
        folders: The folders of the run so far, of a resumed run the earlier ones first.
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
        self.options = dict(options)
        self.init_timeout, self.finish_timeout = init_timeout, finish_timeout
        self.folders = list(folders)
        self._describe = describe
        self._resumed = "resume" in self.options
        if named_id(self.options, self.options.get("settings")) is None and not chooses_id(self.options):
            self.options["id"] = new_id()  # here, so that the state of the first epoch has it
        self._spare = spare
        self._pid = os.getpid()
        self._run: Any = users_run()
        self.owned = self._run is None
        self._queue: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="wandb-session", daemon=True)
        self._opened = threading.Event()
        self._news: deque[tuple[str, str]] = deque()  # level and text, for the training thread to print
        self._waiting = self._waiting_images = 0
        self._rows: list[dict[str, Any]] = []  # of epochs, and the final one
        self._batch_rows: deque[dict[str, Any]] = deque(maxlen=_MAX_BATCH_ROWS)
        self._past: list[dict[str, Any]] = []
        self._earlier: list[str] = []
        self._logged: set[RowKey] = set()
        self._metrics: list[tuple[str, str, str | None]] = []
        self._lost: dict[str, int] = {}  # what never reached wandb, and how often
        self._left: dict[str, str] = {}  # what did not arrive, and why
        self._unconfirmed = False
        self._remedies: dict[str, str] = {}
        self._warned: set[tuple[type, int | None]] = set()
        self._ended = False

    # On the training thread -------------------------------------------------------------------------------------------

    def start(self, *, past: Iterable[Mapping[str, Any]] = (), background: bool) -> None:
        """Start to open the run, and log those rows of the past that a kill has lost.

        Args:
            past: The rows of the epochs that a resumed run has behind it.
            background: Whether to return at once; otherwise return when the run is open.
        """
        self._past = [dict(row) for row in past]
        self._queue.put(self._replay)
        _sessions.append(self)
        try:
            self._thread.start()
        except RuntimeError as error:  # the system allows no thread more
            self._warn("the run could not be opened", error)
            self._opened.set()
        if not background:
            self._opened.wait(2 * self.init_timeout + 5)

    @property
    def inherited(self) -> bool:
        """Whether this process is a fork of the one that has the run."""
        return self._pid != os.getpid()

    @property
    def run(self) -> Any:
        """The run; waits for it `init_timeout` at most, and is None if it is not open then."""
        if self.inherited:
            return None
        self._opened.wait(self.init_timeout)
        return self._run

    @property
    def run_id(self) -> str | None:
        """The id of the run, as far as it is known now."""
        return str(self._run.id) if self._run is not None else self.options.get("id")

    def log(self, row: Mapping[str, Any], media: Callable[[], Mapping[str, Any]] | None = None) -> None:
        """Log one row of history.

        Args:
            row: Its plain values.
            media: Makes what else the row has, on the session's thread.
        """
        values = dict(row)
        key = row_key(values)
        if key is not None and key[0] == "batch":
            if self._waiting >= _MAX_BATCH_ROWS:
                self._lose("batch losses")
                return
            self._batch_rows.append(values)
        elif key is not None:
            self._rows.append(values)
        if media is not None:
            if self._waiting_images >= _MAX_WAITING_IMAGES:
                self._lose("images")
                media = None
            else:
                self._waiting_images += 1
        self._waiting += 1
        self._queue.put(lambda: self._log(_Row(values, media)))

    def define(self, name: str, step_metric: str, summary: str | None = None) -> None:
        """Define a metric."""
        self._metrics.append((name, step_metric, summary))
        self.call(name, lambda run: run.define_metric(name, step_metric=step_metric, summary=summary))

    def call(self, what: str, function: Callable[[Any], object]) -> None:
        """Call a function with the run, on the session's thread."""
        self._queue.put(lambda: self._try(what, function))

    def tell(self) -> None:
        """Print what the thread has to say: the address of the run, or why there is none."""
        while self._news:
            level, text = self._news.popleft()
            (LOGGER.warning if level == "warning" else LOGGER.info)(text)

    def close(self, last: Mapping[str, Upload], *, failed: bool) -> None:
        """Upload what is `last`, then finish the run if the session has opened it: all within `finish_timeout`.

        Args:
            last: What is uploaded, by name.
            failed: Whether the training failed.
        """
        _sessions[:] = [other for other in _sessions if other is not self]
        if self.inherited:
            return
        code = int(failed)
        self._left = dict.fromkeys([*last, ROWS], "no time was left")  # until the opposite is known
        self._queue.put(lambda: self._end(last, code))
        self._queue.put(None)
        if self._thread.ident is not None:
            self._thread.join(self.finish_timeout * _THREAD)
        if self._thread.is_alive():
            self._abandon()
        elif self._ended:
            forget(self._run)
        if self.owned and not self._disabled:
            self._save_rows(code)  # where all went well it finds none missing
        self.tell()

    @property
    def offline(self) -> bool:
        """Whether the run writes to disk only; to be read where the run is open."""
        return bool(self._run.offline)

    def outcome(self) -> str:
        """Return where the run is, what did not arrive, and how to upload it."""
        if self._disabled:
            return "disabled"
        parts = []
        if self._lost:
            lost = ", ".join(f"{what} ({count} x)" for what, count in self._lost.items())
            parts.append(f"not logged, wandb was too slow: {lost}")
        missing = {what: why for what, why in self._left.items() if what != ROWS or not self._unconfirmed}
        if missing:
            named = [f"{what} ({self._remedies[what]})" if what in self._remedies else what for what in missing]
            parts.append(f"not uploaded: {', '.join(named)}")
        if self._unconfirmed:
            parts.append(f"not confirmed by the server: {ROWS}")
        if self._run is None or self.offline or self._left or self._unconfirmed:
            parts.append(f"upload with: {self._sync_command()}")
        else:
            parts.append(str(self._run.url))
        return "; ".join(parts)

    # On the session's thread ------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            self._open()
        except BaseException as error:  # nobody but the end of the run asks for it
            self._warn("the run could not be opened", error)
        finally:
            self._opened.set()
        while True:
            task = self._queue.get()
            if task is None:
                return
            if self._run is not None:
                try:
                    task()
                except Exception as error:
                    self._warn("a call of wandb failed", error)

    def _open(self) -> None:
        if self.owned:
            opened = open_run(
                self.options,
                init_timeout=self.init_timeout,
                finish_timeout=max(self.finish_timeout * _FINISHING, 0.5),
                describe=self._describe,
            )
            if opened.why_offline:
                self._news.append(("warning", f"W&B: {opened.why_offline}. The run is logged offline."))
            elif not opened.run.offline and opened.run.url:
                self._news.append(("info", f"W&B: {opened.run.url}"))
            self._run = opened.run
            _exit_after_wandb()
        if self._disabled:
            return
        folder = Path(self._run.sync_dir)
        if self._resumed and self.owned:
            self._find_folders(folder.parent, self._run.id)
        self.folders = [path for path in self.folders if path != str(folder)]
        self._earlier = list(self.folders)
        self.folders.append(str(folder))

    def _replay(self) -> None:
        """Log what a kill has lost of the epochs that a resumed run has behind it."""
        if not self.owned or not (self._earlier or self._past):
            return
        self._logged = self._rows_before(self._earlier)
        self._rows[:0] = self._past
        past, self._past = self._past, []
        for row in past:
            self._waiting += 1
            self._log(_Row(row, None))

    def _find_folders(self, root: Path, run_id: str) -> None:
        """Add the folders of the run that the state does not have: a kill may have come before it was written."""
        # wandb adds a number to the name of a folder that exists; the file in it has the id alone
        found = sorted(str(path.parent) for path in root.glob(f"*run-*/run-{glob.escape(run_id)}.wandb"))
        self.folders += [path for path in found if path not in self.folders]

    def _rows_before(self, folders: Iterable[str]) -> set[RowKey]:
        """Return the rows of a resumed run that have arrived, or that its folders hold."""
        try:
            if self.offline:
                return set().union(*(logged_rows(Path(folder)) for folder in folders))
            summary = self._run.summary
            final = {("final", 0)} if any(str(key).startswith("final/") for key in summary.keys()) else set()  # noqa: SIM118
            # rows arrive in order
            return {("epoch", epoch) for epoch in range(1, int(summary["epoch"]) + 1)} | final
        except Exception as error:  # a file of another version of wandb, a server that says nothing of it
            LOGGER.debug(f"W&B: what was logged before is not known: {error!r}")
            return {key for row in self._past if (key := row_key(row)) is not None}  # rather lost than twice

    def _log(self, row: _Row) -> None:
        self._waiting -= 1
        media: Mapping[str, Any] = {}
        if row.media is not None:
            self._waiting_images -= 1
            media = row.media()
        key = row_key(row.values)
        if key is not None and key in self._logged:
            return
        if key is not None and key[0] == "epoch":
            self._logged.discard(("final", 0))  # of an extended run: it has another end
        self._try("a row", lambda run: run.log({**row.values, **media}))

    def _try(self, what: str, function: Callable[[Any], object]) -> None:
        try:
            function(self._run)
        except Exception as error:
            self._warn(f"{what} could not be logged", error)

    def _warn(self, what: str, error: BaseException) -> None:
        """Warn of an error, once a kind: a full disk fails every call."""
        kind = type(error), getattr(error, "errno", None)
        if kind not in self._warned:
            self._warned.add(kind)
            self._news.append(("warning", f"W&B: {what}: {self._describe(error)}"))

    def _end(self, last: Mapping[str, Upload], code: int) -> None:
        artifacts: dict[str, Any] = {}
        # A call that waits for a dead server cannot be ended, only left behind: in a thread that nobody waits for.
        uploading = threading.Thread(target=self._upload, args=(last, artifacts), name="wandb-uploads", daemon=True)
        uploading.start()
        uploading.join(self.finish_timeout * (_UPLOADING if self.owned else _THREAD))
        step = self._last_step()
        in_time = not self.owned or self._finish(code)
        self._ended = self.owned
        if in_time:
            self._left.pop(ROWS)
        if not self._disabled and not self.offline:
            self._look_for_artifacts(last, artifacts)
            self._look_for_refusals()
            if self.owned and in_time and ROWS not in self._left:
                self._unconfirmed = step is None or not self._confirmed(step)

    def _last_step(self) -> int | None:
        """Return the step of the last row that was logged; None where no server is asked, or wandb does not know it."""
        try:
            return None if self._disabled or self.offline else int(self._run.step) - 1
        except Exception as error:
            LOGGER.debug(f"W&B: the last step is not known: {error!r}")
            return None

    def _upload(self, last: Mapping[str, Upload], artifacts: dict[str, Any]) -> None:
        for name, upload in last.items():
            try:
                artifacts[name] = upload.call(self._run)
            except Exception as error:
                self._left[name] = self._describe(error)
                self._warn(f"{name} could not be logged", error)
                if upload.remedy is not None:
                    self._remedies[name] = upload.remedy(self._run)
            else:
                self._left.pop(name, None)

    def _finish(self, code: int) -> bool:
        """Finish the run, and return whether that went well."""
        try:
            self._run.finish(exit_code=code)
        except Exception as error:
            # What was handed over may or may not have arrived: nothing is known of any of it.
            self._warn("the run could not be finished", error)
            self._left[ROWS] = str(error)
            if not isinstance(error, TimeoutError):  # wandb's process is gone
                _kill_if_alone(self._run)
            return False
        return True

    def _look_for_artifacts(self, last: Mapping[str, Upload], artifacts: Mapping[str, Any]) -> None:
        for name, artifact in list(artifacts.items()):
            remedy = last[name].remedy
            if remedy is None:
                continue
            self._remedies[name] = remedy(self._run)
            try:
                artifact.wait(timeout=1)
            except Exception as error:
                self._left[name] = self._describe(error)
        for name, upload in last.items():
            if name in self._left and upload.remedy is not None:
                self._remedies[name] = upload.remedy(self._run)

    def _look_for_refusals(self) -> None:
        try:
            found, artifacts = refusals(Path(self._run.settings.log_internal))
        except (OSError, TypeError):
            self._unconfirmed = True
            return
        self._left.update(found)
        named = sum(name in self._left for name in self._remedies)
        if artifacts > named:
            self._left["tables of charts"] = "refused"

    def _confirmed(self, step: int) -> bool:
        """Return whether the server has the last row, and so all before it."""
        for attempt in range(_ASKING):
            try:
                if last_step(self._run.path, self.finish_timeout / 10) >= step:
                    return True
            except Exception as error:
                LOGGER.debug(f"W&B: the server does not say which rows it has: {error!r}")
                return False
            time.sleep(self.finish_timeout / 50 * attempt)
        return False

    # At the end -------------------------------------------------------------------------------------------------------

    @property
    def _disabled(self) -> bool:
        return self._run is not None and bool(self._run.disabled)

    def _abandon(self) -> None:
        """Leave a thread behind that waits for wandb, and end wandb's process if nobody else needs it."""
        self._left[ROWS] = "wandb does not answer"
        self._news.append(("warning", "W&B: wandb does not answer, nobody waits for it any more"))
        forget(self._run)
        _abandoned.append(self._thread)
        # Beside: to look for other runs is a call of wandb too, which may wait for a lock that the thread has.
        killing = threading.Thread(target=_kill_if_alone, args=(self._run,), name="wandb-end", daemon=True)
        killing.start()
        killing.join(self.finish_timeout * (1 - _THREAD) / 2)

    def _save_rows(self, code: int) -> None:
        """Let the command name a file that has all rows: wandb may have been stopped or killed, or had no room."""
        saved = Saved(
            run_id=self.run_id or "unknown",
            options=self.options,
            folder=Path(self.folders[-1]) if self._run is not None else None,
            spare=self._spare / "wandb",
            in_use=self._thread.is_alive(),
        )
        if self._past:  # the run was never open, or too late to log them again
            self._restore_past()
        rows = [row for row in (*self._batch_rows, *self._rows) if row_key(row) not in self._logged]
        try:
            new = saved.complete(rows, self._metrics, code)
        except Exception as error:  # no room anywhere; a file that another version of wandb wrote
            self._lost["rows"] = self._lost.get("rows", 0) + len(saved.missing)
            self._warn(f"{len(saved.missing)} rows could not be saved", error)
            return
        if saved.without_images:
            self._left["images"] = "no room"
        if new is not None and str(new) not in self.folders:
            self.folders = [folder for folder in self.folders if folder != str(saved.folder)] + [str(new)]

    def _restore_past(self) -> None:
        """Take those rows of the past that no folder of the run has; no server is asked here."""
        if self._run is None:
            self._find_folders(self._spare / "wandb", str(self.run_id))
        try:
            self._logged = set().union(*(logged_rows(Path(folder)) for folder in self.folders))
        except Exception as error:  # a file of another version of wandb
            LOGGER.debug(f"W&B: what was logged before is not known: {error!r}")
        self._rows[:0] = self._past

    def _sync_command(self) -> str:
        online = any(Path(folder).name.startswith("run-") for folder in self.folders)
        given = self.options.get("id")
        other = ["--id", str(given)] if given and self._run is not None and self._run.id != given else []
        return shlex.join(["wandb", "sync", *(["--include-online"] if online else []), *other, *self.folders])

    def _lose(self, what: str) -> None:
        self._lost[what] = self._lost.get(what, 0) + 1


_sessions: list[WandbSession] = []  # that are open, of this process or of the one that it was forked from
_abandoned: list[threading.Thread] = []


def _kill_if_alone(run: Any) -> None:
    if not others_are_open(run):
        kill_service()


def _exit_after_wandb() -> None:
    """Have `_at_exit` called before what wandb does at the exit of the interpreter: the last one is called first."""
    atexit.unregister(_at_exit)
    atexit.register(_at_exit)


def _at_exit() -> None:
    """Finish the runs that are open, and let no process of wandb that does not answer keep the interpreter."""
    for session in list(_sessions):
        session.close({}, failed=getattr(sys, "last_value", None) is not None)
    if any(thread.is_alive() for thread in _abandoned):
        killing = threading.Thread(target=kill_service, daemon=True)
        killing.start()
        killing.join(2)
