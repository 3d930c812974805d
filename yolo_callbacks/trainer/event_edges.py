"""Note when the trainer begins and ends to call the functions of an event, in whatever order they were added."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from yolo_callbacks.trainer.method_patches import MethodPatches

__all__ = ["EventEdges"]


class EventEdges:
    """Call functions before the first and after the last callback of an event, until `close`.

    The callbacks of a suite are not always the first or the last ones: the user may add functions later.

    Args:
        trainer: The trainer. One that has no `run_callbacks` is left as it is.
        before: The functions by the event that they come before.
        after: The functions by the event that they come after.
    """

    def __init__(
        self, trainer: Any, *, before: Mapping[str, Callable[[], None]], after: Mapping[str, Callable[[], None]]
    ) -> None:
        self._methods = MethodPatches(trainer)
        call = getattr(trainer, "run_callbacks", None)
        if call is None:
            return

        def run_callbacks(event: str, *arguments: Any, **keywords: Any) -> Any:
            if event in before:
                before[event]()
            result = call(event, *arguments, **keywords)
            if event in after:
                after[event]()
            return result

        self._methods.replace("run_callbacks", run_callbacks)

    def close(self) -> None:
        """Leave the trainer as it was."""
        self._methods.undo()
