"""Copy checkpoints without making the training wait for the disk."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from yolo_callbacks.utils.background import Background
from yolo_callbacks.utils.files import LOGGER, copy_atomic, replace_atomic

__all__ = ["LinkedCopies", "break_hard_link"]

_PLENTY = 10  # free space, as a multiple of the size of a file


class LinkedCopies:
    """Make copies that are complete at once, and that become separate files soon after.

    A copy begins as a second name of the same file (a hard link), which takes no time whatever the size. The link does
    not suffice: code that writes the file in place later would change the copy too, as Ultralytics does with last.pt in
    a run without callbacks. So a thread replaces the link by a separate file while training goes on. The source of a
    copy must not be changed until `wait` returns.

    Args:
        background: The thread.
    """

    def __init__(self, background: Background) -> None:
        self._background = background
        self._linked: list[Path] = []
        self._replaced: list[BinaryIO] = []

    def take(self, source: Path, target: Path) -> None:
        """Copy a file; see `replace_atomic`.

        Raises:
            OSError: If the disk or the folder does not allow it. `target` is not changed then.
        """
        if os.name != "posix":
            # On Windows, while the thread reads a file, no other name of that file can be renamed.
            copy_atomic(source, target)
            return
        if target.is_file() and target.samefile(source):
            return  # linked before a kill: a rename between two names of one file does nothing
        try:
            with self.free_in_background(target):
                replace_atomic(target, lambda temporary: _link(source, temporary), create=False)
        except OSError:  # a file system without hard links, or one that allows no more of them
            copy_atomic(source, target)
            return
        self._linked.append(target)
        self._background.submit(break_hard_link, target)

    @contextlib.contextmanager
    def free_in_background(self, path: Path, *, written_again: bool = False) -> Iterator[None]:
        """Let the thread free the disk space of a file that is removed or replaced in the block.

        The system frees the space when the last open handle of the file is closed. That takes half as long as writing
        the file.

        Args:
            path: The file.
            written_again: Whether a file of the same size is written soon. Then `wait` closes the old file, unless the
                disk has little room. The write takes a third of the time where the memory of the old file is still in
                use; a virtual machine gives idle memory back to its host.
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
        """Return when every copy is a separate file, or could not become one; close the files that were kept open."""
        self._background.wait()
        self._linked = [path for path in self._linked if _is_linked(path)]
        for file in self._replaced:
            file.close()
        self._replaced.clear()

    def give_up(self) -> None:
        """Remove the copies that could not become separate files: their common file is about to be overwritten."""
        for path in self._linked:
            LOGGER.warning(f"{path} is given up: the disk has no room for it and Ultralytics' own checkpoints")
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        self._linked.clear()


def break_hard_link(path: Path) -> None:
    """Replace a hard link by a separate file. Never raise: the link is a complete copy, too."""
    try:
        if _is_linked(path):
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
    except OSError:  # a file system that does not know its free space
        return False


def _is_linked(path: Path) -> bool:
    return path.is_file() and path.stat().st_nlink > 1


def _link(source: Path, temporary: Path) -> None:
    # Resolve a symbolic link: a link to it would change with its target.
    os.link(source.resolve(), temporary)


def _copy_unchanged(path: Path, temporary: Path) -> None:
    before = path.stat()
    shutil.copyfile(path, temporary)
    os.utime(temporary, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise OSError(f"{path} was changed while it was copied")
