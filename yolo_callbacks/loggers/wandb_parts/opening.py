"""Open W&B runs within bounds, one at a time, and know which ones a logger of this process has open.

wandb is imported inside functions only: who does not log to it does not wait for it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import string
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from yolo_callbacks.loggers.wandb_parts.command_line import hide_command_line
from yolo_callbacks.loggers.wandb_parts.file import logged_rows

__all__ = [
    "BOUNDS",
    "Opened",
    "chooses_id",
    "environment",
    "forget",
    "import_bounded",
    "kill_service",
    "named_id",
    "new_id",
    "open_run",
    "others_are_open",
    "users_run",
]

# Read when wandb starts; measured with wandb 0.31.0. Without them a dead server costs 10 s more at the start (two
# look-ups of 5 s), 19 s for each table or artifact, and 10 to 20 s at the exit of the interpreter, where wandb's own
# error reports go to the same server.
BOUNDS = {"WANDB_X_DISABLE_VIEWER": "true", "WANDB_HTTP_TIMEOUT": "3", "WANDB_ERROR_REPORTING": "false"}
_WITHOUT_SERVER = ("offline", "disabled", "dryrun")
_SERVICE = "wandb-core"

_opening = threading.Lock()
_open: list[Any] = []  # the runs that loggers of this process have opened and not finished


class Opened(NamedTuple):
    """A run that was opened."""

    run: Any
    why_offline: str
    """What went wrong with the server; `""` where nothing did, or where the run was to be offline."""


def users_run() -> Any:
    """Return the run that a user or a sweep has open; None where there is none, or where a logger opened it."""
    run = getattr(sys.modules.get("wandb"), "run", None)
    return None if any(run is ours for ours in _open) else run


def others_are_open(run: Any = None) -> bool:
    """Return whether this process has another run open than the given one, of a logger or of the user."""
    from wandb.sdk import wandb_setup

    with contextlib.suppress(AttributeError):  # of wandb 0.31.0; it knows runs of `reinit="create_new"` too
        active = list(wandb_setup.singleton()._active_runs)
        return any(other is not run for other in active)
    import wandb

    return any(other is not run for other in _open) or (wandb.run is not None and wandb.run is not run)


def forget(run: Any) -> None:
    """Take note that a run is finished."""
    _open[:] = [other for other in _open if other is not run]


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
        describe: Says what an error is.

    Raises:
        Exception: What wandb raises where not even an offline run can be opened.
        TimeoutError: If another thread does not end its own opening.
    """
    # wandb keeps its settings and its process per interpreter, not per thread.
    if not _opening.acquire(timeout=2 * init_timeout):
        raise TimeoutError("another run of this process does not finish opening")
    try:
        import_bounded()
        alone = not others_are_open()
        with environment(BOUNDS) if alone else contextlib.nullcontext(), _quiet_log_file():
            opened = _Opening(options, init_timeout, finish_timeout, describe, alone=alone).open()
        _open.append(opened.run)
        _make_global(opened.run)
        return opened
    finally:
        _opening.release()


def import_bounded() -> None:
    """Import wandb, which reads some of the bounds as it is imported."""
    if "wandb" not in sys.modules:
        with environment(BOUNDS):
            import wandb  # noqa: F401


