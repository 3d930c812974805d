"""Copies of a checkpoint that do not make the training wait for the disk."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from yolo_callbacks.utils.background import Background
from yolo_callbacks.utils.files import LOGGER, copy_atomic, replace_atomic

__all__ = ["LinkedCopies", "separate"]

_PLENTY = 10  # times what a file takes


class LinkedCopies:
    """Copies that are complete at once and files of their own soon after.

    A copy begins as a second name (a hard link) of the file that is there, which takes no time whatever the size. Alone
    it would not do: whatever writes that file in place later, as Ultralytics does with last.pt in a run without us,
    would change both. So a thread makes a file of its own out of it while training goes on. The files that copies are
    taken of must be left alone until `wait` returns.

    Args:
        background: The thread.
    """

    def __init__(self, background: Background) -> None:
        self._background = background
        self._shared: list[Path] = []
        self._replaced: list[BinaryIO] = []

    def take(self, source: Path, target: Path) -> None:
        """Copy a file; see `replace_atomic`.

        Raises:
            OSError: If the disk or the folder does not allow it. `target` is as it was then.
        """
        if os.name != "posix":
            # Windows: while the thread reads a file, none of its other names can be renamed
            copy_atomic(source, target)
            return
        if target.is_file() and target.samefile(source):
            return  # taken before a kill: renaming one name of a file to another of its names does nothing
        try:
            with self.freed_later(target):
                replace_atomic(target, lambda temporary: _link(source, temporary), create=False)
        except OSError:  # a file system without hard links, or one that allows no more of them
            copy_atomic(source, target)
            return
        self._shared.append(target)
        self._background.submit(separate, target)

    @contextlib.contextmanager
    def freed_later(self, path: Path, *, written_again: bool = False) -> Iterator[None]:
        """Let what a file takes that is removed or replaced in the block be freed, without waiting for it.

        It is freed where the last one closes the file, which takes as long as writing half of it would.

        Args:
            path: The file.
            written_again: Whether as much is written before long, which takes a third of the time where it finds that
                memory in use: idle, it goes back to the host of a virtual machine. The file is closed by
                `wait` then, and by the thread otherwise, or where the disk has little room.
        """
        file = _opened(path)
        try:
            yield
        finally:
            if file is not None and written_again and _has_plenty(file):
                self._replaced.append(file)
            elif file is not None:
                self._background.submit(file.close)

    def wait(self) -> None:
        """Return when every copy is a file of its own, or could not become one, and all that was kept is free."""
        self._background.wait()
        self._shared = [path for path in self._shared if _is_shared(path)]
        for file in self._replaced:
            file.close()
        self._replaced.clear()

    def give_up(self) -> None:
        """Remove the copies that could not become files of their own: what they share is about to be overwritten."""
        for path in self._shared:
            LOGGER.warning(f"{path} is given up: the disk has no room for it and Ultralytics' own checkpoints")
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        self._shared.clear()


def separate(path: Path) -> None:
    """Make a file of its own out of a name that shares its file with others. Never raises: complete it is anyway."""
    try:
        if _is_shared(path):
            replace_atomic(path, lambda temporary: _copy_unchanged(path, temporary))
    except OSError as error:
        LOGGER.debug(f"{path} still shares its file with another one: {error}")


def _opened(path: Path) -> BinaryIO | None:
    with contextlib.suppress(OSError):
        if os.name == "posix":  # elsewhere an open file can be neither removed nor replaced
            return path.open("rb")
    return None


def _has_plenty(file: BinaryIO) -> bool:
    try:
        return shutil.disk_usage(file.fileno()).free >= _PLENTY * os.fstat(file.fileno()).st_size
    except OSError:  # a file system that does not tell
        return False


def _is_shared(path: Path) -> bool:
    return path.is_file() and path.stat().st_nlink > 1


def _link(source: Path, temporary: Path) -> None:
    # resolved: a second name of a symbolic link would follow wherever that leads later
    os.link(source.resolve(), temporary)


def _copy_unchanged(path: Path, temporary: Path) -> None:
    before = path.stat()
    shutil.copyfile(path, temporary)
    os.utime(temporary, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise OSError(f"{path} was changed while it was copied")
