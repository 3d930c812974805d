"""Write checkpoints atomically, and keep existing copies of them unchanged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.linked_copies import LinkedCopies, break_hard_link
from yolo_callbacks.trainer.method_patches import MethodPatches, call_and_log_error
from yolo_callbacks.trainer.stripping import LastCheckpoint, strip_through_temporary_files, stripped_from
from yolo_callbacks.utils.background import Background
from yolo_callbacks.utils.files import copy_atomic, stamp, temporary_beside
from yolo_callbacks.utils.signals import deferred

__all__ = ["CheckpointWriter"]


class CheckpointWriter:
    """Find, write and copy the checkpoints of one training.

    In a suite, the work that training need not wait for is done by a thread. Without a suite nobody waits for a thread
    before the next checkpoint, so everything is done at once.

    Args:
        trainer: The trainer.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._background = Background()
        self._copies = LinkedCopies(self._background)
        self._uses_background = False
        self._last: LastCheckpoint | None = None
        self._written: tuple[int, Path] = (0, Path())
        self._best_epoch, self._best_stamp = 0, (0, 0)

    def watch(
        self,
        methods: MethodPatches,
        before: Callable[[], None],
        on_saved: Callable[[], None],
        *,
        keep_resumable: bool,
    ) -> None:
        """Take part in the writing of a trainer's own checkpoints.

        Args:
            methods: The methods of the trainer.
            before: Called each time before the trainer writes its checkpoints.
            on_saved: Called each time after `save_model()` has written last.pt.
            keep_resumable: Whether last.pt is not stripped at the end.
        """

        def saved() -> None:
            self._note_best()
            on_saved()

        self._last = LastCheckpoint(Path(self._trainer.last), keep=keep_resumable)
        self._best_stamp = stamp(Path(self._trainer.best))
        self._uses_background = _watch_checkpoints(methods, before, saved, self._copies, self._last)

    def stripped(self, epoch: int) -> Path | None:
        """Return the stripped checkpoint of an epoch: best.pt, where Ultralytics has stripped it; None for others."""
        best = Path(self._trainer.best)
        return best if epoch == self._best_epoch and stripped_from(best) == self._best_stamp else None

    @property
    def best_epoch(self) -> int:
        """The epoch of the best.pt that Ultralytics has written in this process; 0 before that."""
        return self._best_epoch

    def _note_best(self) -> None:
        found = stamp(Path(self._trainer.best))
        if found != self._best_stamp:
            self._best_epoch, self._best_stamp = int(self._trainer.epoch) + 1, found

    @property
    def has_written(self) -> bool:
        """Whether `find_or_write` has written a checkpoint in this process."""
        return bool(self._written[0])

    def find_or_write(self, record: EpochRecord, target: Path) -> Path | None:
        """Return a file with the checkpoint of an epoch.

        Where Ultralytics wrote none, as with `save=False`, write it to `target`, once an epoch. Ultralytics' own files
        are not changed.

        Returns:
            The file; None where there is nothing to write: 8.4.29 to 8.4.60 write nothing while the EMA holds a NaN.

        Raises:
            OSError, RuntimeError: If the checkpoint cannot be written. `target` is not changed then.
        """
        if record.checkpoint is not None:
            return record.checkpoint if record.checkpoint.is_file() else None
        epoch, path = self._written
        if epoch != record.epoch or not path.is_file():
            if not _write_checkpoint(self._trainer, target):
                return None
            self._written = (record.epoch, target)
        return self._written[1]

    def copy(self, source: Path, target: Path) -> None:
        """Copy a checkpoint, in a suite without waiting for the disk.

        Raises:
            OSError: If the disk or the folder does not allow it. `target` is not changed then.
        """
        (self._copies.take if self._uses_background else copy_atomic)(source, target)

    def run_in_background(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function that must not raise: in a suite by the thread, and before the next checkpoint is written.

        It is for small files that replace others. Their renaming waits for a disk that is busy with the checkpoint
        (ext4).
        """
        if self._uses_background:
            self._background.submit(function, *arguments)
        else:
            function(*arguments)

    def wait_for_background(self) -> None:
        """Return when the thread has done all its work."""
        self._background.wait()

    def free_in_background(self, path: Path) -> AbstractContextManager[None]:
        """Let the thread free the disk space of a checkpoint that is removed in the block."""
        return self._copies.free_in_background(path) if self._uses_background else nullcontext()

    def keep_resumable(self) -> None:
        """Keep the optimizer in last.pt at the end of this run."""
        if self._last:
            self._last.keep = True

    def close(self, failure: BaseException | None) -> None:
        """Wait for the thread; then strip last.pt where the run is over. This is the very last step of a run.

        Args:
            failure: The error that ends the training. After an error last.pt stays resumable.
        """
        self._copies.wait()
        if self._last and failure is None:
            self._last.strip()
        elif self._last:
            self._last.discard()


def _watch_checkpoints(
    methods: MethodPatches,
    before: Callable[[], None],
    on_saved: Callable[[], None],
    copies: LinkedCopies,
    last: LastCheckpoint,
) -> bool:
    """Write and strip checkpoints atomically, and keep existing copies of them unchanged.

    Args:
        methods: The methods of the trainer.
        before: Called each time before the trainer writes its checkpoints.
        on_saved: Called each time after `save_model()` has written last.pt.
        copies: The copies.
        last: Delays the stripping of last.pt.

    Returns:
        Whether checkpoints are written atomically. They are not where the user has overridden `save_model`, which may
        write to another place, or later.
    """
    from ultralytics.engine.trainer import BaseTrainer

    trainer, save, evaluate = methods.trainer, methods.trainer.save_model, methods.trainer.final_eval
    known = getattr(save, "__func__", None) is BaseTrainer.save_model

    def watched_save(*arguments: Any, **keywords: Any) -> Any:
        before()
        copies.wait()
        earlier = stamp(Path(trainer.last))
        with deferred():  # a Ctrl-C during the write is raised here at the end, when the checkpoint counts
            result = save_atomically(*arguments, **keywords)
            if stamp(Path(trainer.last)) != earlier:
                call_and_log_error(on_saved, "the suite failed after a checkpoint, training goes on")
        return result

    def save_atomically(*arguments: Any, **keywords: Any) -> Any:
        if known:
            with suppress(OSError), _replacing_at_the_end(trainer, copies):
                return save(*arguments, **keywords)
            copies.give_up()  # no room for two checkpoints at a time: write in place, as Ultralytics does alone
        return save(*arguments, **keywords)

    def watched_evaluation(*arguments: Any, **keywords: Any) -> Any:
        copies.wait()
        for path in (trainer.last, trainer.best):
            break_hard_link(Path(path))  # `final_eval` of a user's trainer may write them in place
        strip_through_temporary_files(trainer)
        with last.delayed():
            return evaluate(*arguments, **keywords)

    methods.replace("save_model", watched_save)
    methods.replace("final_eval", watched_evaluation)
    return known


def _write_checkpoint(trainer: Any, path: Path) -> bool:
    """Serialise a training to a file, and leave Ultralytics' own checkpoints unchanged.

    Args:
        trainer: The trainer.
        path: The file to make or replace.

    Returns:
        Whether there was something to write.

    Raises:
        OSError, RuntimeError: If the file cannot be written. `path` is not changed then.
    """
    # Not `save_model` of a user's trainer, which may do more than write: without a suite it is not called here.
    save = next(
        vars(kind)["save_model"]
        for kind in type(trainer).__mro__
        if "save_model" in vars(kind) and kind.__module__.startswith("ultralytics.")
    )
    with deferred(), _writing_to_temporary_folder(trainer, path.parent) as (folder, _):
        save(trainer)
        written = folder / "last.pt"
        if not written.is_file():
            return False
        written.replace(path)
    return True


@contextmanager
def _replacing_at_the_end(trainer: Any, copies: LinkedCopies) -> Iterator[None]:
    """Let a trainer write its checkpoints to a temporary folder, and move them to their places if all went well.

    Up to 8.4.190 at least Ultralytics writes them in place, and a kill leaves half a file (#25428).
    """
    with _writing_to_temporary_folder(trainer, Path(trainer.wdir)) as (folder, own_paths):
        yield
        # last.pt last: a kill before that leaves the last.pt of the epoch before, and a resume repeats the epoch
        written = sorted(folder.iterdir(), key=lambda path: (path.name == "last.pt", path.name))
        for path in written:
            target = own_paths.get(path.stem, own_paths["wdir"] / path.name)
            with copies.free_in_background(target, written_again=True):
                path.replace(target)


@contextmanager
def _writing_to_temporary_folder(trainer: Any, beside: Path) -> Iterator[tuple[Path, dict[str, Path]]]:
    """Let a trainer write its checkpoints to a temporary folder; yield the folder and the trainer's own paths."""
    own = vars(trainer)
    before = {name: getattr(trainer, name) for name in ("wdir", "last", "best")}
    beside.mkdir(parents=True, exist_ok=True)
    folder = temporary_beside(beside / "checkpoints")
    folder.mkdir(mode=0o700)
    own.update(wdir=folder, last=folder / "last.pt", best=folder / "best.pt")
    try:
        yield folder, {name: Path(path) for name, path in before.items()}
    finally:
        own.update(before)
        shutil.rmtree(folder, ignore_errors=True)
