"""Keep copies of a run in a store elsewhere, from which another machine goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.callbacks.mirror_parts.snapshot import Snapshot
from yolo_callbacks.callbacks.mirror_parts.uploader import Uploader
from yolo_callbacks.decisions.comparison import counted
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.state.mirror_store import MirrorStore, new_key, read_key
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_int
from yolo_callbacks.utils.durations import validate_duration
from yolo_callbacks.utils.fields import Field, read_fields
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.origins import origins_of
from yolo_callbacks.utils.redaction import MASK, clean_arguments, clean_url

__all__ = ["Mirror"]

_SHARE_OF_TIME = 0.75  # of what a scheduler leaves until it ends the process; the state and the table need the rest


class Mirror(Callback):
    """Keep what a resume needs in a store elsewhere: S3, Google Cloud, Azure, SSH, a mounted disk.

    A thread copies the run after each epoch. Training never waits for it: an epoch that is not copied when the next one
    is done is left out. A copy counts when it is complete; the last two stay. `resume_or_train` and
    `yolo-callbacks train --auto-resume` continue the newest copy on another machine, with the same decisions.

    A store that cannot be reached costs one warning and a row in the table at the end. Each copy is tried five times,
    until a newer epoch waits.

    Args:
        url: The folder in the store, as `fsspec` takes it: `"/mnt/store/run"`, `"~/store/run"`, `"s3://bucket/run"`,
            `"gs://bucket/run"`, `"sftp://host/folder"`. Give each run a folder of its own. A path, `memory://` and
            `ftp://` need no further package; others do, such as `s3fs` for `s3://`.
        every: Copy each n-th epoch, and the end of the run. Defaults to `1`.
        finish_timeout: How many seconds the end of a run waits for copies at most; less where `Preemption` knows that
            the process is ended before. Or a duration, such as `"5m"`. Defaults to `60.0`.
        storage_options: Arguments for the file system, such as `{"endpoint_url": "https://host"}`. Defaults to `None`,
            which gives none: credentials come from where the file system looks for them, such as the environment.

    Attributes:
        copied_epochs: The epochs that were copied in this process, in the order of the copies.
        failed_epochs: The epochs that could not be copied.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `url` is empty, of an unknown kind or has one slash after its scheme, `every` is less than 1, or
            `finish_timeout` is negative.
        ImportError: If the package for this kind of store is not installed.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import EarlyStopping, Mirror, SaveBest, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, SaveBest("mAP50"), EarlyStopping(), Mirror("memory://runs/first", every=5))

    Logs nothing. Writes to the store: last.pt, best.pt, kept checkpoints, state, rows of results and JSON lines; not
    pictures, nor the files of TensorBoard and W&B. While it copies, the folder of the run holds a temporary folder.
    """

    is_logger: ClassVar[bool] = True  # it copies what the others have written

    def __init__(
        self,
        url: str,
        *,
        every: int = 1,
        finish_timeout: float | str = 60.0,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(url, str):
            raise TypeError(f"url must be a string, received {url!r}")
        if not url.strip():
            raise ValueError(f"url must not be empty, received {url!r}")
        if storage_options is not None and not isinstance(storage_options, Mapping):
            # Not its value: it may be a secret.
            raise TypeError(f"storage_options must be a mapping or None, received a {type(storage_options).__name__}")
        self.url, self.storage_options = url, storage_options
        self.every = validate_int("every", every, minimum=1)
        self.finish_timeout = validate_duration("finish_timeout", finish_timeout, minimum=0.0)
        self._uploader: Uploader | None = None
        self._store = MirrorStore(url, storage_options or {})
        self.reset()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a worker gets: a thread belongs to its process."""
        return {**self.__dict__, "_uploader": None}

    def _argument(self, name: str) -> Any:
        if name == "storage_options" and self.storage_options is not None:
            return clean_arguments(self.storage_options)
        if name == "url" and clean_url(self.url) != self.url:
            scheme, _, rest = clean_url(self.url).partition("://")
            return f"{scheme}://{MASK}@{rest}"
        return getattr(self, name)

    @property
    def store(self) -> MirrorStore:
        """The store."""
        return self._store

    def output_files(self, task: str) -> set[str]:
        """Return where the copies are: two would be taken for two runs."""
        return {f"the copies in {self._store.shown.removeprefix('file://')}"}

    def reset(self) -> None:
        """Forget the last run."""
        if self._uploader is not None:
            self._uploader.close()
        self._uploader = None
        self._key = ""
        self._wait_seconds = self.finish_timeout
        self._deadline: float | None = None
        self._warned = False
        self.copied_epochs: list[int] = []
        self.failed_epochs: list[int] = []

    def validate(self, run: TrainingRun) -> bool:
        """Give a new run its key; a resumed one gets its own again."""
        if run.is_main:
            self._key = self._key or new_key()
        return True

    # In each epoch ----------------------------------------------------------------------------------------------------

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Copy the epoch, where it has a checkpoint."""
        self._warn_once()
        is_last = run.stopping or record.epoch >= run.planned_epochs
        # A moved run that decides on the epoch of its checkpoint has none in its folder yet.
        has_checkpoint = record.checkpoint is not None and run.last.is_file()
        if has_checkpoint and (is_last or record.epoch % self.every == 0):
            # The thread of the run does it before the next checkpoint is written, and after what it has to write now.
            run.run_in_background(self._take, run.save_dir, record.epoch, False)

    def _take(self, folder: Path, epoch: int, finished: bool) -> None:
        self._key = self._key or new_key()  # there is none without a suite
        uploader = self._uploader = self._uploader or Uploader(self._store, self._key)
        try:
            uploader.submit(Snapshot.take(folder, epoch, finished=finished))
        except Exception as error:  # it is called by a thread, where nobody would hear of it
            uploader.fail(epoch, error)

    # At the end -------------------------------------------------------------------------------------------------------

    def finalize(self, run: TrainingRun) -> None:
        """Wait for the copies of the epochs, so that the table at the end can say what has arrived."""
        self._wait(run)

    def on_run_end(self, run: TrainingRun, summary: Mapping[str, Any]) -> None:
        """Copy the end of the run."""
        epoch = run.supervision.progress.saved_epoch or run.completed_epochs
        if epoch and run.last.is_file():
            left = run.left
            finished = summary["status"] == "finished" or (left is not None and not left.resumable)
            self._take(run.save_dir, epoch, finished)
            self._wait(run)
        if self._uploader is not None:
            self._uploader.close()
            self._uploader = None

    def _wait(self, run: TrainingRun) -> None:
        """Wait for the thread, at most `finish_timeout` seconds in a run, less where a scheduler ends the process."""
        run.wait_for_background()
        if self._deadline is None:
            self._wait_seconds = min(self.finish_timeout, max(run.seconds_left * _SHARE_OF_TIME, 0.0))
            self._deadline = time.monotonic() + self._wait_seconds
        uploader = self._uploader
        if uploader is not None and not uploader.wait(self._deadline - time.monotonic()) and not self._warned:
            self._warned = True
            LOGGER.warning(
                f"Mirror: after {self._wait_seconds:.3g} s a copy to {self.shown_url} was not complete and is given "
                "up; the copies before it stay"
            )
        self._warn_once()

    def _warn_once(self) -> None:
        """Take over what the thread has reached; log its first failure, on the thread of the training."""
        uploader = self._uploader
        if uploader is None:
            return
        self.copied_epochs, self.failed_epochs = list(uploader.copied_epochs), list(uploader.failed_epochs)
        if uploader.error is not None and not self._warned:
            self._warned = True
            LOGGER.warning(
                f"Mirror: epoch {self.failed_epochs[-1]} could not be copied to {self.shown_url} "
                f"({self.described(uploader.error)}). Training goes on; the next epochs are tried again"
            )

    @property
    def shown_url(self) -> str:
        """The URL without credentials, or the absolute path; the name of the variable that it came from."""
        variables = origins_of(self).variables.get("url")
        return " and ".join(f"${{{name}}}" for name in variables) if variables else self._store.shown

    def described(self, error: Exception) -> str:
        """Return the class and the text of an exception, without credentials."""
        origins = origins_of(self)
        return origins.described(error) if origins.variables else self._store.described(error)

    def outcome(self) -> str | None:
        """Return which epochs are in the store."""
        uploader = self._uploader
        self._warn_once()
        if uploader is None and not self.copied_epochs:
            return "nothing copied: no epoch had a checkpoint"
        place = self.shown_url
        done = f"epoch {self.copied_epochs[-1]} is in {place}" if self.copied_epochs else f"nothing is in {place}"
        failed = f", {counted(len(self.failed_epochs), 'epoch')} could not be copied" if self.failed_epochs else ""
        return done + failed

    # A resume ---------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the key of the run in the store."""
        return {"run": self._key}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the key of the run."""
        self._key = read_fields(state, {"run": Field(read_key)})["run"]
