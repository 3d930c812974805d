"""One W&B run that never costs the training: opened and closed within bounds, offline where there is no server.

wandb is imported inside functions only: who does not log to it does not wait for it.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import shlex
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.files import LOGGER
from yolo_callbacks.wandb_arguments import hide_command_line
from yolo_callbacks.wandb_file import logged_epochs

__all__ = ["WandbSession", "clean_name", "init_arguments"]

# Read when wandb starts; measured with wandb 0.31.0. Without them a dead server costs 10 s more at the start (two
# look-ups of 5 s), 19 s for each table or artifact, and 10 to 20 s at the exit of the interpreter, where wandb's own
# error reports go to the same server.
_BOUNDS = {"WANDB_X_DISABLE_VIEWER": "true", "WANDB_HTTP_TIMEOUT": "3", "WANDB_ERROR_REPORTING": "false"}
_WITHOUT_SERVER = ("offline", "disabled", "dryrun")
# The share of the time at the end for calls that wait for the server one by one; the rest is wandb's, to send.
_WAITING_SHARE = 1 / 3


class WandbSession:
    """A W&B run, and what is needed to finish it, upload it later, or continue it.

    Args:
        options: Arguments of `wandb.init`.
        init_timeout: Seconds that the start may take before the run goes offline.
        finish_timeout: Seconds that all uploads at the end may take together.

    Attributes:
        run: The `wandb.Run`; None before `open`.
        owned: Whether the session opened the run, and therefore finishes it.
        left: What was not uploaded, by name.
    """

    def __init__(self, options: Mapping[str, Any], *, init_timeout: float, finish_timeout: float) -> None:
        self.options = dict(options)
        self.init_timeout, self.finish_timeout = init_timeout, finish_timeout
        self.run: Any = None
        self.owned = False
        self.left: list[str] = []

    def open(self) -> None:
        """Take the run that is open already, or open one: online if that is quick enough, else offline."""
        with _environment(_BOUNDS):
            import wandb

            if wandb.run is not None:
                self.run = wandb.run
                return
            # A service that wandb started before has not read the bounds.
            wandb.teardown()
            mode = self._mode()
            if mode in _WITHOUT_SERVER or not self._open_online(mode):
                self.run = self._init(mode=mode if mode in _WITHOUT_SERVER else "offline")
            self.owned = True

    def log(self, row: Mapping[str, Any]) -> None:
        """Log one row of history."""
        self.run.log(dict(row))

    def logged_epochs(self, folders: list[str]) -> set[int] | None:
        """The epochs of a resumed run that have arrived, or that its folders hold; None where that is not known."""
        try:
            if self.owned and self.offline:
                return set().union(*(logged_epochs(Path(folder)) for folder in folders))
            # rows arrive in order
            return set(range(1, int(self.run.summary["epoch"]) + 1)) if self.owned else None
        except Exception as error:  # a file of another version of wandb, a server that says nothing of it
            LOGGER.debug(f"W&B: what was logged before is not known: {error!r}")
            return None

    def close(self, last: Mapping[str, Callable[[], object]], *, failed: bool) -> None:
        """Do what is `last`, then finish the run if it is ours: all within `finish_timeout`.

        Args:
            last: Calls that may wait for the server, such as for tables and artifacts, by what they upload.
            failed: Whether the training failed.
        """
        self.left = list(last)
        # A call that waits for a dead server cannot be ended, only left behind: in a thread that nobody waits for.
        uploading = threading.Thread(target=self._upload, args=(last,), name="wandb-uploads", daemon=True)
        uploading.start()
        uploading.join(self.finish_timeout * (_WAITING_SHARE if self.owned else 1.0))
        if self.owned:
            self._finish(last, exit_code=1 if failed else 0)

    @property
    def offline(self) -> bool:
        """Whether the run writes to disk only."""
        return bool(self.run.offline)

    @property
    def folder(self) -> Path:
        """Where the run's own file is."""
        return Path(self.run.sync_dir)

    def told(self, folders: list[str]) -> str:
        """Where the run is, or how to upload it from its folders."""
        if self.run.disabled:
            return "disabled"
        missing = f"not uploaded: {', '.join(self.left)}; " if self.left else ""
        if self.offline or self.left:
            include = [] if self.offline else ["--include-online"]
            return f"{missing}upload with: {shlex.join(['wandb', 'sync', *include, *folders])}"
        return str(self.run.url)

    def _mode(self) -> str:
        """What wandb would take: the argument, the settings given, the environment, the settings file."""
        import wandb

        given = self.options.get("settings")
        in_settings = given.get("mode") if isinstance(given, Mapping) else getattr(given, "mode", None)
        named = isinstance(given, Mapping) or "mode" in getattr(given, "model_fields_set", ())
        return str(self.options.pop("mode", None) or (in_settings if named else None) or wandb.setup().settings.mode)

    def _open_online(self, mode: str) -> bool:
        import wandb

        try:
            # prompt=False: a question on a terminal would wait for an answer for ever
            if self._has_own_key() or wandb.login(prompt=False, verify=False):
                self.run = self._init(mode=mode)
                return True
            reason = "no API key"
        except Exception as error:  # wandb raises many kinds, one for each way a server can be away
            reason = f"{type(error).__name__} {error}".strip()
            # without it the same id is "in use" when it is opened again offline
            wandb.teardown()
        LOGGER.warning(f"W&B: {reason}. The run is logged offline.")
        return False

    def _has_own_key(self) -> bool:
        given = self.options.get("settings")
        key = given.get("api_key") if isinstance(given, Mapping) else getattr(given, "api_key", None)
        return bool(key)

    def _init(self, *, mode: Any) -> Any:
        import wandb

        hide_command_line()
        settings = wandb.Settings(
            # one second for what comes before and after the connection itself
            init_timeout=max(self.init_timeout - 1.0, 1.0),
            finish_timeout=max(self.finish_timeout * (1 - _WAITING_SHARE), 1.0),
            finish_timeout_raises=True,
            # what a kill loses; a resumed run logs it again
            x_transaction_log_flush_interval=0.1,
        )
        options = dict(self.options)
        given = options.pop("settings", None)
        if isinstance(given, Mapping):
            settings.update_from_dict({**given, "mode": mode})
        elif given is not None:
            settings.update_from_settings(given)
        return wandb.init(**options, mode=mode, settings=settings)

    def _upload(self, last: Mapping[str, Callable[[], object]]) -> None:
        for name, upload in last.items():
            try:
                upload()
            except Exception as error:
                LOGGER.warning(f"W&B: {name} could not be logged: {type(error).__name__} {error}")
            else:
                self.left.remove(name)

    def _finish(self, last: Mapping[str, object], *, exit_code: int) -> None:
        try:
            self.run.finish(exit_code=exit_code)
        except Exception as error:
            # What was handed over may or may not have arrived: nothing is known of any of it.
            LOGGER.warning(f"W&B: the run could not be finished: {type(error).__name__} {error}")
            self.left = ["the end of the run", *last]


def init_arguments() -> list[str] | None:
    """Return the names of the arguments of `wandb.init`; None where they are not known, such as without wandb."""
    try:
        with _environment(_BOUNDS):
            import wandb
        parameters = inspect.signature(wandb.init).parameters.values()
    except (ImportError, TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters]


def clean_name(name: str, default: str) -> str:
    """A name of a project or run that W&B accepts: it refuses some characters, and more than 128 of them."""
    return re.sub(r"[/\\#?%:\s]", "-", name).strip("-.")[-128:] or default


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables that the user has not set, for a while."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
