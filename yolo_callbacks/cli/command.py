"""The command `yolo-callbacks`: a table of subcommands, each a function of its arguments.

What a user got wrong is one line and exit code 2; a traceback is a defect, of ours or of Ultralytics.
"""

from __future__ import annotations

import argparse
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from yolo_callbacks.cli.parser import CommandError, Parser

__all__ = ["COMMANDS", "Command", "main"]

_DESCRIPTION = "Callbacks for trainings with Ultralytics YOLO. The commands:\n"


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Attributes:
        summary: What it does, in one line.
        run: Does it, given the arguments after its name; raises ValueError for what a user got wrong.
    """

    summary: str
    run: Callable[[Sequence[str]], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
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
    from yolo_callbacks.config.registry import hint

    width = max(map(len, COMMANDS))
    parser = Parser(
        "",
        "\n".join([_DESCRIPTION, *(f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items())]),
        "yolo-callbacks init",
        "yolo-callbacks train callbacks=callbacks.yaml model=yolo11n.pt data=coco8.yaml epochs=100",
        "yolo-callbacks show runs/detect/train",
    )
    parser.add_argument("command", help="one of those above; each has a --help of its own")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    if parsed.command not in COMMANDS:
        meant = hint(parsed.command, COMMANDS)
        raise CommandError(f"no command is called {parsed.command!r}{meant} (there are {', '.join(COMMANDS)})")
    COMMANDS[parsed.command].run(parsed.arguments)


def train(arguments: Sequence[str]) -> None:
    """Set YOLO_CALLBACKS, for the processes that Ultralytics starts too, and go on as `yolo train`."""
    parser = Parser(
        "train",
        "Train as `yolo train` does, with callbacks.",
        "yolo-callbacks train model=yolo11n.pt data=coco8.yaml",
        "yolo-callbacks train callbacks=callbacks.yaml model=yolo11n.pt data=coco8.yaml epochs=100",
        "yolo-callbacks train callbacks=SaveBest,EarlyStopping segment model=yolo11n-seg.pt data=coco8-seg.yaml",
    )
    parser.add_argument("callbacks", nargs="?", metavar="callbacks=…", help="a YAML file, names, or default (default)")
    parser.add_argument("others", nargs="*", metavar="name=value", help="what `yolo train` takes")
    if {"-h", "--help"}.intersection(arguments):
        parser.print_help()
        return
    _choose_callbacks(arguments)
    _yolo(["train", *_others(arguments, "callbacks")])


def extend(arguments: Sequence[str]) -> None:
    """Train a run that is over for more epochs."""
    parser = Parser(
        "extend",
        "Train a run that is over for more epochs: with its optimizer, its callbacks' state and its W&B run. It must "
        "have been trained with\n`keep_resumable: true`, or with SaveBest and `keep_optimizer: true`.",
        "yolo-callbacks extend runs/detect/train epochs=150",
        "yolo-callbacks extend runs/detect/train epochs=150 lr=stretch callbacks=callbacks.yaml patience=30",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="the run's folder")
    parser.add_argument("epochs", metavar="epochs=…", help="how many epochs it is to have in all")
    parser.add_argument(
        "lr",
        nargs="?",
        metavar="lr=…",
        help="the schedule: hold (default) keeps the last rate, stretch takes that of a run of so many epochs",
    )
    parser.add_argument("callbacks", nargs="?", metavar="callbacks=…", help="a YAML file, names, or default (default)")
    parser.add_argument("others", nargs="*", metavar="name=value", help="what `yolo train` takes on resume")
    if not arguments or {"-h", "--help"}.intersection(arguments):
        parser.parse_args(list(arguments) or ["--help"])
    run, rest = Path(arguments[0]), list(arguments[1:])
    epochs = _given("epochs", rest)
    if epochs is None or not epochs.isdecimal():
        raise CommandError(f"{parser.prog}: epochs=… must be given, a number (see {parser.prog} --help)")
    _choose_callbacks(rest)
    command = ["train", "resume", f"model={run / 'weights' / 'last.pt'}", *_others(rest, "epochs", "lr", "callbacks")]
    sys.argv = ["yolo", *command]  # ultralytics reads it when it is imported

    from yolo_callbacks.suite.extending import prepare_extension

    prepare_extension(run, epochs=int(epochs), lr=_given("lr", rest) or "hold")
    _yolo(command)


def _given(name: str, arguments: Sequence[str]) -> str | None:
    """Return the value of an argument of the form name=value, the last one; None where it is not given."""
    values = [argument.partition("=")[2] for argument in arguments if argument.startswith(f"{name}=")]
    return values[-1] if values else None


def _others(arguments: Sequence[str], *names: str) -> list[str]:
    """Return the arguments of other names."""
    return [argument for argument in arguments if not argument.startswith(tuple(f"{name}=" for name in names))]


def _choose_callbacks(arguments: Sequence[str]) -> None:
    """Set YOLO_CALLBACKS to what `callbacks=` says, for the processes that Ultralytics starts too."""
    import _yolo_callbacks_boot as boot

    os.environ[boot.VARIABLE] = _given("callbacks", arguments) or os.environ.get(boot.VARIABLE) or "default"
    boot.install()


def _yolo(command: Sequence[str]) -> None:
    """Go on as the `yolo` command."""
    sys.argv = ["yolo", *command]
    from ultralytics.cfg import entrypoint  # reads sys.argv when it is imported

    try:
        entrypoint()
    except (AssertionError, SyntaxError, TypeError, ValueError) as error:
        if _innermost_module(error) != "ultralytics.cfg":  # which checks the arguments, and does nothing else
            raise
        raise CommandError(str(error).strip().splitlines()[0]) from error


def init(arguments: Sequence[str]) -> None:
    """Write a commented YAML file."""
    from yolo_callbacks.config.schema import template
    from yolo_callbacks.utils.files import replace_atomic

    parser = Parser(
        "init",
        "Write a YAML file with every callback and argument, commented: the default suite is in force.",
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


def check(arguments: Sequence[str]) -> None:
    """Check a file as a training would."""
    from yolo_callbacks.config.loading import load

    parser = Parser(
        "check",
        "Check a file of callbacks as a training does before it starts. What a monitor is called, only the run knows.",
        "yolo-callbacks check callbacks.yaml",
    )
    parser.add_argument("file", help="a YAML file; or anything else that YOLO_CALLBACKS may be")
    value = parser.parse_args(arguments).file
    names = [type(callback).__name__ for callback in load(value).callbacks]
    print(f"{value} is right: {', '.join(names)}")


def show_list(arguments: Sequence[str]) -> None:
    """Print every callback with its arguments."""
    from yolo_callbacks.config.registry import find, offered, own

    parser = Parser(
        "list",
        "List the callbacks, those of other installed packages too, with their arguments and defaults.",
        "yolo-callbacks list",
        "yolo-callbacks list EarlyStopping SaveBest",
    )
    parser.add_argument("names", nargs="*", help="only these; package.module:Class is one too")
    for name in parser.parse_args(arguments).names or [*own(), *offered()]:
        print(_described(name, find(name, Path.cwd())), end="\n\n")


def _described(name: str, callback: type) -> str:
    from yolo_callbacks.config.registry import arguments, summary

    known = arguments(callback)
    texts = [f"{a.name}" if a.required else f"{a.name}={a.default!r}" for a in known]
    width = max(map(len, texts), default=0)
    lines = [f"  {text:<{width}}  {argument.description}" for text, argument in zip(texts, known, strict=True)]
    return "\n".join([f"{name}: {summary(callback)}", *map(str.rstrip, lines)])


def show(arguments: Sequence[str]) -> None:
    """Print the table at the end of a run again."""
    from yolo_callbacks.state.state_file import STATE_FILE
    from yolo_callbacks.state.summary import read_summary, render
    from yolo_callbacks.utils.lenient import any_json, as_count
    from yolo_callbacks.utils.messages import text_of
    from yolo_callbacks.utils.stored_paths import with_folder

    parser = Parser(
        "show",
        "Print what the callbacks did in a run: the table that stood at its end.",
        "yolo-callbacks show runs/detect/train",
    )
    parser.add_argument("run", type=Path, help="the run's folder")
    folder = parser.parse_args(arguments).run
    path = folder / STATE_FILE if folder.is_dir() else folder
    try:
        content = any_json(path)
    except FileNotFoundError as error:
        raise CommandError(f"{folder} has no {STATE_FILE}: no callbacks ran there") from error
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read: {type(error).__name__}: {text_of(error)}") from error
    if not isinstance(content, dict):
        raise CommandError(f"{path} cannot be read: expected a mapping, found {type(content).__name__}")
    summary = read_summary(content.get("summary"))
    epoch = as_count(content.get("epoch"))
    table = render(with_folder(summary, path.parent.resolve())) if summary else None
    print(table or f"Callbacks: not at the end, {path} is of epoch {epoch}")


def report(arguments: Sequence[str]) -> None:
    """Write a report of a run, or of several side by side."""
    from yolo_callbacks.report import report as write

    parser = Parser(
        "report",
        "Write one HTML file of a run, or of several side by side; also of runs trained without callbacks.",
        "yolo-callbacks report runs/detect/train",
        "yolo-callbacks report runs/detect/train runs/detect/train2 -o both.html",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a training; several to compare")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="default: report.html, of several comparison.html, in RUN"
    )
    parsed = parser.parse_args(arguments)
    try:
        print(write(*parsed.runs, output=parsed.output))
    except OSError as error:
        raise CommandError(f"yolo-callbacks report: {error}") from error


def dashboard(arguments: Sequence[str]) -> None:
    """Publish a W&B workspace for a project."""
    from yolo_callbacks.loggers.wandb_parts.workspace import TASKS
    from yolo_callbacks.loggers.wandb_parts.workspace import dashboard as publish

    parser = Parser(
        "dashboard",
        "Publish a ready W&B workspace for a project; needs yolo-callbacks[dashboard].",
        "yolo-callbacks dashboard --project crowns",
        "yolo-callbacks dashboard --project crowns --classes tree shrub --dry-run",
    )
    parser.add_argument("--project", required=True, help="the W&B project")
    parser.add_argument("--entity", help="user or team (default: W&B's own default)")
    parser.add_argument("--task", default="detect", choices=TASKS, help="of the project's trainings (default: detect)")
    parser.add_argument("--classes", nargs="+", default=(), metavar="NAME", help="class names, for bars by class")
    parser.add_argument("--dry-run", action="store_true", help="print the specification as JSON, without a server")
    try:
        print(publish(**vars(parser.parse_args(arguments))))
    except CommandError:
        raise
    except Exception as error:  # wandb raises many kinds, one for each way a server can be away
        raise CommandError(f"yolo-callbacks dashboard: {type(error).__name__} {error}") from error


def demo(arguments: Sequence[str]) -> None:
    """Run the demo."""
    from yolo_callbacks.cli import demo as program

    program.main(arguments)


def _innermost_module(error: BaseException) -> str | None:
    frames = inspect.getinnerframes(error.__traceback__) if error.__traceback__ else []
    return frames[-1].frame.f_globals.get("__name__") if frames else None


COMMANDS = {
    "train": Command("train as `yolo train` does, with callbacks", train),
    "extend": Command("train a run that is over for more epochs", extend),
    "init": Command("write a commented YAML file to start from", init),
    "check": Command("check such a file", check),
    "list": Command("every callback with its arguments", show_list),
    "show": Command("what the callbacks did in a run", show),
    "report": Command("write a run as one HTML file, or compare several", report),
    "dashboard": Command("publish a ready W&B workspace for a project", dashboard),
    "demo": Command("train on the photographs that come with the package, about 3 minutes", demo),
}
