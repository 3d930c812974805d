"""A fork waits for a child process that another thread is starting, since it would inherit its pipes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from yolo_callbacks.utils import forks
from yolo_callbacks.utils.forks import ForkGuard

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),  # Python 3.12
]


class Fork:
    """A fork of this process that does nothing until `end`."""

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self._writing)
            os.read(reading, 1)
            os._exit(0)
        os.close(reading)

    def end(self) -> None:
        os.close(self._writing)
        os.waitpid(self.pid, 0)


@pytest.fixture
def starting(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Hold each start of a child process after its pipes are open: events for that, and for going on."""
    opened, go_on = threading.Event(), threading.Event()
    original = subprocess.Popen._execute_child

    def held(self, *arguments):
        opened.set()
        go_on.wait(60)
        return original(self, *arguments)

    monkeypatch.setattr(subprocess.Popen, "_execute_child", held)
    yield opened, go_on
    go_on.set()


def read_child() -> threading.Thread:
    """Start a thread that reads the output of a child process to its end."""
    command = [sys.executable, "-c", "print('done')"]
    thread = threading.Thread(target=lambda: subprocess.run(command, capture_output=True, check=True), daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("guarded", [True, False])
def test_a_fork_does_not_inherit_the_pipes_of_a_child_process(starting, guarded):
    opened, go_on = starting
    guard = ForkGuard()
    if guarded:
        guard.acquire()
    thread = read_child()
    assert opened.wait(60)
    threading.Timer(0.2, go_on.set).start()
    if not guarded:  # the fault, so that this test can fail
        fork = Fork()
        thread.join(2)
        assert thread.is_alive()
    else:
        fork = Fork()  # waits until the child process has started
        assert go_on.is_set()
        thread.join(60)
        assert not thread.is_alive()
        guard.release()
    fork.end()
    thread.join(60)
    assert not thread.is_alive()


def test_a_fork_does_not_wait_forever(starting, monkeypatch):
    opened, go_on = starting
    monkeypatch.setattr(forks, "_LONGEST_WAIT", 0.1)
    guard = ForkGuard()
    guard.acquire()
    thread = read_child()
    assert opened.wait(60)
    fork = Fork()
    assert not go_on.is_set()
    fork.end()
    guard.release()
    go_on.set()
    thread.join(60)
    assert not thread.is_alive()


def test_a_fork_can_start_child_processes_itself(starting):
    """Also where the thread that was starting one is not in it."""
    opened, go_on = starting
    guard = ForkGuard()
    guard._before_fork = lambda: setattr(guard._forking, "waits", False)
    guard.acquire()
    thread = read_child()
    assert opened.wait(60)
    guard._after_fork_in_child()
    go_on.set()
    subprocess.run([sys.executable, "-c", ""], check=True)
    guard.release()
    thread.join(60)


def test_it_restores_what_it_has_replaced():
    before = subprocess.Popen.__init__
    guard = ForkGuard()
    guard.acquire()
    guard.acquire()
    guard.release()
    assert subprocess.Popen.__init__ is not before
    guard.release()
    assert subprocess.Popen.__init__ is before


def test_it_leaves_what_other_code_has_put_around_it(monkeypatch):
    monkeypatch.setattr(subprocess.Popen, "__init__", subprocess.Popen.__init__)  # restored at the end
    guard = ForkGuard()
    guard.acquire()
    inner = subprocess.Popen.__init__

    def around(self, *arguments, **options):
        inner(self, *arguments, **options)

    subprocess.Popen.__init__ = around
    guard.release()
    assert subprocess.Popen.__init__ is around
    subprocess.run([sys.executable, "-c", ""], check=True)
