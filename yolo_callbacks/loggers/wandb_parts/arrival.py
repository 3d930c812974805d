"""Find out which parts of a W&B run have reached the server: read wandb's own log, and ask the server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["ROWS", "last_step", "refusals"]

ROWS = "rows"
FILES = "images and other files"

# What wandb 0.31.0 writes to debug-internal.log in the run's folder if the server refuses for good. `run.finish()`
# returns without an error then, and the console shows one line at most.
_SIGNS = {
    "filestream: fatal error": ROWS,
    "runupserter: failed to upload": "config",
    "runfiles: CreateRunFiles returned error": FILES,
}
_UPLOAD = "UploadTask"  # in the `task` of each entry about a file that was not uploaded, whatever its message
_ARTIFACT = "sender: failed to log artifact"
_FILE_OF_ARTIFACT = "FileKind: 2"


def refusals(log: Path) -> tuple[dict[str, str], int]:
    """Read what the server refused from the log of a run.

    Args:
        log: The run's debug-internal.log.

    Returns:
        What was refused, with the reason, and the number of artifacts that were refused.

    Raises:
        OSError: If the log cannot be read.
    """
    found: dict[str, str] = {}
    artifacts = 0
    with log.open(errors="replace") as lines:
        for line in lines:
            if '"ERROR' not in line:
                continue
            entry = _entry(line)
            message = str(entry.get("msg", ""))
            artifacts += message.startswith(_ARTIFACT)
            task = str(entry.get("task", ""))
            if _UPLOAD in task and _FILE_OF_ARTIFACT not in task:
                found.setdefault(FILES, message)
            for sign, what in _SIGNS.items():
                if message.startswith(sign):
                    found.setdefault(what, str(entry.get("error") or message.removeprefix(sign).lstrip(": ")))
    return found, artifacts


def last_step(path: str, seconds: float) -> int:
    """Ask the server for the last row of a run that it has.

    Args:
        path: `entity/project/id` of the run.
        seconds: How long one request may take.

    Returns:
        The step of that row; -1 if it has no row.

    Raises:
        Exception: What wandb raises if the server does not answer.
    """
    import wandb

    return int(wandb.Api(timeout=max(int(seconds), 1)).run(path).lastHistoryStep)


def _entry(line: str) -> Mapping[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
