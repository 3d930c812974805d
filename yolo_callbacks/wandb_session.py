"""One W&B run that never costs the training: opened and closed within bounds, offline where there is no server.

The only module that imports wandb, and only inside functions.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from yolo_callbacks.files import LOGGER

__all__ = ["WandbSession", "clean_project", "without_credentials"]

# Read when wandb starts; measured with wandb 0.31.0. Without them a dead server costs 10 s more at the start (two
# look-ups of 5 s), 19 s for each table or artifact, and 10 to 20 s at the exit of the interpreter, where wandb's own
# error reports go to the same server.
_BOUNDS = {"WANDB_X_DISABLE_VIEWER": "true", "WANDB_HTTP_TIMEOUT": "3", "WANDB_ERROR_REPORTING": "false"}


class WandbSession:
    """A W&B run, and what is needed to finish it, upload it later, or continue it.

    Args:
        options: Arguments of `wandb.init`.
        init_timeout: Seconds that the start may take before the run goes offline.
        finish_timeout: Seconds that all uploads at the end may take together.

    Attributes:
        run: The `wandb.Run`; None before `open` and where not even an offline run can be opened.
        owned: Whether the session opened the run, and therefore finishes it.
        offline: Whether the run writes to disk only.
        left: What was not uploaded, in words.
    """

    def __init__(self, options: Mapping[str, Any], *, init_timeout: float, finish_timeout: float) -> None:
        self.options = dict(options)
        self.init_timeout, self.finish_timeout = init_timeout, finish_timeout
        self.run: Any = None
        self.owned = False
        self.offline = False
        self.left: list[str] = []

    def open(self) -> None:
        """Take the run that is open already, or open one: online if that is quick enough, else offline."""
        with _environment(_BOUNDS):
            import wandb

            if wandb.run is not None:
                self.run = wandb.run
                self.offline = bool(wandb.run.settings._offline)
                return
            mode = self.options.pop("mode", None) or os.environ.get("WANDB_MODE") or "online"
            if mode == "online" and not self._open_online():
                mode = "offline"
            if self.run is None:
                self.run, self.offline = self._init(mode=mode), mode == "offline"
            self.owned = True

    def log(self, row: Mapping[str, Any]) -> None:
        """Log one row of history."""
        if self.run is not None:
            self.run.log(dict(row))

    def close(self, last: Callable[[], None], *, failed: bool) -> None:
        """Do `last`, then finish the run if it is ours: both within `finish_timeout`.

        Args:
            last: The calls that wait for the server: tables, charts, artifacts.
            failed: Whether the training failed.
        """
        if self.run is None:
            return
        started = monotonic()
        # A call that waits for a dead server cannot be ended, only left behind: in a thread that nobody waits for.
        uploading = threading.Thread(target=_guarded, args=(last,), name="wandb-uploads", daemon=True)
        uploading.start()
        uploading.join(self.finish_timeout if not self.owned else self.finish_timeout / 2)
        if uploading.is_alive():
            self.left.append("files of the end of the training")
        if self.owned:
            self._finish(1 if failed else 0, self.finish_timeout - (monotonic() - started))

    @property
    def folder(self) -> Path | None:
        """Where the run's own file is."""
        return None if self.run is None else Path(self.run.settings.sync_dir)

    def _open_online(self) -> bool:
        import wandb

        try:
            # prompt=False: a question on a terminal would wait for an answer for ever
            if wandb.login(prompt=False, verify=False):
                self.run = self._init(mode="online")
                return True
            reason = "no API key"
        except Exception as error:  # wandb raises many kinds, one for each way a server can be away
            reason = f"{type(error).__name__} {error}".strip()
            # without it the same id is "in use" when it is opened again offline
            wandb.teardown()
        LOGGER.warning(f"W&B: {reason}. The run is logged offline.")
        return False

    def _init(self, *, mode: Any) -> Any:
        import wandb

        settings = wandb.Settings(
            # one second for what comes before and after the connection itself
            init_timeout=max(self.init_timeout - 1.0, 1.0),
            finish_timeout=max(self.finish_timeout / 2, 1.0),
            finish_timeout_raises=True,
            # what a kill loses
            x_transaction_log_flush_interval=1.0,
        )
        options = dict(self.options)
        given = options.pop("settings", None)
        if isinstance(given, Mapping):
            settings.update_from_dict(given)
        elif given is not None:
            settings.update_from_settings(given)
        return wandb.init(**options, mode=mode, settings=settings)

    def _finish(self, exit_code: int, seconds: float) -> None:
        try:
            self.run.finish(exit_code=exit_code)
        except Exception as error:
            self.left.append(f"the end of the run ({type(error).__name__})")


def clean_project(name: str) -> str:
    """A project name that W&B accepts: it refuses some characters and more than 128 of them."""
    return re.sub(r"[/\\#?%:]", "-", name).strip("-")[-128:] or "Ultralytics"


def without_credentials(value: Any) -> Any:
    """A value for the config: plain types, and URLs without user, password and query."""
    if isinstance(value, Mapping):
        return {str(key): without_credentials(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_credentials(item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return re.sub(r"(\w+://)(?:[^/@\s]*@)?([^?\s]*)(?:\?\S*)?", r"\1\2", str(value))


def _guarded(function: Callable[[], None]) -> None:
    try:
        function()
    except Exception as error:
        LOGGER.warning(f"W&B: the last uploads failed: {type(error).__name__} {error}")


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
