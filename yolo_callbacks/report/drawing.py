"""Draw with matplotlib's own defaults, whatever the user's style is."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["LOCK", "default_style"]

# matplotlib's parameters and Python's filters of warnings are those of the whole process: two trainings in threads
# that save and restore them at the same time would leave the wrong ones for good.
LOCK = threading.RLock()


@contextlib.contextmanager
def default_style(changes: Mapping[str, Any]) -> Iterator[None]:
    """Set matplotlib's defaults with some changes for a while; one thread at a time."""
    import matplotlib as mpl

    with LOCK, mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(changes)
        yield
