"""Parse arguments of the command, and report what is wrong with them in one line."""

from __future__ import annotations

import argparse
from typing import NoReturn

__all__ = ["CommandError", "Parser"]


class CommandError(ValueError):
    """What is wrong with a command, in one line."""


class Parser(argparse.ArgumentParser):
    """A parser that tells what is wrong in one line, and shows examples as they are written."""

    def __init__(self, command: str, description: str, *examples: str) -> None:
        super().__init__(
            prog=f"yolo-callbacks {command}".strip(),
            description=description,
            epilog="\n  ".join(("examples:", *examples)) if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        raise CommandError(f"{self.prog}: {message} (see {self.prog} --help)")
