"""Run `yolo-callbacks init`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolo_callbacks.cli.parser import CommandError, Parser

__all__ = ["init"]


def init(arguments: Sequence[str]) -> None:
    """Write a commented YAML file."""
    from yolo_callbacks.config.schema import template
    from yolo_callbacks.utils.files import replace_atomic

    parser = Parser(
        "init",
        "Write a YAML file with every callback and argument. The default suite is active, the rest is commented out.",
        "yolo-callbacks init",
        "yolo-callbacks init segment.yaml --force",
    )
    parser.add_argument("file", nargs="?", type=Path, default=Path("callbacks.yaml"), help="default: callbacks.yaml")
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")
    parsed = parser.parse_args(arguments)
    if parsed.file.exists() and not parsed.force:
        raise CommandError(f"{parsed.file} exists: --force replaces it")
    try:
        replace_atomic(parsed.file, lambda temporary: temporary.write_text(template(), encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{parsed.file} cannot be written: {error.strerror}") from error
    print(f"{parsed.file} is written: YOLO_CALLBACKS={parsed.file} yolo train …")
