"""Add a suite to the callback lists of a model or trainer, and remove it again."""

from __future__ import annotations

import functools
from typing import Any

from yolo_callbacks.suite.suite import Suite

__all__ = ["add_handlers", "is_attached", "remove_handlers"]


class _Handler(functools.partial[None]):
    """The function that Ultralytics calls at one event: `suite.handle(event, source)`."""

    @property
    def suite(self) -> Suite:
        """The suite."""
        suite: Suite = self.args[0]
        return suite


def add_handlers(model: Any, suite: Suite) -> None:
    """Let a model or trainer call a suite at each event that the suite listens to."""
    for event in suite.events:
        model.add_callback(event, _Handler(type(suite).handle, suite, event))


def remove_handlers(model: Any) -> Suite | None:
    """Remove the suite of a model or trainer, and return it; return None if there is none."""
    removed: Suite | None = None
    for event, functions in model.callbacks.items():
        for function in functions:
            if isinstance(function, _Handler):
                removed = function.suite
        model.callbacks[event] = [function for function in functions if not isinstance(function, _Handler)]
    return removed


def is_attached(model: Any) -> bool:
    """Return whether a model or trainer has a suite."""
    return any(isinstance(function, _Handler) for functions in model.callbacks.values() for function in functions)
