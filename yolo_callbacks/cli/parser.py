"""Parse the arguments of the command, and report a mistake in one line."""

from __future__ import annotations

import argparse
from typing import NoReturn

__all__ = ["CommandError", "Parser"]


class CommandError(ValueError):
    """A mistake in a command, in one line."""


class Parser(argparse.ArgumentParser):
    """A parser that reports a mistake in one line, and shows examples without reformatting them."""

    def __init__(self, command: str, description: str, *examples: str) -> None:
        super().__init__(
            prog=f"yolo-callbacks {command}".strip(),
            description=description,
            epilog="\n  ".join(("examples:", *examples)) if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise a CommandError, which ends the command with exit code 2."""
        raise CommandError(f"{self.prog}: {message} (see {self.prog} --help)")
