"""Describe the loader of the training images, and count what it has given."""

from __future__ import annotations

import os
from typing import Any

from yolo_callbacks.decisions.loading_advice import Loading
from yolo_callbacks.utils.memory import host_available
from yolo_callbacks.utils.usage import available_cores

__all__ = ["cores_of_rank", "describe_loading", "images_in"]


def images_in(trainer: Any, batches: int) -> int:
    """Return how many images a number of batches of this rank holds, with those of the other ranks; 0 if unknown."""
    try:
        loader, ranks = trainer.train_loader, _ranks(trainer)
        size = getattr(loader, "batch_size", None) or max(int(trainer.batch_size) // ranks, 1)
        images = batches * int(size) * ranks
        return min(images, len(loader.dataset)) if batches >= len(loader) else images
    except (AttributeError, TypeError, ValueError):  # a loader of the user's own
        return 0


def cores_of_rank(trainer: Any) -> int:
    """Return how many cores this process may use, where the ranks share those of the machine."""
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "0")) or _ranks(trainer)
    return max(available_cores() // ranks, 1)


def describe_loading(trainer: Any, busy: float | None, *, mosaic: bool) -> Loading | None:
    """Return how the training images are loaded; None for a loader of the user's own that does not say it.

    Args:
        trainer: The trainer.
        busy: The share of its cores that this rank keeps busy.
        mosaic: Whether the present epoch trains with mosaic.
    """
    try:
        loader, dataset = trainer.train_loader, trainer.train_loader.dataset
        workers, batches = int(loader.num_workers), len(loader)
        ranks, size = _ranks(trainer), int(trainer.args.imgsz)
        images = len(dataset)
    except (AttributeError, TypeError, ValueError):
        return None
    # Ultralytics caps the workers by the batches; 8.4.190 loads a single batch in the process itself.
    most = 0 if batches < 2 or _ignores_workers(trainer, workers) else min(cores_of_rank(trainer), batches)
    # Ultralytics refuses a cache in memory for classification: it leaks there.
    can_cache = trainer.args.task != "classify"
    return Loading(
        workers=workers,
        most_workers=most,
        cached=_cached(dataset),
        cache_bytes=3 * size * size * images * ranks if can_cache else 0,  # every rank caches all images
        free_bytes=host_available()[0],
        busy=busy,
        mosaic=mosaic and can_cache and bool(getattr(trainer.args, "mosaic", 0)),  # a classifier has none
    )


def _ignores_workers(trainer: Any, workers: int) -> bool:
    """Return whether `workers=` has no effect: Ultralytics 8.3.200 to 8.4.190 has no workers on CPU and MPS."""
    return workers == 0 and getattr(getattr(trainer, "device", None), "type", "") in ("cpu", "mps")


def _ranks(trainer: Any) -> int:
    return max(int(trainer.world_size or 1), 1)  # 0 on a CPU


def _cached(dataset: Any) -> str:
    """Return where a data set of Ultralytics caches its images: the argument is not obeyed where memory is short."""
    cache = getattr(dataset, "cache", None)
    if cache in ("ram", True) or getattr(dataset, "cache_ram", False):
        return "ram"
    return "disk" if cache == "disk" or getattr(dataset, "cache_disk", False) else ""
