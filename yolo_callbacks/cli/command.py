"""Run the command `yolo-callbacks`: choose a subcommand and pass it the arguments.

A mistake of the user ends with one line and exit code 2. A traceback is a defect of this package or of Ultralytics.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from yolo_callbacks.cli.commands import (
    check,
    completion,
    control,
    dashboard,
    export,
    extend,
    failures,
    init,
    lr_find,
    report,
    show,
    status,
    train,
)
from yolo_callbacks.cli.commands import list as list_command
from yolo_callbacks.cli.output import run_with_output
from yolo_callbacks.cli.parser import CommandError, Parser
from yolo_callbacks.cli.yolo_command import MODES, TASKS

__all__ = ["COMMANDS", "Command", "main"]

INTERRUPTED = 130
"""The exit code after Ctrl-C, that of other programs too."""

_DESCRIPTION = "Callbacks for trainings with Ultralytics YOLO. The commands:\n"


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Attributes:
        summary: A description in one line.
        parser: Returns its parser.
        run: Runs the subcommand with the arguments after its name. Raises ValueError for a mistake of the user.
    """

    summary: str
    parser: Callable[[], Parser]
    run: Callable[[Sequence[str]], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    from yolo_callbacks.utils.console import show_error
    from yolo_callbacks.utils.messages import one_line

    def run() -> int:
        try:
            _run(sys.argv[1:] if arguments is None else arguments)
        except ValueError as error:
            show_error(one_line(str(error)))
            return 2
        return 0

    try:
        return run_with_output(run)
    except CommandError as error:
        show_error(str(error))
        return 2
    except KeyboardInterrupt:  # the table of the run is on the console: a traceback would move it out of sight
        return INTERRUPTED


def _run(arguments: Sequence[str]) -> None:
    parser = _parser()
    name, *others = arguments or ["help"]
    if name == "help" and (not others or others[0].startswith("-")):
        parser.print_help()  # with exit code 0, as `yolo` without arguments
        return
    if name.startswith("-"):
        parser.parse_args([name])  # ends with the help, or an error, unless it is --version
        print(_versions())
        return
    if name == "help":
        name, others = others[0], ["--help"]
    if name not in COMMANDS:
        raise CommandError(_unknown(name, others))
    COMMANDS[name].run(others)


def _parser() -> Parser:
    width = max(map(len, COMMANDS))
    parser = Parser(
        "",
        "\n".join([_DESCRIPTION, *(f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items())]),
        "yolo-callbacks init",
        "yolo-callbacks train callbacks=callbacks.yaml model=yolo11n.pt data=coco8.yaml epochs=100",
        "yolo-callbacks show runs/detect/train",
    )
    parser.add_argument("--version", action="store_true", help="show the versions of what is installed, and exit")
    parser.add_argument("command", nargs="?", help="one of the commands above; each has its own --help")
    return parser


def _unknown(name: str, others: Sequence[str]) -> str:
    """Return the message about a command that does not exist."""
    from yolo_callbacks.utils.unknown_arguments import hint

    if "=" in name or name in TASKS:  # `yolo` accepts its mode at any place
        given = " ".join([name, *(other for other in others if other != "train")])
        return f"yolo-callbacks: the command is missing, did you mean: yolo-callbacks train {given}"
    if name in MODES:
        given = " ".join([name, *others])
        return f"no command is called {name!r}: callbacks act in trainings; for the rest run: yolo {given}"
    return f"no command is called {name!r}{hint(name, [*COMMANDS, '--version'])} (there are {', '.join(COMMANDS)})"


def _versions() -> str:
    """Return the versions of this package and of what it runs with, without an import of them."""
    from importlib import metadata

    from yolo_callbacks.utils.version import __version__

    others = []
    for name in ("ultralytics", "torch", "wandb"):
        try:
            others.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:  # installed under another name, or not at all
            others.append(f"{name} not found")
    return f"yolo-callbacks {__version__} ({', '.join(others)}, Python {sys.version.split()[0]})"


def _demo_parser() -> Parser:
    from yolo_callbacks.cli import demo as program

    return program.parser()


def demo(arguments: Sequence[str]) -> None:
    """Run the demo. It is imported here, since it imports the callbacks."""
    from yolo_callbacks.cli import demo as program

    program.main(arguments)


def _completion(arguments: Sequence[str]) -> None:
    completion.print_completion(
        arguments, {name: (command.summary, command.parser) for name, command in COMMANDS.items()}
    )


COMMANDS = {
    "train": Command("train as `yolo train` does, with callbacks", train.parser, train.train),
    "extend": Command("train a finished run for more epochs", extend.parser, extend.extend),
    "init": Command("write a commented YAML file to start from", init.parser, init.init),
    "lr-find": Command("find a learning rate by a range test", lr_find.parser, lr_find.lr_find),
    "check": Command("validate such a file", check.parser, check.check),
    "list": Command("list the callbacks with their arguments", list_command.parser, list_command.show_list),
    "show": Command("show what the callbacks did in a run", show.parser, show.show),
    "status": Command("say whether a run goes on, has ended or was killed", status.parser, status.status),
    "control": Command("stop or change a training that runs", control.parser, control.control),
    "failures": Command("list the images that fail, and labels that may be wrong", failures.parser, failures.failures),
    "export": Command("export the best checkpoint, and prove it", export.parser, export.export),
    "report": Command("write a run as one HTML file, or compare several", report.parser, report.report),
    "dashboard": Command("publish a ready W&B workspace for a project", dashboard.parser, dashboard.dashboard),
    "demo": Command("train on photographs of the package, about 3 minutes", _demo_parser, demo),
    "completion": Command("print a script for the completion of a shell", completion.parser, _completion),
}
