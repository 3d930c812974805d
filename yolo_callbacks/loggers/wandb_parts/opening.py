"""Open a W&B run within a time limit: online where that is quick enough, else offline.

wandb is imported inside functions only: a process that does not log to it does not wait for the import.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import string
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from yolo_callbacks.loggers.wandb_parts import open_runs
from yolo_callbacks.loggers.wandb_parts.command_line import hide_command_line
from yolo_callbacks.loggers.wandb_parts.file import logged_rows
from yolo_callbacks.loggers.wandb_parts.service import BOUNDS, environment, import_bounded

__all__ = ["Opened", "chooses_id", "named_id", "new_id", "open_run"]

_WITHOUT_SERVER = ("offline", "disabled", "dryrun")
_opening = threading.Lock()


class Opened(NamedTuple):
    """A run that was opened."""

    run: Any
    why_offline: str
    """What failed with the server; `""` where nothing failed, or where the run was to be offline."""


def open_run(
    options: Mapping[str, Any],
    *,
    init_timeout: float,
    finish_timeout: float,
    describe: Callable[[BaseException], str],
) -> Opened:
    """Open a run: online where that is quick enough, else offline.

    Args:
        options: Arguments of `wandb.init`.
        init_timeout: Seconds for the attempt to reach the server.
        finish_timeout: Seconds that `run.finish()` may take.
        describe: Returns the text of an error without arguments that no message may show.

    Raises:
        Exception: What wandb raises if it cannot even open an offline run.
        TimeoutError: If another thread is still opening a run.
    """
    # wandb has one set of settings and one process for each interpreter, not for each thread.
    if not _opening.acquire(timeout=2 * init_timeout):
        raise TimeoutError("another thread of this process is still opening a run")
    try:
        import_bounded()
        alone = not open_runs.others_are_open()
        with environment(BOUNDS) if alone else contextlib.nullcontext(), _quiet_log_file():
            opened = _Opening(options, init_timeout, finish_timeout, describe, alone=alone).open()
        open_runs.add(opened.run)
        _make_global(opened.run)
        return opened
    finally:
        _opening.release()


@contextlib.contextmanager
def _quiet_log_file() -> Iterator[None]:
    """Make the handler that wandb adds for debug.log print no traceback for each line that a full disk refuses.

    `wandb.init` of wandb 0.31.0 adds the handler and writes to it at once, so that it cannot be changed afterwards.
    """
    logger = logging.getLogger("wandb")
    add = logger.addHandler

    def add_quiet(handler: logging.Handler) -> None:
        if isinstance(handler, logging.FileHandler):
            handler.handleError = lambda record: None  # type: ignore[method-assign]
        add(handler)

    logger.addHandler = add_quiet  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del logger.addHandler


class _Opening:
    """Try to open a run online, then offline.

    Args:
        alone: Whether this process has no other run open, so that wandb's process may be restarted.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        init_timeout: float,
        finish_timeout: float,
        describe: Callable[[BaseException], str],
        *,
        alone: bool,
    ) -> None:
        self.describe = describe
        self.options = dict(options)
        self.given = self.options.pop("settings", None)
        self.init_timeout, self.finish_timeout, self.alone = init_timeout, finish_timeout, alone
        self.id = named_id(self.options, self.given)

    def open(self) -> Opened:
        import wandb

        if self.alone:
            # A process that wandb started before has not read the bounds.
            wandb.teardown()
        mode = self._mode()
        if mode in _WITHOUT_SERVER:
            return Opened(self._init(mode), "")
        before = set(self._folders())
        try:
            # prompt=False: a question on a terminal would wait for its answer without a limit
            if self._setting("api_key") or wandb.login(prompt=False, verify=False):
                return Opened(self._init(mode), "")
            reason = 'no API key (wandb login stores one; WandbLogger(mode="offline") is silent)'
        except Exception as error:  # wandb raises a different kind for each fault of a server
            reason = self.describe(error)
            self._clean_up(before)
        return Opened(self._init("offline"), reason)

    def _clean_up(self, before: set[Path]) -> None:
        """Remove the folder of the failed attempt, and free its id, which wandb's process reports as in use."""
        import wandb

        if self.alone:
            wandb.teardown()
        else:  # a teardown would end the other runs of this process
            self.options["id"] = new_id()
        for folder in set(self._folders()) - before:
            if not logged_rows(folder):
                shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        root = Path(str(self.options.get("dir") or self._setting("root_dir") or os.environ.get("WANDB_DIR") or "."))
        patterns = (f"run-*-{self.id}", f"run-*-{self.id}-[0-9]")  # wandb adds a number if the name is taken
        return [path for name in ("wandb", ".wandb") for each in patterns for path in (root / name).glob(each)]

    def _mode(self) -> str:
        """Return the mode that wandb would use: of the argument, the settings, the environment or the settings file."""
        import wandb

        return str(self.options.pop("mode", None) or self._setting("mode") or wandb.setup().settings.mode)

    def _setting(self, name: str) -> Any:
        return _given(self.given, name)

    def _init(self, mode: str) -> Any:
        import wandb

        settings = wandb.Settings(
            # one second is left for the steps before and after the connection
            init_timeout=max(self.init_timeout - 1.0, 1.0),
            finish_timeout=self.finish_timeout,
            finish_timeout_raises=True,
            # Rows of the last 0.1 s are lost by a kill; a resumed run logs them again.
            x_transaction_log_flush_interval=0.1,
            reinit="create_new",
        )
        if "WANDB_SILENT" not in os.environ:
            settings.silent = True  # its lines would break the progress bar; the logger prints the URL
        if isinstance(self.given, Mapping):
            settings.update_from_dict({**self.given, "mode": mode})
        elif self.given is not None:
            settings.update_from_settings(self.given)
        hide_command_line()
        return wandb.init(**self.options, mode=mode, settings=settings)  # type: ignore[arg-type]


def _given(settings: Any, name: str) -> Any:
    """Return a value of the settings that the user has passed; None where they do not have it."""
    if isinstance(settings, Mapping):
        return settings.get(name)
    return getattr(settings, name) if name in getattr(settings, "model_fields_set", ()) else None


def named_id(options: Mapping[str, Any], settings: Any) -> str | None:
    """Return the id that the user, a sweep or a resumed run has set; None where there is none."""
    found = options.get("id") or _given(settings, "run_id") or os.environ.get("WANDB_RUN_ID")
    return str(found) if found else None


def chooses_id(options: Mapping[str, Any]) -> bool:
    """Return whether wandb looks for a run to resume by itself, and so chooses the id."""
    return "auto" in (options.get("resume"), os.environ.get("WANDB_RESUME"))


def new_id() -> str:
    """Return a new id in the form of wandb's own ids."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))


def _make_global(run: Any) -> None:
    """Make a run `wandb.run`, unless there is one: with `reinit="create_new"` wandb 0.31.0 does not."""
    import wandb

    if wandb.run is not None:
        return
    try:
        from wandb.sdk.wandb_init import _set_global_run

        _set_global_run(run)
    except ImportError:  # it is private: another version of wandb may not have it
        wandb.run = run


def _after_fork() -> None:
    """Make a new lock: a thread of the parent may hold the old one, and it does not exist in the child."""
    global _opening  # noqa: PLW0603
    _opening = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
