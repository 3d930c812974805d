"""Parse the arguments of the command, and report a mistake in one line."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from yolo_callbacks.utils.unknown_arguments import hint

__all__ = ["Argument", "CommandError", "Parser", "one_of", "positive"]

_COMMAND = "  yolo-callbacks "


class CommandError(ValueError):
    """A mistake in a command, in one line."""


@dataclass(frozen=True)
class Argument:
    """An argument of a command, for the completion of a shell.

    Attributes:
        options: The names of an option, such as `-o` and `--output`; empty for a positional argument.
        prefix: `name=` for an argument of that form; empty for others.
        values: What a shell can complete: words, and `<folder>`, `<yaml>`, `<file>` or `<callback>`.
        description: The description in the help.
        takes_value: Whether a value follows the option.
    """

    options: tuple[str, ...]
    prefix: str
    values: tuple[str, ...]
    description: str
    takes_value: bool


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Fit each line to the console; a command is continued on the next line, so that it can be copied."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines: list[str] = []
        for line in text.splitlines():
            if line.startswith(_COMMAND):
                lines += _continued(line, width)
            elif line.startswith(" "):  # a row of a table
                lines.append(line)
            else:
                lines += textwrap.wrap(line, width) or [""]
        return "\n".join(f"{indent}{line}" for line in lines)


def _continued(line: str, width: int) -> list[str]:
    """Break a command into lines of a width that a shell joins; a comment gets a line of its own."""
    if len(line) <= width:
        return [line]
    command, mark, comment = line.partition("    # ")
    parts = textwrap.wrap(command, width - 2, subsequent_indent=" " * 6, break_long_words=False, break_on_hyphens=False)
    return [*(f"{part} \\" for part in parts[:-1]), parts[-1], *([f"      # {comment}"] if mark else [])]


class Parser(argparse.ArgumentParser):
    """A parser that reports a mistake in one line, and shows examples that can be copied.

    Attributes:
        arguments: The arguments that were added.
    """

    def __init__(self, command: str, description: str, *examples: str) -> None:
        self.arguments: list[Argument] = []
        super().__init__(
            prog=f"yolo-callbacks {command}".strip(),
            description=description,
            epilog="\n  ".join(("examples:", *examples)) if examples else None,
            formatter_class=_Formatter,
            allow_abbrev=False,
        )

    def add_argument(self, *names: str, completed: Sequence[str] = (), **options: Any) -> argparse.Action:
        """Add an argument as `argparse` does.

        Args:
            *names: Its names.
            completed: What a shell can complete, as `Argument.values`. Defaults to the choices of the argument.
            **options: As for `argparse`.
        """
        action = super().add_argument(*names, **options)
        values = tuple(completed) or tuple(map(str, action.choices or ()))
        description = str(action.help or "").partition(" (")[0].partition(";")[0]
        shown = str(action.metavar)
        prefix = shown.removesuffix("…") if shown.endswith("=…") else ""
        self.arguments.append(Argument(tuple(action.option_strings), prefix, values, description, action.nargs != 0))
        return action

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments; name the nearest option if one is unknown."""
        known = [option for argument in self.arguments for option in argument.options]
        for given in args or ():
            if given == "--":
                break
            name = given.partition("=")[0]
            if len(given) > 1 and given[0] == "-" and name not in known and given[:2] not in known:
                self.error(f"unknown option {name}{hint(name, known)}")
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise a CommandError, which ends the command with exit code 2."""
        raise CommandError(f"{self.prog}: {message} (see {self.prog} --help)")


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """Return a `type=` of argparse that accepts one of some words, and names the nearest one otherwise."""

    def validate(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(choices)}{hint(text, choices)}")
        return text

    return validate


def positive(text: str) -> int:
    """Return a positive number; a `type=` of argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"it must be a number from 1, received {text!r}")
    return int(text)
