"""Know which images the batches of a loader hold, where a batch does not say it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["passes"]


def passes(loader: Any) -> Iterator[list[int]]:
    """Yield the positions in the data set of the images of each pass, in the order in which the loader reads them.

    Ultralytics shuffles the images of a classification in validation too (8.3.200 to 8.4.190 at least), and a batch of
    theirs has no file names. The order follows from the seed of the loader's generator: this draws the same numbers as
    the loader, from a generator of its own.

    Args:
        loader: A loader that has not been read yet.
    """
    import torch

    sampler = loader.sampler
    if not isinstance(sampler, torch.utils.data.RandomSampler) or loader.generator is None:
        while True:  # in the order of the files, or a sampler of several ranks, which has a seed of its own
            yield list(sampler)
    shadow = torch.Generator()
    shadow.manual_seed(loader.generator.initial_seed())
    torch.empty((), dtype=torch.int64).random_(generator=shadow)  # the seed that each iterator draws for its workers
    same = torch.utils.data.RandomSampler(range(len(sampler)), generator=shadow)
    while True:
        yield list(same)
