"""Write to a console that may close: `yolo-callbacks list | head -1` prints one line and no traceback."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys
from collections.abc import Callable
from typing import Any

from yolo_callbacks.cli.parser import CommandError
from yolo_callbacks.utils.console import any_text

__all__ = ["CLOSED", "run_with_output"]

CLOSED = 141  # 128 + SIGPIPE, which a shell reports for other programs whose reader has gone, such as `git log | head`


def run_with_output(run: Callable[[], int]) -> int:
    """Run a function that prints, write out what it printed, and return its exit code.

    The exit code is `CLOSED` if the reader of the output has gone.

    Raises:
        CommandError: If the output cannot be written for another reason, such as a full disk.
    """
    with any_text():
        try:
            try:
                return run()
            finally:
                _flush()
        except BrokenPipeError:
            closed = [stream for stream in (sys.stdout, sys.stderr) if _is_closed(stream)]
            if not closed:
                raise  # another pipe, such as that of a process that loads images
            _discard(*closed)
            return CLOSED
        except OSError as error:
            if error.errno != errno.ENOSPC or error.filename is not None:
                raise
            _discard(sys.stdout)
            raise CommandError(f"the output cannot be written: {error.strerror}") from error


def _flush() -> None:
    if sys.stdout is not None:  # None without a console, as with pythonw
        sys.stdout.flush()


def _is_closed(stream: Any) -> bool:
    """Return whether a stream is a pipe whose reader has closed it, which `poll` reports as an error."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return any(flags & select.POLLERR for _, flags in poll.poll(0))
    except AttributeError:  # Windows has no poll, and there may be no stream
        return stream is not None
    except (OSError, ValueError):  # a replaced stream without a number
        return False


def _discard(*streams: Any) -> None:
    """Redirect streams to nowhere, since the interpreter writes what is left in them when it ends."""
    for stream in streams:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())
            os.close(nothing)
