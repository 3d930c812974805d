"""Open a `wandb.Run` or use the user's, find its folders, and name the command that uploads it."""

from __future__ import annotations

import glob
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.loggers.logger_parts.news import News
from yolo_callbacks.loggers.wandb_parts import open_runs
from yolo_callbacks.loggers.wandb_parts.at_exit import run_before_wandb
from yolo_callbacks.loggers.wandb_parts.opening import chooses_id, named_id, new_id, open_run

__all__ = ["SessionRun"]


class SessionRun:
    """A W&B run that is open, or that `open` opens.

    Args:
        options: Arguments of `wandb.init`.
        folders: The folders of a resumed run so far.

    Attributes:
        wandb_run: The `wandb.Run`, None until it is open.
        owned: Whether the session opens the run, and therefore finishes it.
        folders: The folders of the run, the earliest first.
        earlier_folders: Those of them that earlier parts of a resumed run have written.
    """

    def __init__(self, options: Mapping[str, Any], folders: Iterable[str]) -> None:
        self.options = dict(options)
        if named_id(self.options, self.options.get("settings")) is None and not chooses_id(self.options):
            self.options["id"] = new_id()  # here, so that the state of the first epoch has it
        self.wandb_run: Any = open_runs.users_run()
        self.owned = self.wandb_run is None
        self.folders = list(folders)
        self.earlier_folders: list[str] = []

    @property
    def id(self) -> str | None:
        """The id of the run, as far as it is known now."""
        return str(self.wandb_run.id) if self.wandb_run is not None else self.options.get("id")

    @property
    def disabled(self) -> bool:
        """Whether the run is open and writes nothing at all."""
        return self.wandb_run is not None and bool(self.wandb_run.disabled)

    @property
    def offline(self) -> bool:
        """Whether the run writes to disk only; to be read where the run is open."""
        return bool(self.wandb_run.offline)

    @property
    def address(self) -> str | None:
        """The address of the run on the server; None where it is offline or not open."""
        return None if self.wandb_run is None or self.offline else str(self.wandb_run.url)

    def open(self, news: News, *, init_timeout: float, finish_timeout: float) -> None:
        """Open the run if it is not the user's, and find its folders.

        Args:
            news: Where the address of the run goes, or why it is offline.
            init_timeout: Seconds for the attempt to reach the server.
            finish_timeout: Seconds that `run.finish()` may take.

        Raises:
            Exception: What `open_run` raises.
        """
        if self.owned:
            opened = open_run(
                self.options, init_timeout=init_timeout, finish_timeout=finish_timeout, describe=news.describe
            )
            if opened.why_offline:
                news.warning(f"{opened.why_offline}. The run is logged offline.")
            elif not opened.run.offline and opened.run.url:
                news.info(str(opened.run.url))
            self.wandb_run = opened.run
            run_before_wandb()
        if not self.disabled:
            self._add_own_folder()

    def find_folders(self, root: Path) -> None:
        """Add the folders of the run below `root` that are not known: a kill may come before the state is written."""
        # wandb adds a number to the name of a folder that exists; the file in it has the id alone
        pattern = f"*run-*/run-{glob.escape(str(self.id))}.wandb"
        found = sorted(str(path.parent) for path in root.glob(pattern))
        self.folders += [path for path in found if path not in self.folders]

    def replace_folder(self, old: Path | None, new: Path) -> None:
        """Upload the folder `new` in place of `old`."""
        if str(new) not in self.folders:
            self.folders = [folder for folder in self.folders if folder != str(old)] + [str(new)]

    def sync_command(self) -> str:
        """Return the command that uploads the run from its folders."""
        online = any(Path(folder).name.startswith("run-") for folder in self.folders)
        given = self.options.get("id")
        # without a server, and beside another run of the process, the run was opened under another id than asked for
        renamed = given and self.wandb_run is not None and self.wandb_run.id != given
        other = ["--id", str(given)] if renamed else []
        return shlex.join(["wandb", "sync", *(["--include-online"] if online else []), *other, *self.folders])

    def _add_own_folder(self) -> None:
        folder = Path(self.wandb_run.sync_dir)
        if self.owned and "resume" in self.options:
            self.find_folders(folder.parent)
        self.earlier_folders = [path for path in self.folders if path != str(folder)]
        self.folders = [*self.earlier_folders, str(folder)]
