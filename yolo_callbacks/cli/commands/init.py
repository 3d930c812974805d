"""Run `yolo-callbacks init`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from yolo_callbacks.cli.parser import CommandError, Parser

__all__ = ["SCHEMA", "init", "parser"]

SCHEMA = "callbacks.schema.json"


def parser() -> Parser:
    """Return the parser."""
    made = Parser(
        "init",
        "Write a YAML file with every callback and argument. The default suite is active, the rest is commented out.\n"
        f"Beside it, write {SCHEMA}, with which editors complete and validate the file. Commit both files.",
        "yolo-callbacks init",
        "yolo-callbacks init segment.yaml --force",
    )
    made.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        type=Path,
        default=Path("callbacks.yaml"),
        completed=("<yaml>",),
        help="default: callbacks.yaml",
    )
    made.add_argument("--force", action="store_true", help="replace the file if it exists")
    made.add_argument("--no-schema", action="store_true", help=f"write no {SCHEMA}, and no line that names it")
    return made


def init(arguments: Sequence[str]) -> None:
    """Write a commented YAML file, and the schema that its first line names.

    The line names a file beside it, so that it is right on the computer of a colleague too.
    """
    from yolo_callbacks.config.schema import PATH, template
    from yolo_callbacks.utils.files import copy_atomic, replace_atomic

    parsed = parser().parse_args(arguments)
    file, schema = parsed.file, parsed.file.with_name(SCHEMA)
    if file.exists() and not parsed.force:
        raise CommandError(f"{file} exists: --force replaces it")
    if not parsed.no_schema and schema.exists() and not _is_own(schema):
        raise CommandError(f"{schema} exists and is not of yolo-callbacks: rename it, or give --no-schema")
    text = template(None if parsed.no_schema else f"./{SCHEMA}")
    try:
        if not parsed.no_schema:
            copy_atomic(PATH, schema)
        replace_atomic(file, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}") from error
    print(f"{file} is written: YOLO_CALLBACKS={file} yolo train …")
    if not parsed.no_schema:
        print(f"{schema} is written: editors complete and validate {file.name} with it")


def _is_own(path: Path) -> bool:
    """Return whether a file is a schema that this command has written, with any version of the package."""
    from yolo_callbacks.config.schema import TITLE

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("title") == TITLE
