"""Files written so that a kill at any moment leaves the old or the new one, never half of one."""

from __future__ import annotations

import errno
import filecmp
import json
import logging
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from yolo_callbacks.utils.console import EncodableFilter

__all__ = [
    "LOGGER",
    "append_line",
    "copy_atomic",
    "has_room",
    "parse_json",
    "plain",
    "read_json",
    "read_lines",
    "remove_temporary_files",
    "replace_atomic",
    "set_aside",
    "temporary_beside",
    "to_json",
    "write_json",
]

# A child of Ultralytics' own logger: its lines appear where Ultralytics' do, with its verbosity, and only on rank 0.
LOGGER = logging.getLogger("ultralytics.yolo_callbacks")
LOGGER.addFilter(EncodableFilter())


# A temporary file, or a folder of them, of a process that may have been killed: its name is like no other.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")


def replace_atomic(path: Path, write: Callable[[Path], object], *, create: bool = True) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it to `path`.

    Args:
        path: The file to make or to replace. A symbolic link of that name is replaced and not followed.
        write: Gets the path of the temporary file.
        create: Whether the temporary file is there, empty, when `write` is called. False for a `write` that makes it
            itself and fails if the name exists, as a hard link does.

    Raises:
        OSError: If the disk or the folder does not allow it. `path` is as it was then.
    """
    temporary = temporary_beside(path)
    try:
        if create:
            # O_EXCL: nobody can have put a symbolic link there, which the write would follow
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        write(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_beside(path: Path) -> Path:
    """Return a name that nobody can know before, in the folder of a file."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files that a killed process has left in a folder."""
    for path in folder.glob(".*.tmp"):
        if not _TEMPORARY.fullmatch(path.name) or path.is_symlink():
            continue
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            LOGGER.debug(f"{path} could not be removed: {error}")


def copy_atomic(source: Path, target: Path) -> None:
    """Copy a file byte by byte; see `replace_atomic`."""
    replace_atomic(target, lambda temporary: shutil.copyfile(source, temporary))


def has_room(folder: Path, size: int) -> bool:
    """Whether a file of `size` bytes leaves room for two more of its kind.

    Ultralytics writes last.pt and best.pt each epoch, and a failed write there ends the training.
    """
    return shutil.disk_usage(folder).free >= 3 * size


def append_line(path: Path, line: str) -> None:
    """Append a line in one write, so that a kill leaves it out or leaves it whole.

    Raises:
        OSError: If there is no room for all of it. The file is as it was then.
    """
    content = f"{line}\n".encode()
    with open(path, "ab", buffering=0, opener=_without_links) as file:
        start = file.tell()
        if file.write(content) != len(content):  # a full disk takes a part of it without an error
            file.truncate(start)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _without_links(path: str, flags: int) -> int:
    """Open a file, but no symbolic link, and no pipe that would wait for a reader; Windows has neither flag."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)


def read_lines(path: Path) -> list[str]:
    """The lines of a file, with their ends; none if there is no file. What is not UTF-8 is replaced by marks."""
    return path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) if path.is_file() else []


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, one line a key; NaN and infinity, which JSON does not have, become null."""
    # not by indent=, which up to Python 3.12 takes ten times as long: its encoder is in Python then
    lines = ",\n".join(f"{json.dumps(str(key))}: {to_json(value)}" for key, value in content.items())
    replace_atomic(path, lambda temporary: temporary.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8"))


def to_json(value: Any) -> str:
    """JSON text in one line; NaN and infinity, which JSON does not have, become null."""
    return json.dumps(plain(value), allow_nan=False)


def parse_json(text: str) -> Any:
    """The value of a JSON text; ValueError for a text of any other content, also where it nests too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def read_json(path: Path) -> dict[str, Any] | None:
    """The content of a JSON file, or None where there is none that can be read.

    A broken file is kept as `<name>.corrupt` beside it, with a warning.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would wait for ever
            raise ValueError("it is not a file")
        content = parse_json(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"expected a JSON object, found {type(content).__name__}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        LOGGER.warning(f"{path} cannot be read ({error}){set_aside(path)}: going on without it")
        return None
    return content


def set_aside(path: Path, *, copy: bool = False) -> str:
    """Rename what is at a path to `<name>.corrupt`, or to `<name>.2.corrupt` and so on where that exists.

    Args:
        path: A file, or a folder in its place.
        copy: Whether the file stays too. Nothing is copied where an equal one was set aside before.

    Returns:
        The end of a message: what has become of it. Empty where there is nothing.
    """
    if not os.path.lexists(path):
        return ""
    try:
        earlier: list[Path] = []
        while os.path.lexists(aside := _name_aside(path, len(earlier) + 1)):
            earlier.append(aside)
        if not copy:
            path.replace(aside)
        elif same := [name for name in earlier if name.is_file() and filecmp.cmp(path, name, shallow=False)]:
            aside = same[0]
        else:
            copy_atomic(path, aside)
    except OSError as error:
        return f", nor set aside ({error})"
    return f" and is kept as {aside.name}"


def _name_aside(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.corrupt" if number == 1 else f"{path.name}.{number}.corrupt")


def plain(value: Any) -> Any:
    """A copy of a value in JSON's own types; TypeError for what has no place there."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise TypeError(f"{value!r} is not JSON serializable")
