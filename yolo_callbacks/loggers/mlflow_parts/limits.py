"""Limit what a call of MLflow may take on one thread, and keep its lines off the console.

mlflow is imported inside functions only: a process that does not log to it does not wait for the import.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["apply_limits", "limited"]

# MLflow 3.17 waits 120 s for each of 8 attempts, with pauses of 2 to 128 s, as long as nothing sets these variables of
# the environment. No method of a client takes them as arguments.
_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
_SILENT = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"  # MLflow prints an address when a run ends
# They say that tables are created, and that a request is tried again: in the middle of a progress bar.
_LOGGERS = ("mlflow.store.db.utils", "alembic.runtime.migration", "urllib3.connectionpool")
_LOCAL = threading.local()
_applied = threading.Lock()


def apply_limits() -> None:
    """Make MLflow respect `limited`; what other threads get from MLflow does not change.

    Each variable of MLflow's environment is an object that reads `os.environ` in its method `get`. That method is
    replaced, until the process ends.
    """
    from mlflow import environment_variables

    with _applied:
        for name in (_TIMEOUT, _RETRIES, _SILENT):
            variable = getattr(environment_variables, name, None)  # another version may not have it
            if variable is not None and "get" not in vars(variable):
                variable.get = _limited_get(variable.get, variable.is_set, name)
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            if _is_wanted not in logger.filters:
                logger.addFilter(_is_wanted)


@contextmanager
def limited(seconds: float, *, retries: int = 0) -> Iterator[None]:
    """Limit the requests of this thread in a block.

    Args:
        seconds: How long a request may wait for the server. A shorter limit of the environment holds.
        retries: How often a request is tried again. Defaults to `0`.
    """
    before = getattr(_LOCAL, "limits", None)
    _LOCAL.limits = {_TIMEOUT: max(seconds, 0.1), _RETRIES: retries, _SILENT: True}
    try:
        yield
    finally:
        _LOCAL.limits = before


def _limited_get(original: Callable[[], Any], is_set: Callable[[], bool], name: str) -> Callable[[], Any]:
    def get() -> Any:
        limits = getattr(_LOCAL, "limits", None)
        if limits is None:
            return original()
        return min(limits[name], original()) if is_set() and name != _SILENT else limits[name]

    return get


def _is_wanted(record: logging.LogRecord) -> bool:
    """Return whether a line may go to the console: not from a thread in `limited`, whose errors the logger prints."""
    return getattr(_LOCAL, "limits", None) is None
