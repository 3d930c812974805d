"""A job of SLURM without SLURM: its variables, and a `scontrol` that notes how it was called."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

SCRIPT = """#!/bin/sh
echo "$@" >> "{calls}"
case "$1" in
    show) printf '%s\\n' "{shown}" ;;
esac
if [ -n "{error}" ]; then echo "{error}" >&2; exit 1; fi
"""
VARIABLES = ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_END_TIME")


class StandInSlurm:
    """Make this process look like one of a job.

    Args:
        folder: Where `scontrol` is written.
        set_variable: Sets a variable of the environment.
        error: What `scontrol` prints before it fails; `""` where it succeeds.
        shown: What `scontrol show job` prints.
    """

    def __init__(
        self, folder: Path, set_variable: Callable[[str, str], None], error: str = "", shown: str = ""
    ) -> None:
        folder.mkdir(exist_ok=True)
        self._calls, script = folder / "calls", folder / "scontrol"
        script.write_text(SCRIPT.format(calls=self._calls, error=error, shown=shown))
        script.chmod(0o755)
        set_variable("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        set_variable("SLURM_JOB_ID", "77")

    @property
    def calls(self) -> list[str]:
        """The arguments of each call of `scontrol`."""
        return self._calls.read_text().splitlines() if self._calls.exists() else []
