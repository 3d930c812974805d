"""Wrap methods of one object, and undo it.

There are two ways, for two kinds of objects. A trainer gets a function in its `__dict__`. A scheduler gets a subclass
of its own class, because users store `scheduler.state_dict()`, which is the `__dict__` of most schedulers, and pickle
or copy schedulers.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from yolo_callbacks.utils.files import LOGGER

__all__ = ["MethodPatches", "WrappedStep", "call_and_log_error"]

# `scheduler.__class__ = …` would call the property that `_subclass` defines.
_set_class = object.__dict__["__class__"].__set__


class MethodPatches:
    """Replace methods of one object, and not of its class.

    Args:
        owner: The object; it must have a `__dict__`.
    """

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self._replaced: list[tuple[str, Any, Any]] = []

    @property
    def trainer(self) -> Any:
        """The object, where it is a trainer."""
        return self.owner

    def replace(self, name: str, function: Callable[..., Any]) -> None:
        """Replace a method by a function."""
        own = vars(self.owner)
        self._replaced.append((name, function, own.get(name)))
        own[name] = function

    def remove(self, name: str, function: Callable[..., Any]) -> bool:
        """Remove one function again, and return whether that was possible.

        It is not possible where other code has wrapped the function: then it stays until `undo`.
        """
        own = vars(self.owner)
        if own.get(name) is not function:
            return False
        for entry in self._replaced:
            if entry[1] is function:
                self._replaced.remove(entry)
                self._restore(name, entry[2])
                return True
        return False

    def undo(self) -> None:
        """Remove all functions: they refer to the object, and keep all of it in memory."""
        own = vars(self.owner)
        for name, function, before in reversed(self._replaced):
            if own.get(name) is function:  # otherwise other code has replaced it again
                self._restore(name, before)
        self._replaced.clear()

    def _restore(self, name: str, before: Any) -> None:
        own = vars(self.owner)
        if before is None:
            del own[name]
        else:
            own[name] = before


class WrappedStep:
    """Run `step()` of one scheduler inside a context manager.

    The scheduler gets a subclass that is made for it. `__dict__`, `state_dict()` and `__class__` do not change, and a
    copy or a pickle of the scheduler has the original class.

    Args:
        scheduler: Any object with a method `step`.
        around: Makes the context manager; called for each step.

    Raises:
        TypeError: If the class of the scheduler does not allow it.
    """

    def __init__(self, scheduler: Any, around: Callable[[], AbstractContextManager[None]]) -> None:
        self.scheduler = scheduler
        self._methods: MethodPatches | None = None
        if "step" in getattr(scheduler, "__dict__", {}):  # other code has replaced it on the instance
            step = scheduler.step

            def wrapped(*arguments: Any, **keywords: Any) -> Any:
                with around():
                    return step(*arguments, **keywords)

            self._methods = MethodPatches(scheduler)
            self._methods.replace("step", wrapped)
            self._wrapped: Any = wrapped
            return
        self._original = type(scheduler)
        try:
            self._wrapped = _subclass(self._original, around)
            _set_class(scheduler, self._wrapped)
        except Exception as error:
            raise TypeError(f"the step() of a {self._original.__name__} cannot be wrapped") from error

    @property
    def in_place(self) -> bool:
        """Whether a call of `scheduler.step()` still goes through the context manager."""
        own = getattr(self.scheduler, "__dict__", {})
        if self._methods is not None:
            return own.get("step") is self._wrapped
        return type(self.scheduler) is self._wrapped and "step" not in own

    def undo(self) -> None:
        """Give the scheduler its own `step` again."""
        if self._methods is not None:
            self._methods.undo()
        elif type(self.scheduler) is self._wrapped:
            _set_class(self.scheduler, self._original)


def call_and_log_error(function: Callable[[], None], message: str) -> None:
    """Call a function where an exception would hide another one, or end a training that has succeeded."""
    try:
        function()
    except Exception as error:
        LOGGER.error(message, exc_info=error)


def _subclass(original: type, around: Callable[[], AbstractContextManager[None]]) -> type:
    """Make a subclass of a scheduler's class that runs `step` inside a context manager."""

    def step(self: Any, *arguments: Any, **keywords: Any) -> Any:
        # an object that wraps a scheduler may find `step` only in `__getattr__`
        own = super(subclass, self).step if hasattr(original, "step") else original.__getattr__(self, "step")  # type: ignore[attr-defined]
        with around():
            return own(*arguments, **keywords)

    def reduce_ex(self: Any, protocol: Any) -> Any:
        _set_class(self, original)
        try:
            return self.__reduce_ex__(protocol)
        finally:
            _set_class(self, subclass)

    namespace = {
        "__slots__": (),  # Python requires the same layout for the assignment of a class
        "__module__": original.__module__,
        "__qualname__": original.__qualname__,
        "__doc__": original.__doc__,
        "__class__": property(lambda self: original),
        "__reduce_ex__": reduce_ex,
        "step": step,
    }
    subclass: Any = types.new_class(original.__name__, (original,), exec_body=lambda body: body.update(namespace))
    return subclass  # type: ignore[no-any-return]