def kill_service() -> None:
    """Kill the wandb process of this process, which does not answer any more; whoever waits for it gets an error."""
    import psutil

    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if child.name() == _SERVICE:
                child.kill()
    import wandb

    # Otherwise wandb 0.31.0 waits for the process at the exit of the interpreter, or prints a traceback there.
    with contextlib.suppress(Exception, SystemExit):
        wandb.teardown()


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables that the user has not set, for a while."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _quiet_log_file() -> Iterator[None]:
    """Keep the handler that wandb adds for debug.log from printing a traceback for each line that a full disk refuses.

    `wandb.init` of wandb 0.31.0 adds it and writes to it at once, so that it cannot be changed afterwards.
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
        self.init_timeout, self.finish_timeout, self.single_process = init_timeout, finish_timeout, alone
        self.id = named_id(self.options, self.given)

    def open(self) -> Opened:
        import wandb

        if self.single_process:
            # A service that wandb started before has not read the bounds.
            wandb.teardown()
        mode = self._mode()
        if mode in _WITHOUT_SERVER:
            return Opened(self._init(mode), "")
        before = set(self._folders())
        try:
            # prompt=False: a question on a terminal would wait for an answer for ever
            if self._setting("api_key") or wandb.login(prompt=False, verify=False):
                return Opened(self._init(mode), "")
            reason = "no API key"
        except Exception as error:  # wandb raises many kinds, one for each way a server can be away
            reason = self.describe(error)
            self._clean_up(before)
        return Opened(self._init("offline"), reason)

    def _clean_up(self, before: set[Path]) -> None:
        """Remove what the attempt left: the folder, and the id, which wandb's process says is in use."""
        import wandb

        if self.single_process:
            wandb.teardown()
        else:  # a teardown would end the other runs of this process
            self.options["id"] = new_id()
        for folder in set(self._folders()) - before:
            if not logged_rows(folder):
                shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        root = Path(str(self.options.get("dir") or self._setting("root_dir") or os.environ.get("WANDB_DIR") or "."))
        patterns = (f"run-*-{self.id}", f"run-*-{self.id}-[0-9]")  # with a number where the name was taken
        return [path for name in ("wandb", ".wandb") for each in patterns for path in (root / name).glob(each)]

    def _mode(self) -> str:
        """Return what wandb would take: the argument, the settings given, the environment, the settings file."""
        import wandb

        return str(self.options.pop("mode", None) or self._setting("mode") or wandb.setup().settings.mode)

    def _setting(self, name: str) -> Any:
        return _given(self.given, name)

    def _init(self, mode: str) -> Any:
        import wandb

        settings = wandb.Settings(
            # one second for what comes before and after the connection itself
            init_timeout=max(self.init_timeout - 1.0, 1.0),
            finish_timeout=self.finish_timeout,
            finish_timeout_raises=True,
            # what a kill loses; a resumed run logs it again
            x_transaction_log_flush_interval=0.1,
            reinit="create_new",
        )
        if "WANDB_SILENT" not in os.environ:
            settings.silent = True  # its lines would come in the middle of an epoch's; the logger prints the URL
        if isinstance(self.given, Mapping):
            settings.update_from_dict({**self.given, "mode": mode})
        elif self.given is not None:
            settings.update_from_settings(self.given)
        hide_command_line()
        return wandb.init(**self.options, mode=mode, settings=settings)  # type: ignore[arg-type]


def _given(settings: Any, name: str) -> Any:
    """Return a value of the settings that the user has given; None where it is not among them."""
    if isinstance(settings, Mapping):
        return settings.get(name)
    return getattr(settings, name) if name in getattr(settings, "model_fields_set", ()) else None


def named_id(options: Mapping[str, Any], settings: Any) -> str | None:
    """Return the id that the user, a sweep or a resumed run names; None where there is none."""
    found = options.get("id") or _given(settings, "run_id") or os.environ.get("WANDB_RUN_ID")
    return str(found) if found else None


def chooses_id(options: Mapping[str, Any]) -> bool:
    """Return whether wandb is to take the id of a run that it looks for itself."""
    return "auto" in (options.get("resume"), os.environ.get("WANDB_RESUME"))


def new_id() -> str:
    """Return an id for a run, as wandb makes them."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))


def _make_global(run: Any) -> None:
    """Make a run `wandb.run`, unless there is one: `reinit="create_new"` does not."""
    import wandb

    if wandb.run is not None:
        return
    try:
        from wandb.sdk.wandb_init import _set_global_run

        _set_global_run(run)
    except ImportError:  # not public: another version of wandb may not have it
        wandb.run = run


def _after_fork() -> None:
    """Leave what belongs to the parent alone: its lock, its service, and the folder that wandb removes at exit."""
    global _opening  # noqa: PLW0603
    _opening = threading.Lock()
    setup = sys.modules.get("wandb.sdk.wandb_setup")
    connection = getattr(getattr(setup, "_singleton", None), "_connection", None)
    keep_service = getattr(connection, "_cleanup", None)  # unregisters what wandb does with it at exit
    if keep_service is not None:
        keep_service()
    private = sys.modules.get("wandb.sdk.data_types._private")
    folder = getattr(private, "MEDIA_TMP", None)
    if folder is None:
        return
    import atexit

    atexit.unregister(folder.cleanup)
    finalizer = getattr(folder, "_finalizer", None)
    if finalizer is not None:
        finalizer.detach()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
