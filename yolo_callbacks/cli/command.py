"""Run the command `yolo-callbacks`: choose a subcommand and pass it the arguments.

A mistake of the user ends with one line and exit code 2. A traceback is a defect of this package or of Ultralytics.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from yolo_callbacks.cli.commands.check import check
from yolo_callbacks.cli.commands.dashboard import dashboard
from yolo_callbacks.cli.commands.extend import extend
from yolo_callbacks.cli.commands.init import init
from yolo_callbacks.cli.commands.list import show_list
from yolo_callbacks.cli.commands.report import report
from yolo_callbacks.cli.commands.show import show
from yolo_callbacks.cli.commands.train import train
from yolo_callbacks.cli.parser import CommandError, Parser

__all__ = ["COMMANDS", "Command", "main"]

_DESCRIPTION = "Callbacks for trainings with Ultralytics YOLO. The commands:\n"


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Attributes:
        summary: A description in one line.
        run: Runs the subcommand with the arguments after its name. Raises ValueError for a mistake of the user.
    """

    summary: str
    run: Callable[[Sequence[str]], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    from yolo_callbacks.utils.console import any_text, show_error
    from yolo_callbacks.utils.messages import one_line

    with any_text():
        try:
            _run(arguments)
        except ValueError as error:
            show_error(one_line(str(error)))
            return 2
    return 0


def _run(arguments: Sequence[str] | None) -> None:
    from yolo_callbacks.utils.unknown_arguments import hint

    width = max(map(len, COMMANDS))
    parser = Parser(
        "",
        "\n".join([_DESCRIPTION, *(f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items())]),
        "yolo-callbacks init",
        "yolo-callbacks train callbacks=callbacks.yaml model=yolo11n.pt data=coco8.yaml epochs=100",
        "yolo-callbacks show runs/detect/train",
    )
    parser.add_argument("command", help="one of the commands above; each has its own --help")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    if parsed.command not in COMMANDS:
        meant = hint(parsed.command, COMMANDS)
        raise CommandError(f"no command is called {parsed.command!r}{meant} (there are {', '.join(COMMANDS)})")
    COMMANDS[parsed.command].run(parsed.arguments)


def demo(arguments: Sequence[str]) -> None:
    """Run the demo. It is imported here, since it imports the callbacks."""
    from yolo_callbacks.cli import demo as program

    program.main(arguments)


COMMANDS = {
    "train": Command("train as `yolo train` does, with callbacks", train),
    "extend": Command("train a finished run for more epochs", extend),
    "init": Command("write a commented YAML file to start from", init),
    "check": Command("validate such a file", check),
    "list": Command("list the callbacks with their arguments", show_list),
    "show": Command("show what the callbacks did in a run", show),
    "report": Command("write a run as one HTML file, or compare several", report),
    "dashboard": Command("publish a ready W&B workspace for a project", dashboard),
    "demo": Command("train on the photographs that come with the package, about 3 minutes", demo),
}
