"""Advise what makes a data loader faster, from what is known of it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DATA_SHARE", "Loading", "advise"]

DATA_SHARE = 0.2
"""The share of the training time that may wait for data without advice."""

_GIB = 2**30
_ALL_BUSY, _IDLE = 0.9, 0.5  # of the cores
_MARGIN = 2.0  # the free memory must be this many times what a cache takes, as Ultralytics 8.4.190 asks for


@dataclass(frozen=True)
class Loading:
    """Describe how the images of a training are loaded.

    Attributes:
        workers: The worker processes of one rank.
        most_workers: The most that are of use to one rank: its share of the cores, and no more than batches.
        cached: `"ram"`, `"disk"`, or `""` for no cache.
        cache_bytes: What a cache in memory takes, of all ranks together; 0 where it is unknown or not possible.
        free_bytes: The free memory of the machine.
        busy: The share of the cores that this training keeps busy; None where it is unknown.
        mosaic: Whether four images are joined to one.
    """

    workers: int
    most_workers: int
    cached: str = ""
    cache_bytes: int = 0
    free_bytes: int = 0
    busy: float | None = None
    mosaic: bool = False


def advise(share: float, loading: Loading) -> str:
    """Return one line of advice where too much of the training time waits for data; `""` otherwise.

    Args:
        share: The share of the training time that waits for data.
        loading: How the images are loaded.
    """
    if share <= DATA_SHARE:
        return ""
    return f"{100 * share:.0f} % of the training time waits for data: {_remedy(loading)}"


def _remedy(loading: Loading) -> str:
    busy = loading.busy
    if loading.workers < loading.most_workers and (busy is None or busy < _ALL_BUSY):
        return f"train with workers={loading.most_workers}, now {loading.workers}"
    if loading.cached != "ram" and 0 < _MARGIN * loading.cache_bytes < loading.free_bytes:
        needed, free = loading.cache_bytes / _GIB, loading.free_bytes / _GIB
        return f"train with cache=ram, which takes about {needed:.2g} of {free:.3g} GiB of free memory"
    if busy is not None and busy < _IDLE:
        return (
            f"only {100 * busy:.0f} % of the cores are busy, so the disk is slow: copy the images to a local, fast one"
        )
    if not loading.cached:
        return "train with cache=disk, which stores the decoded images"
    mosaic = ", and mosaic= below 1 or a larger close_mosaic=: a mosaic reads four images" if loading.mosaic else ""
    return f"the cores are the limit: use images of the size imgsz{mosaic}"
