"""Run `yolo-callbacks status`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from yolo_callbacks.cli.missing import nothing_in
from yolo_callbacks.cli.parser import CommandError, Parser

if TYPE_CHECKING:
    from yolo_callbacks.state.status_file import RunStatus

__all__ = ["parser", "status"]

NOT_WELL = 3
"""The exit code where a run has failed, was killed or is silent."""

NO_STATUS = 2
"""The exit code where a folder has no status, and no run is `NOT_WELL`."""


def parser() -> Parser:
    """Return the parser."""
    made = Parser(
        "status",
        "Print whether a run goes on, has ended or was killed. The exit code is 3 where one failed, was killed, was "
        "interrupted or is silent; else 2 where a folder has no status.",
        "yolo-callbacks status runs/detect/train",
        "yolo-callbacks status --json runs/detect/*",
    )
    made.add_argument("--json", action="store_true", help="print one line of JSON for each run")
    made.add_argument("runs", nargs="+", type=Path, metavar="RUN", completed=("<folder>",), help="the run's folder")
    return made


def status(arguments: Sequence[str]) -> None:
    """Print the status of runs."""
    from yolo_callbacks.decisions.run_health import is_well
    from yolo_callbacks.state.status_file import described
    from yolo_callbacks.utils.console import show_error
    from yolo_callbacks.utils.files import to_json

    given = parser().parse_args(arguments)
    code = 0
    for folder in given.runs:
        try:
            found = _read(folder)
        except CommandError as error:  # `runs/detect/*` also holds folders of validations
            show_error(str(error))
            code = code or NO_STATUS
            continue
        if not is_well(found.state):
            code = NOT_WELL
        if given.json:
            print(to_json({"run": str(folder), **dataclasses.asdict(found)}))
        else:
            print(f"{folder}: {described(found)}" if len(given.runs) > 1 else described(found))
    if code:
        raise SystemExit(code)


def _read(folder: Path) -> RunStatus:
    """Return the status of a run.

    Raises:
        CommandError: If there is none.
    """
    from yolo_callbacks.state.status_file import STATUS_FILE, read_status
    from yolo_callbacks.utils.messages import text_of

    try:
        return read_status(folder)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CommandError(nothing_in(folder, STATUS_FILE, "no callbacks ran there")) from error
    except (OSError, ValueError) as error:
        raise CommandError(
            f"{folder / STATUS_FILE} cannot be read: {type(error).__name__}: {text_of(error)}"
        ) from error
