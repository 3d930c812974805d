"""Call functions before each training or search of the process starts."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from typing import Any

from yolo_callbacks.trainer.installation import installed_version

__all__ = ["before_training", "before_tuning", "before_workers_without_callbacks"]

_WRAPPING = threading.Lock()
_MARK = "_yolo_callbacks"  # on a function of Ultralytics that is wrapped already


def before_workers_without_callbacks(warn: Callable[[Any], None]) -> None:
    """Call `warn` with the trainer where a multi-GPU training starts workers that get none of its callbacks.

    Up to 8.4.139 each worker makes its own trainer from the arguments, and their parent calls no event. So this wraps
    the function of the parent that writes the command of the workers.
    """
    if installed_version() >= (8, 4, 140):
        return
    from ultralytics.engine import trainer as engine

    _before(engine, "generate_ddp_command", lambda trainer, _: warn(trainer))


def before_training(prepare: Callable[[Any, dict[str, Any]], None]) -> None:
    """Call `prepare` with the model and the arguments before each `model.train()`.

    It may change the arguments, and its exception ends that call.
    """
    from ultralytics.engine.model import Model

    _before(Model, "train", prepare)


def before_tuning(warn: Callable[[Any, Mapping[str, Any]], None]) -> None:
    """Call `warn` with the model and the arguments before each search of `model.tune()`.

    Ultralytics' own tuner starts a command for each training, and Ray Tune starts workers; neither keeps the callbacks.
    """
    from ultralytics.engine.model import Model

    _before(Model, "tune", warn)


def _before(owner: Any, name: str, function: Callable[[Any, dict[str, Any]], None]) -> None:
    """Call `function` before each call of a function of a class or module, with its first argument and its keywords."""
    with _WRAPPING:
        original = getattr(owner, name)
        if getattr(original, _MARK, False):
            return

        @functools.wraps(original)
        def wrapped(first: Any, *arguments: Any, **keywords: Any) -> Any:
            function(first, keywords)
            return original(first, *arguments, **keywords)

        setattr(wrapped, _MARK, True)
        setattr(owner, name, wrapped)
