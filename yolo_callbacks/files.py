"""Files written so that a kill at any moment leaves the old or the new one, never half of one."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from yolo_callbacks.console import EncodableFilter

__all__ = [
    "LOGGER",
    "append_line",
    "copy_atomic",
    "has_room",
    "plain",
    "read_json",
    "read_lines",
    "replace_atomic",
    "to_json",
    "write_json",
]

# A child of Ultralytics' own logger: its lines appear where Ultralytics' do, with its verbosity, and only on rank 0.
LOGGER = logging.getLogger("ultralytics.yolo_callbacks")
LOGGER.addFilter(EncodableFilter())


def replace_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it to `path`.

    Args:
        path: The file to make or to replace.
        write: Gets the path of the temporary file. Its name is always the same, so that a kill leaves at most one,
            which the next write takes over.

    Raises:
        OSError: If the disk or the folder does not allow it. `path` is as it was then.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
    with path.open("ab", buffering=0) as file:
        start = file.tell()
        if file.write(content) != len(content):  # a full disk takes a part of it without an error
            file.truncate(start)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def read_lines(path: Path) -> list[str]:
    """The lines of a file, with their ends; none if there is no file."""
    return path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, one line a key; NaN and infinity, which JSON does not have, become null."""
    # not by indent=, which up to Python 3.12 takes ten times as long: its encoder is in Python then
    lines = ",\n".join(f"{json.dumps(str(key))}: {to_json(value)}" for key, value in content.items())
    replace_atomic(path, lambda temporary: temporary.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8"))


def to_json(value: Any) -> str:
    """JSON text in one line; NaN and infinity, which JSON does not have, become null."""
    return json.dumps(plain(value), allow_nan=False)


def read_json(path: Path) -> dict[str, Any] | None:
    """The content of a JSON file, or None where there is none that can be read.

    A broken file is kept as `<name>.corrupt` beside it, with a warning.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"expected a JSON object, found {type(content).__name__}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        LOGGER.warning(f"{path} cannot be read ({error}){_set_aside(path)}: going on without it")
        return None
    return content


def _set_aside(path: Path) -> str:
    if not path.is_file():
        return ""
    aside = path.with_name(f"{path.name}.corrupt")
    try:
        path.replace(aside)
    except OSError as error:
        return f", nor set aside ({error})"
    return f" and is kept as {aside.name}"


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
