"""Write the stacks of all threads of this process to a file."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import traceback
from datetime import datetime
from pathlib import Path
from typing import IO

__all__ = ["StackFile", "innermost_calls"]

_SHOWN = 4  # calls in a message


class StackFile:
    """The file of the stacks of one rank. It is there while the training runs, and stays if something was written.

    The file is opened at the start: what has gone wrong may prevent that later, and `faulthandler` needs it open. It
    writes the stacks where no thread of Python runs any more, because a call of C keeps the lock of the interpreter.

    Args:
        path: The file; what it holds is kept.

    Raises:
        OSError: If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] = path.open("a", encoding="utf-8", errors="replace")

    def arm(self, seconds: float) -> None:
        """Write the stacks after some seconds, unless this or `close` is called before."""
        faulthandler.dump_traceback_later(seconds, file=self._file)

    def write(self, title: str) -> None:
        """Write the stacks of all threads: their calls, but neither values nor lines of code.

        Args:
            title: The line before them.
        """
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        lines = [f"{datetime.now().astimezone().isoformat(timespec='seconds')}  {title}"]
        for thread, frame in sys._current_frames().items():
            lines.append(f"\nThread {names.get(thread, thread)} (most recent call last):")
            for call in traceback.StackSummary.extract(traceback.walk_stack(frame), lookup_lines=False)[::-1]:
                lines.append(f'  File "{call.filename}", line {call.lineno}, in {call.name}')
        self._file.write("\n".join(lines) + "\n\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file; remove it if it is empty."""
        faulthandler.cancel_dump_traceback_later()
        self._file.flush()
        empty = os.fstat(self._file.fileno()).st_size == 0
        self._file.close()
        if empty:
            self.path.unlink(missing_ok=True)


def innermost_calls(thread: int) -> tuple[str, ...]:
    """Return the innermost calls of a thread, the last one first; none if it has ended.

    Args:
        thread: Its identifier.
    """
    frame = sys._current_frames().get(thread)
    if frame is None:
        return ()
    calls = traceback.StackSummary.extract(traceback.walk_stack(frame), limit=_SHOWN, lookup_lines=False)
    return tuple(f"{call.name} ({Path(call.filename).name}:{call.lineno})" for call in calls)
