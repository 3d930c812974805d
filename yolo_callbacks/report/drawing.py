"""Draw with matplotlib's defaults instead of the user's style."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["LOCK", "default_style"]

# The parameters of matplotlib and the warning filters of Python belong to the whole process. Two trainings in threads
# that save and restore them at the same time could restore the wrong ones.
LOCK = threading.RLock()


@contextlib.contextmanager
def default_style(changes: Mapping[str, Any]) -> Iterator[None]:
    """Set matplotlib's defaults with some changes for the block; only one thread at a time can do so."""
    import matplotlib as mpl

    with LOCK, mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(changes)
        yield
