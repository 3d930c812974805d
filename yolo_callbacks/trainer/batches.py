"""Record the size of the batch that goes through the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from yolo_callbacks.trainer.method_patches import MethodPatches

__all__ = ["BatchInFlight", "watch_batches"]


@dataclass
class BatchInFlight:
    """The batch that goes through the model.

    Attributes:
        index: The position of the batch in the epoch, counted from 0; -1 before the first batch.
        shape: The shape of its images: (batch, channels, height, width), in pixels.
        instances: The number of its boxes; None where the task has no boxes.
    """

    index: int = -1
    shape: tuple[int, ...] = ()
    instances: int | None = None

    def advance(self, batch: Any) -> None:
        """Go on to the next batch."""
        self.index += 1
        self.measure(batch)

    def measure(self, batch: Any) -> None:
        """Note the sizes of a batch. A trainer written by the user may have batches of any form."""
        try:
            self.shape = tuple(batch["img"].shape)
            self.instances = len(batch["bboxes"]) if "bboxes" in batch else None
        except Exception:  # nothing between this call and the training catches an error
            self.shape, self.instances = (), None


def watch_batches(methods: MethodPatches) -> BatchInFlight:
    """Note the sizes of each batch from now on. Keep no reference to the batch, which would hold its memory."""
    seen, prepare = BatchInFlight(), methods.trainer.preprocess_batch

    def watched(batch: Any, *arguments: Any, **keywords: Any) -> Any:
        seen.advance(batch)
        prepared = prepare(batch, *arguments, **keywords)
        seen.measure(prepared)  # multi_scale has resized it
        return prepared

    methods.replace("preprocess_batch", watched)
    return seen
