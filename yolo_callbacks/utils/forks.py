"""Prevent a forked process, such as a worker of a data loader, from inheriting the pipes of another child process.

`subprocess` opens pipes for a child process, and closes its own copy of the child's ends once the child has started. A
worker that is forked in between inherits these ends and never closes them. Then the thread waits for the end of a pipe
until the worker ends: a call of git, or the start of wandb's process, waits for a whole training. Seen with 16 workers
in one of two trainings.
"""

from __future__ import annotations

import os
import subprocess
import threading
from typing import Any

__all__ = ["FORK_GUARD", "ForkGuard"]

# A child process starts within milliseconds. Where its program is on a file system that hangs, the training goes on.
_LONGEST_WAIT = 2.0  # seconds


class ForkGuard:
    """Delay each fork of this process while another thread starts a child process.

    It replaces `subprocess.Popen.__init__` from the first `acquire` to the last `release`.
    """

    def __init__(self) -> None:
        self._users, self._users_lock = 0, threading.Lock()
        self._starting = threading.RLock()
        self._forking = threading.local()
        self._original: Any = None
        self._replacement: Any = None
        if hasattr(os, "register_at_fork"):  # Windows has no fork
            os.register_at_fork(
                before=self._before_fork, after_in_parent=self._after_fork, after_in_child=self._after_fork_in_child
            )

    def acquire(self) -> None:
        """Guard the child processes that start from now on."""
        with self._users_lock:
            self._users += 1
            if self._users == 1:
                self._original = original = subprocess.Popen.__init__

                def start_alone(popen: Any, *arguments: Any, **options: Any) -> None:
                    with self._starting:
                        original(popen, *arguments, **options)

                self._replacement = start_alone
                subprocess.Popen.__init__ = start_alone  # type: ignore[method-assign,assignment]

    def release(self) -> None:
        """Undo one `acquire`."""
        with self._users_lock:
            self._users -= 1
            if not self._users and subprocess.Popen.__init__ is self._replacement:  # else other code has wrapped it
                subprocess.Popen.__init__ = self._original  # type: ignore[method-assign]

    def _before_fork(self) -> None:
        self._forking.waits = self._users > 0 and self._starting.acquire(timeout=_LONGEST_WAIT)

    def _after_fork(self) -> None:
        if self._forking.waits:
            self._starting.release()

    def _after_fork_in_child(self) -> None:
        # the threads that may hold the old locks are not in the child
        self._users_lock, self._starting = threading.Lock(), threading.RLock()


FORK_GUARD = ForkGuard()
"""The one of this process: two would restore each other's replacement."""
