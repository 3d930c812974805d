"""Write files atomically: after a kill at any moment the old or the new file is there, complete."""

from __future__ import annotations

import errno
import filecmp
import json
import logging
import math
import numbers
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from yolo_callbacks.utils.console import FRESH_LINE, EncodableFilter

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
    "stamp",
    "temporary_beside",
    "to_json",
    "write_json",
]

# A child of Ultralytics' logger: it uses the handlers and the verbosity of Ultralytics, and logs on rank 0 only.
LOGGER = logging.getLogger("ultralytics.yolo_callbacks")
LOGGER.addFilter(EncodableFilter())
LOGGER.addFilter(FRESH_LINE)


# The name of a temporary file or folder. A killed process leaves it behind; no other file has such a name.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")


def replace_atomic(path: Path, write: Callable[[Path], object], *, create: bool = True) -> None:
    """Write a temporary file beside `path`, then rename it to `path`.

    Args:
        path: The file to create or to replace. A symbolic link of this name is replaced, not followed.
        write: Receives the path of the temporary file and writes the content.
        create: Whether to create the empty temporary file first. False for a `write` that creates the file itself and
            fails if it exists, as a hard link does.

    Raises:
        OSError: If the disk or the folder does not allow the write. `path` is unchanged then.
    """
    temporary = temporary_beside(path)
    try:
        if create:
            # O_EXCL fails if a symbolic link has this name, which the write would follow.
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        write(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_beside(path: Path) -> Path:
    """Return an unpredictable name in the folder of a file."""
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
    """Return whether there is disk space for a file of `size` bytes and two more of the same size.

    Ultralytics writes last.pt and best.pt in each epoch. If one of these writes fails, the training ends.
    """
    return shutil.disk_usage(folder).free >= 3 * size


def append_line(path: Path, line: str) -> None:
    """Append a line in one write, so that after a kill the line is complete or missing.

    Raises:
        OSError: If there is no space for the whole line. The file is unchanged then.
    """
    content = f"{line}\n".encode()
    with open(path, "ab", buffering=0, opener=_without_links) as file:
        start = file.tell()
        if file.write(content) != len(content):  # a full disk accepts a part without an error
            file.truncate(start)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _without_links(path: str, flags: int) -> int:
    """Open a file, but no symbolic link and no pipe that waits for a reader. Windows has neither flag."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)


def read_lines(path: Path) -> list[str]:
    """Return the lines of a file with their line ends, or none if there is no file; replace what is not UTF-8."""
    return path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) if path.is_file() else []


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file with one line for each key; NaN and infinity, which JSON does not have, become null."""
    # Without `indent=`, which is ten times slower up to Python 3.12: its encoder is written in Python.
    lines = ",\n".join(f"{json.dumps(str(key))}: {to_json(value)}" for key, value in content.items())
    replace_atomic(path, lambda temporary: temporary.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8"))


def to_json(value: Any) -> str:
    """Return a value as JSON in one line; NaN and infinity, which JSON does not have, become null."""
    return json.dumps(plain(value), allow_nan=False)


def parse_json(text: str) -> Any:
    """Return the value of a JSON text. Every JSON file of this package is parsed here.

    Callers decide what happens to a wrong file: `read_json` sets it aside with a warning, since it is a file that this
    package writes; `utils/lenient.py` reads files of any origin for display, and changes none.

    Raises:
        ValueError: If the text is not JSON, or is nested too deeply for the parser.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the content of a JSON file that this package has written, or None if it is missing or cannot be read.

    A broken file is renamed to `<name>.corrupt`, with a warning. Use `lenient.any_json` for a file that is only shown.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would wait forever
            raise ValueError("it is not a file")
        content = parse_json(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"expected a JSON object, found {type(content).__name__}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        LOGGER.warning(f"{path} cannot be read ({error}){set_aside(path)}: continuing without it")
        return None
    return content


def set_aside(path: Path, *, copy: bool = False) -> str:
    """Rename a file to `<name>.corrupt`, or to `<name>.2.corrupt` and so on if that name exists.

    Args:
        path: The file, or a folder of that name.
        copy: Whether to keep the file and set a copy aside. No copy is made if an equal one was set aside before.

    Returns:
        The end of a message that says what was done. Empty if there is no file.
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
        return f" or set aside ({error})"
    return f" and is kept as {aside.name}"


def _name_aside(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.corrupt" if number == 1 else f"{path.name}.{number}.corrupt")


def plain(value: Any, name: str = "the value") -> Any:
    """Return a copy of a value in the types of JSON.

    Args:
        value: The value. Numbers of other libraries, such as NumPy's, become Python's.
        name: What the value is, for the message.

    Raises:
        TypeError: If it has another type, or holds a value of another type.
    """
    if isinstance(value, dict):
        return {str(key): plain(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, name) for item in value]
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        return number if math.isfinite(number) else None
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    allowed = "str, int, float, bool, None, or lists and dicts of them"
    raise TypeError(f"{name!r} is of type {kind}, which JSON cannot hold: use {allowed}")


def stamp(path: Path) -> tuple[int, int]:
    """Return the time and the size of a file, which change with every write; zeros where there is no file."""
    if not path.is_file():
        return 0, 0
    found = path.stat()
    return found.st_mtime_ns, found.st_size
