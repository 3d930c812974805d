"""Know which images the batches of a loader hold, where a batch does not say it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.geometry import to_cpu

__all__ = ["ImageOrder", "passes"]


class ImageOrder:
    """Follow which images the batches of a classification hold, from the first pass of its loader on."""

    def __init__(self) -> None:
        self._loader: Any = None
        self._passes: Iterator[list[int]] = iter(())
        self._left: list[int] = []

    def start_pass(self, loader: Any) -> None:
        """Prepare for the next pass of a loader, in `on_val_start`; of the same loader every pass must be announced."""
        if self._loader is not loader:
            self._loader, self._passes = loader, passes(loader)
        self._left = next(self._passes)

    def results(self, preds: Any, batch: Any) -> Iterator[tuple[Path, int, int, float]]:
        """Yield the file, the label, the predicted class and its confidence for each image of the next batch.

        Args:
            preds: The probabilities of the classes, one row an image.
            batch: The batch, as the validator gets it.

        Raises:
            RuntimeError: If the images at the expected positions have other labels.
        """
        best = preds.max(1)
        rows = to_cpu(batch["cls"], best.indices, best.values).tolist()
        positions, self._left = self._left[: len(rows)], self._left[len(rows) :]
        images = [self._loader.dataset.samples[position] for position in positions]
        if [int(image[1]) for image in images] != [int(label) for label, *_ in rows]:
            raise RuntimeError("the loader reads the images in an order that is not known")
        for image, (label, predicted, confidence) in zip(images, rows, strict=True):
            yield Path(image[0]), int(label), int(predicted), confidence


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
