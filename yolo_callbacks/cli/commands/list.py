"""Run `yolo-callbacks list`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolo_callbacks.cli.parser import Parser

__all__ = ["parser", "show_list"]


def parser() -> Parser:
    """Return the parser."""
    made = Parser(
        "list",
        "List the callbacks of this package and of other installed packages, with their arguments and defaults.",
        "yolo-callbacks list",
        "yolo-callbacks list EarlyStopping SaveBest",
    )
    made.add_argument(
        "names",
        nargs="*",
        default=[],
        metavar="NAME",
        completed=("<callback>",),
        help="list only these callbacks; package.module:Class is possible too",
    )
    return made


def show_list(arguments: Sequence[str]) -> None:
    """Print every callback with its arguments."""
    from yolo_callbacks.config.registry import find, offered, only_python, own, summary
    from yolo_callbacks.utils.console import broken, console_width

    names = parser().parse_args(arguments).names
    for name in names or [*own(), *offered()]:
        print(_described(name, find(name, Path.cwd())), end="\n\n")
    if not names:
        print("Only in Python:")
        for name, callback in only_python().items():
            print("\n".join(broken(f"  {name}: ", summary(callback), console_width())))


def _described(name: str, callback: type) -> str:
    from yolo_callbacks.config.registry import arguments, summary
    from yolo_callbacks.utils.console import broken, console_width

    known = arguments(callback)
    texts = [f"{a.name}" if a.required else f"{a.name}={a.default!r}" for a in known]
    width = max(map(len, texts), default=0)
    columns = console_width()
    lines = broken("", f"{name}: {summary(callback)}", columns)
    for text, argument in zip(texts, known, strict=True):
        lines += broken(f"  {text:<{width}}  ", argument.description, columns)
    return "\n".join(lines)
