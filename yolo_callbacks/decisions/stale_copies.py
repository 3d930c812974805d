"""Tell which copies of checkpoints belong to an earlier iteration of a search than the one that was copied last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["Iteration", "Stamp", "stale_copies"]

Stamp = tuple[int, int]  # the time and the size of a file; `shutil.copy2` copies both


class Iteration(NamedTuple):
    """The checkpoints of one iteration at its end, by name."""

    kept: Mapping[str, Stamp]
    """Those that callbacks have written."""
    others: Mapping[str, Stamp]
    """Those that Ultralytics has written."""


def stale_copies(found: Mapping[str, Stamp], iterations: Sequence[Iteration]) -> list[str]:
    """Return the files that callbacks have written in an earlier iteration than the one that was copied last.

    Args:
        found: The files of the folder into which iterations were copied, by name.
        iterations: The iterations, in the order in which they were trained. A later one was copied later.
    """
    copied = [each for each in iterations if _copies(each.others, found) or _copies(each.kept, found)]
    earlier = [_copies(each.kept, found) for each in copied[:-1]]
    return sorted(set().union(*earlier) - _copies(copied[-1].kept, found)) if earlier else []


def _copies(files: Mapping[str, Stamp], found: Mapping[str, Stamp]) -> set[str]:
    return {name for name, stamp in files.items() if found.get(name) == stamp}
