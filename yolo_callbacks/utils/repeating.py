"""Remember that the same call again continues the training, so that the run can say so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["repeated_by", "what_repeats"]

_VARIABLE = (
    "YOLO_CALLBACKS_REPEATED_BY"  # in the environment, for the processes that Ultralytics starts on several GPUs
)


@contextmanager
def repeated_by(words: str) -> Iterator[None]:
    """For the time of a block, say of each training that these words continue it."""
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = words
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = before


def what_repeats() -> str:
    """Return the words that continue the training; "" if it takes another call."""
    return os.environ.get(_VARIABLE, "")
