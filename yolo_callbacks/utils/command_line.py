"""Keep the command that the user has run, where `yolo-callbacks` goes on as Ultralytics' `yolo` in this process."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["command_line", "continue_as"]


class _Replaced:
    """The command of the user, and the one that has taken its place in `sys.argv`."""

    given: Sequence[str] = ()
    place_taken_by: Sequence[str] = ()


def continue_as(command: Sequence[str]) -> None:
    """Put another command into `sys.argv`, which Ultralytics reads.

    In place: Ultralytics takes this list when it is imported, which may have been before (8.4.190).

    Args:
        command: The program and its arguments.
    """
    if sys.argv != _Replaced.place_taken_by:
        _Replaced.given = ["yolo-callbacks", *sys.argv[1:]]
    sys.argv[:] = command
    _Replaced.place_taken_by = list(command)


def command_line() -> list[str]:
    """Return the program and the arguments that the user has run; credentials are in it as they were given."""
    return list(_Replaced.given if sys.argv == _Replaced.place_taken_by else sys.argv)
