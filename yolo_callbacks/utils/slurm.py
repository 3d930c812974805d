"""Ask SLURM about the job of this process, and put it back into the queue."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Mapping
from datetime import datetime

from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.messages import one_line

__all__ = ["job_end_time", "job_id", "requeue_job", "shown_end_time"]

_TIMEOUT = 15  # seconds that an answer of `scontrol` may take


def job_id(environment: Mapping[str, str] = os.environ) -> str:
    """Return the id of the SLURM job of this process, `<array job>_<task>` in an array; `""` outside SLURM."""
    array, task = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    if array and task:
        return f"{array}_{task}"
    return environment.get("SLURM_JOB_ID", "")


def job_end_time(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return when the time of the job is over, in seconds since 1970; None where `SLURM_JOB_END_TIME` is not set.

    SLURM sets it from 22.05 on.
    """
    with contextlib.suppress(KeyError, ValueError):
        return float(environment["SLURM_JOB_END_TIME"])
    return None


def shown_end_time() -> float | None:
    """Return when the time of the job is over, as `scontrol` shows it; None outside SLURM, and where it does not."""
    if not job_id():
        return None
    shown, _ = _scontrol("show", "job", job_id())
    found = re.search(r"\bEndTime=(\S+)", shown)
    with contextlib.suppress(ValueError):  # `Unknown`, of a job without a limit
        return datetime.fromisoformat(found[1]).timestamp() if found else None  # in the time zone of this machine
    return None


def requeue_job(by: str) -> None:
    """Put the job back into the queue, where SLURM starts it again; outside SLURM do nothing.

    Args:
        by: Who asks for it, for the messages.
    """
    if not job_id():
        return
    LOGGER.info(f"{by}: putting job {job_id()} back into the queue")
    _, error = _scontrol("requeue", job_id())
    if error:
        LOGGER.warning(f"{by}: job {job_id()} could not be put back into the queue: {error}")


def _scontrol(*arguments: str) -> tuple[str, str]:
    """Return what `scontrol` prints, and why it failed, or `""`."""
    command = ["scontrol", *arguments]
    try:
        done = subprocess.run(  # noqa: S603 (ids that SLURM has set)
            command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return "", f"{type(error).__name__}: {error}"
    return done.stdout, one_line(done.stderr) or f"exit code {done.returncode}" if done.returncode else ""
