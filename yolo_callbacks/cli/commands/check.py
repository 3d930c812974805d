"""Run `yolo-callbacks check`."""

from __future__ import annotations

from collections.abc import Sequence

from yolo_callbacks.cli.parser import Parser

__all__ = ["check", "parser"]


def parser() -> Parser:
    """Return the parser."""
    made = Parser(
        "check",
        "Validate a file of callbacks as a training does before it starts, and list the mistake of each callback. "
        "Warn of what this machine lacks, such as a package: a training may run on another one. "
        "Names of monitors are validated by the run.",
        "yolo-callbacks check callbacks.yaml",
    )
    made.add_argument(
        "file", metavar="FILE", completed=("<yaml>",), help="a YAML file, or any other value of YOLO_CALLBACKS"
    )
    return made


def check(arguments: Sequence[str]) -> None:
    """Validate a file as a training does before it starts."""
    from yolo_callbacks.config.loading import ConfigError, load
    from yolo_callbacks.utils.console import show_error
    from yolo_callbacks.utils.origins import origins_of

    value = parser().parse_args(arguments).file
    try:
        callbacks = load(value).callbacks
    except ConfigError as error:
        *before, last = error, *error.others
        for each in before:
            show_error(str(each))
        raise last from error.__cause__
    for callback in callbacks:
        if lacking := callback._unmet_needs():
            place = origins_of(callback).place or value
            show_error(f"warning: {place}: {type(callback).__name__}: {lacking}")
    names = [type(callback).__name__ for callback in callbacks]
    print(f"{value} is valid: {', '.join(names)} (names of monitors are validated when a training starts)")
