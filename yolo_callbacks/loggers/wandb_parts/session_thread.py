"""Open a W&B run and make every call of wandb in one thread, in the order of the training."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from yolo_callbacks.loggers.logger_parts.news import News

__all__ = ["SessionThread"]


class SessionThread:
    """A thread that opens a run, then does one task after the other.

    Args:
        open_run: Opens the run.
        is_open: Returns whether there is a run to do tasks with; without one they are dropped.
        news: Where warnings go.
    """

    def __init__(self, open_run: Callable[[], object], is_open: Callable[[], bool], news: News) -> None:
        self._open_run = open_run
        self._is_open = is_open
        self._news = news
        self._tasks: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._tried = threading.Event()  # to open the run
        # A call of wandb may never return: nobody waits for the thread at the exit of the interpreter.
        self.thread = threading.Thread(target=self._work, name="wandb-session", daemon=True)

    def start(self) -> None:
        """Start to open the run; where the system allows no thread more, add a warning."""
        try:
            self.thread.start()
        except RuntimeError as error:
            self._news.warn_of(error, "the run could not be opened")
            self._tried.set()

    def submit(self, task: Callable[[], object]) -> None:
        """Do a task after all earlier ones."""
        self._tasks.put(task)

    def wait_for_run(self, seconds: float) -> None:
        """Wait until the run is open, or could not be opened, at most for some seconds."""
        self._tried.wait(seconds)

    def end(self, seconds: float) -> bool:
        """Let the thread end after the tasks it has, and return whether it has ended within some seconds."""
        self._tasks.put(None)
        if self.thread.ident is not None:  # it was started
            self.thread.join(seconds)
        return not self.thread.is_alive()

    def _work(self) -> None:
        try:
            self._open_run()
        except BaseException as error:  # also SystemExit: the training thread learns of it at the end only
            self._news.warn_of(error, "the run could not be opened")
        finally:
            self._tried.set()
        while (task := self._tasks.get()) is not None:
            if self._is_open():
                try:
                    task()
                except Exception as error:
                    self._news.warn_of(error, "a call of wandb failed")
