"""Scripts in processes of their own, forked from one that has imported what a training needs.

Importing torch and Ultralytics takes seconds, a fork milliseconds. pytest is in none of these processes: where it is
imported, Ultralytics switches its integrations off. Nor is anything of ours imported before the script does it, nor
wandb, which makes a folder where it is imported and removes it where the process ends: all forks would share it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TextIO

# What ends a process that hangs, in seconds.
TIMEOUT = 200
READY = "ready\n"


class Ended(NamedTuple):
    """A process that has ended."""

    status: int
    """Its exit status, the signal that ended it as a negative number."""
    said: str
    """The text that it wrote to its output and error streams."""


class Interpreter:
    """A Python that runs scripts as if it were started anew for each, without the time that takes.

    Args:
        environment: More variables, for what is read where it is imported.
        imports: The module that imports what the scripts need.
    """

    def __init__(self, environment: dict[str, str] | None = None, imports: str = "training_imports") -> None:
        theirs = ("PYTEST", "GITHUB_", "WANDB")  # by which Ultralytics, or W&B, does less than it does for users
        variables = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
        variables |= {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"}
        self._folder = tempfile.TemporaryDirectory()
        self._output = Path(self._folder.name) / "output"
        os.mkfifo(self._output)
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self._output), imports],
            env={**variables, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._process.stdout.readline() != READY:
            raise RuntimeError(f"it did not start, and ended with {self._process.wait()}")

    def run(
        self,
        script: str,
        *arguments: str,
        environment: dict[str, str] | None = None,
        on_line: Callable[[str], object] = bool,
        **names: Any,
    ) -> Ended:
        """Run a script to its end.

        Args:
            script: Its text.
            *arguments: The rest of `sys.argv`.
            environment: More variables. Without any, W&B is offline, and keeps what is its own in a temporary folder.
            on_line: Is called with each line as the script writes it.
            **names: Variables of the script; strings, numbers, and what JSON has of both.
        """
        job = {"script": script, "arguments": arguments, "names": names}
        print(json.dumps({**job, "environment": environment or {}}), file=self._process.stdin, flush=True)
        said = []
        with self._output.open() as output:
            for line in output:
                said.append(line)
                on_line(line)
        return Ended(int(self._process.stdout.readline()), "".join(said))

    def close(self) -> None:
        """End it."""
        self._process.communicate()
        self._folder.cleanup()


def forked(output: str, answers: TextIO) -> dict[str, Any]:
    """Wait for jobs, and return each in a process of its own, which looks as if it had been started for it."""
    print(READY, end="", file=answers, flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid:
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answers, flush=True)
            continue
        answers.close()
        signal.alarm(TIMEOUT)
        for source, targets in ((os.open(os.devnull, os.O_RDONLY), [0]), (os.open(output, os.O_WRONLY), [1, 2])):
            for target in targets:
                os.dup2(source, target)
            os.close(source)
        job: dict[str, Any] = json.loads(line)
        for name in [name for name in os.environ if name.startswith("WANDB")]:
            del os.environ[name]
        os.environ.update({"WANDB_MODE": "offline", "WANDB_DATA_DIR": f"{output}-wandb", **job["environment"]})
        sys.argv[1:] = job["arguments"]
        return job
    raise SystemExit


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is printed as modules are imported is no answer

    importlib.import_module(sys.argv.pop())
    job = forked(sys.argv[1], answers)
    globals().update(job["names"])
    # to its end as any script: what it registered to be done at exit is done, and an exception is its exit status
    exec(compile(job["script"], "<script>", "exec"), globals())
