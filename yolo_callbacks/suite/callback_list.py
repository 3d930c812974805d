"""Validate that the callbacks of a suite can run together, and name their states."""

from __future__ import annotations

from collections.abc import Iterable

from yolo_callbacks.callbacks.callback import RENAMED, Callback
from yolo_callbacks.callbacks.monitor_callback import MonitorCallback

__all__ = ["state_keys", "validate_callbacks"]


def validate_callbacks(callbacks: Iterable[object], task: str) -> None:
    """Validate that objects are callbacks, and that they can run together.

    Args:
        callbacks: The objects.
        task: Ultralytics' name of the task, on which the names of files depend.

    Raises:
        TypeError: If an object is no callback, or hides a method of its class behind an attribute.
        ValueError: If a callback is given twice, or two callbacks write the same file.
    """
    writers: dict[str, Callback] = {}
    seen: list[Callback] = []
    for callback in callbacks:
        if not isinstance(callback, Callback):
            name = callback.__name__ if isinstance(callback, type) else callback
            hint = f": write {name}()" if isinstance(name, str) and name.isidentifier() else ""
            if callable(callback) and not isinstance(callback, type):
                hint = ": write LambdaCallback(on_epoch=…) for a function"
            raise TypeError(f"attach takes callbacks, received {callback!r}{hint}")
        if any(callback is other for other in seen):
            raise ValueError(f"attach was given the same {type(callback).__name__} twice")
        seen.append(callback)
        _validate_attributes(callback)
        _validate_class(callback)
        for output in callback.output_files(task):
            if output in writers:
                names = f"{type(writers[output]).__name__} and {type(callback).__name__}"
                raise ValueError(f"{names} would both write {output}: {_advice(output)}")
            writers[output] = callback


def _validate_attributes(callback: Callback) -> None:
    """Refuse an attribute with the name of a method: a suite could not call it, `resume` for example.

    Raises:
        TypeError: If there is one.
    """
    kind = type(callback).__name__
    for name in vars(Callback).keys() - RENAMED.keys():
        if callable(getattr(Callback, name)) and not callable(getattr(callback, name)):
            raise TypeError(f"{kind}.{name} hides the method {name} of Callback: give the attribute another name")


def _validate_class(callback: Callback) -> None:
    """Refuse a callback whose class cannot decide.

    Raises:
        TypeError: If its `__init__` does not call that of `MonitorCallback`, or it does not override `decide`.
    """
    kind = type(callback)
    if not isinstance(callback, MonitorCallback):
        return
    if "monitor" not in vars(callback):
        raise TypeError(f"{kind.__name__}.__init__ must call super().__init__(monitor, mode)")
    decides = any(getattr(kind, name) is not getattr(MonitorCallback, name) for name in ("decide", "on_epoch"))
    if not decides and kind is not MonitorCallback:
        raise TypeError(f"{kind.__name__} must override decide(self, run, record, value)")


def _advice(output: str) -> str:
    """Return what the user can do about two callbacks with the same output."""
    if output.startswith("the W&B run"):
        return "give one of them a name, project or id of its own"
    if output.startswith("the copies in"):
        return "give each a folder of its own"
    if output in ("memory/*", "callbacks.jsonl", "tensorboard/"):
        return "attach one"
    return "promote only one" if output == "weights/best.pt" else "give one of them a filename of its own"


def state_keys(callbacks: Iterable[Callback], task: str) -> list[str]:
    """Return a name for the state of each callback; equal lists of callbacks get equal names."""
    keys: list[str] = []
    for callback in callbacks:
        name = callback.state_key(task)
        key, number = name, 2
        while key in keys:
            key, number = f"{name}#{number}", number + 1
        keys.append(key)
    return keys
