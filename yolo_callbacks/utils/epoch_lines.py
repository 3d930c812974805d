"""Keep a file of JSON with one line for each epoch over a resume, and over a move of the run's folder."""

from __future__ import annotations

from pathlib import Path

from yolo_callbacks.utils.fields import Field, read_fields, whole
from yolo_callbacks.utils.files import LOGGER, parse_json, read_lines, replace_atomic, set_aside

__all__ = ["copy_lines", "epoch_of_line", "lines_until", "write_lines"]


def lines_until(path: Path, epoch: int) -> list[str]:
    """Return the complete lines of the epochs up to one, without the final evaluation and lines of other content."""
    return [line for line in read_lines(path) if line.endswith("\n") and 1 <= epoch_of_line(line) <= epoch]


def epoch_of_line(line: str) -> int:
    """Return the epoch of a line, 0 where it has none."""
    try:
        return int(read_fields(parse_json(line), {"epoch": Field(whole(1))})["epoch"])
    except ValueError:
        return 0


def write_lines(path: Path, lines: list[str]) -> None:
    """Replace a file by lines; what has its name and is no file is set aside.

    Raises:
        OSError: If the file cannot be written.
    """
    if path.exists() and not path.is_file():
        LOGGER.warning(f"{path} is not a file{set_aside(path)}")
    replace_atomic(path, lambda temporary: temporary.write_text("".join(lines), encoding="utf-8"))


def copy_lines(source: Path, target: Path, epoch: int) -> None:
    """Copy the lines of a run that continues in another folder; set the lines of another run aside.

    Raises:
        OSError: If the file cannot be written.
    """
    lines, others = lines_until(source, epoch), lines_until(target, epoch)
    if lines and lines != others:
        if others:
            LOGGER.warning(f"{target} belongs to another run{set_aside(target)}")
        write_lines(target, lines)
