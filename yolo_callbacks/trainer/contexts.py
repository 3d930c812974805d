"""Keep contexts entered while a training runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

__all__ = ["TrainingContexts"]


class TrainingContexts:
    """Keep contexts entered while a training runs."""

    def __init__(self) -> None:
        self._waiting: list[AbstractContextManager[object]] = []
        self._late = ExitStack()

    def add(self, context: AbstractContextManager[object]) -> None:
        """Enter a context before the training is set up: its loaders start their workers there."""
        self._waiting.append(context)

    def enter(self, context: AbstractContextManager[object]) -> None:
        """Enter a context now, in a training that is being set up or runs."""
        self._late.enter_context(context)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Enter the contexts that wait; the block is the training."""
        with ExitStack() as stack:
            for context in self._waiting:
                stack.enter_context(context)
            self._waiting.clear()
            yield

    def close(self) -> None:
        """Leave the contexts that were entered late."""
        self._waiting.clear()
        self._late.close()
