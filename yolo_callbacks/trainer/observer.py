"""Define what the trainer layer calls while a training runs, so that it need not know the suite."""

from __future__ import annotations

from typing import Protocol

__all__ = ["TrainingObserver"]


class TrainingObserver(Protocol):
    """Follow one training. Each call is made on the thread of the training."""

    def before_checkpoint(self) -> None:
        """React before Ultralytics writes its checkpoints."""

    def on_exit(self) -> None:
        """React where the training fails, and where a resumed training ends at once.

        Up to 8.4.138 or so Ultralytics calls `teardown` neither time; later versions do, after this.
        """

    def on_end(self) -> None:
        """React at the end, after every `teardown`; where the training had begun before it was followed, in it."""
