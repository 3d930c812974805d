"""Raise in the parent of a multi-GPU training what its first worker was asked to raise at its end.

Ultralytics trains on several GPUs in child processes, and knows only their exit status.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.distributed import is_single_process

__all__ = ["from_workers", "hand_to_parent"]

_VARIABLE = "YOLO_CALLBACKS_EXCEPTION"


@contextmanager
def from_workers(trainer: Any) -> Iterator[Callable[[], BaseException | None]]:
    """Receive an exception from the workers that start in the block; yield a function that returns it, or None.

    Args:
        trainer: The trainer of this process. Where it starts no workers, there is never an exception.
    """
    if not is_single_process() or getattr(trainer, "world_size", 1) < 2:
        yield lambda: None
        return
    with tempfile.TemporaryDirectory(prefix="yolo-callbacks-") as folder:
        path = Path(folder) / "exception"
        os.environ[_VARIABLE] = str(path)
        try:
            yield lambda: _read(path)
        finally:
            os.environ.pop(_VARIABLE, None)


def hand_to_parent(error: BaseException) -> bool:
    """Hand an exception to the process that has started this worker; return whether there is one that waits for it."""
    path = os.environ.get(_VARIABLE)
    if not path or is_single_process():
        return False
    try:
        content = pickle.dumps(error)
    except Exception:  # it holds something that cannot be pickled
        content = pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    Path(path).write_bytes(content)
    return True


def _read(path: Path) -> BaseException | None:
    """Return the exception in a file of this process's own temporary folder, which only its workers know."""
    if not path.is_file():
        return None
    try:
        error = pickle.loads(path.read_bytes())  # noqa: S301 (of a folder that this process has made)
    except Exception as failure:
        return RuntimeError(f"a worker ended the training with an exception that cannot be read here: {failure}")
    return error if isinstance(error, BaseException) else None
