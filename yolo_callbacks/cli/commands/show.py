"""Run `yolo-callbacks show`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolo_callbacks.cli.missing import nothing_in
from yolo_callbacks.cli.parser import CommandError, Parser

__all__ = ["parser", "show"]


def parser() -> Parser:
    """Return the parser."""
    made = Parser(
        "show",
        "Print what the callbacks did in a run: the table that was printed at its end.",
        "yolo-callbacks show runs/detect/train",
    )
    made.add_argument("run", type=Path, metavar="RUN", completed=("<folder>",), help="the run's folder")
    return made


def show(arguments: Sequence[str]) -> None:
    """Print the summary at the end of a run again."""
    from yolo_callbacks.state.state_file import STATE_FILE
    from yolo_callbacks.state.summary import read_summary, render
    from yolo_callbacks.utils.console import console_width
    from yolo_callbacks.utils.lenient import any_json, as_count
    from yolo_callbacks.utils.messages import text_of
    from yolo_callbacks.utils.stored_paths import with_folder

    folder = parser().parse_args(arguments).run
    path = folder / STATE_FILE if folder.is_dir() else folder
    try:
        content = any_json(path)
    except FileNotFoundError as error:
        raise CommandError(nothing_in(folder, STATE_FILE, "no callbacks ran there")) from error
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read: {type(error).__name__}: {text_of(error)}") from error
    if not isinstance(content, dict):
        raise CommandError(f"{path} cannot be read: expected a mapping, found {type(content).__name__}")
    summary = read_summary(content.get("summary"))
    epoch = as_count(content.get("epoch"))
    table = render(with_folder(summary, path.parent.resolve()), console_width()) if summary else None
    print(table or f"Callbacks: the run has not ended; {path} has the state after epoch {epoch}{_status(path.parent)}")


def _status(folder: Path) -> str:
    """Return what a run without a summary does, on a line of its own; `""` where that is unknown."""
    from yolo_callbacks.state.status_file import described, read_status

    try:
        return f"\n  {described(read_status(folder))}"
    except (OSError, ValueError):
        return ""
