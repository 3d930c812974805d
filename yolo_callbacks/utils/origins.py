"""Remember which arguments of a callback came from the environment, and keep their values out of messages.

Such a value is not searched for in a text: its spelling may change, and a short value cannot be found. Instead, a
message about a failure of the callback leaves out the text of the exception.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field

from yolo_callbacks.utils.messages import text_of

__all__ = ["Origins", "origins_of", "remember_origins"]


@dataclass(frozen=True)
class Origins:
    """The place of a callback in a file, and its arguments that came from the environment.

    Attributes:
        place: The place where the callback is given, such as `callbacks.yaml:3`.
        variables: For each argument, the environment variables that its value was made from.
        lines: For each argument, the place where it is given, such as `callbacks.yaml:4`.
    """

    place: str = ""
    variables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lines: Mapping[str, str] = field(default_factory=dict)

    def place_of(self, text: str) -> str:
        """Return the place of the argument that a message begins with; else the place of the callback."""
        return self.lines.get(text.partition(" ")[0], self.place)

    @property
    def hidden(self) -> str:
        """Name the arguments that came from the environment, and their variables; empty if there are none."""
        return ", ".join(
            f"{argument} (from {', '.join(f'${{{name}}}' for name in names)})"
            for argument, names in self.variables.items()
        )

    def text(self, error: BaseException) -> str:
        """Return the text of an exception in one line, without it if it may contain a value of the environment."""
        if not self.variables:
            return text_of(error)
        return (
            f"{type(error).__name__}; its text is not shown, since it may hold the value of an argument that came "
            f"from the environment: {self.hidden}"
        )

    def described(self, error: BaseException) -> str:
        """Return the class of an exception, followed by its `text`."""
        text = self.text(error)
        return text if self.variables or text == type(error).__name__ else f"{type(error).__name__}: {text}"

    def trace(self, error: BaseException) -> str:
        """Return the traceback of an exception and its class, without the text of it or of its causes.

        Each frame gives the file, the line, the function and the line of code, which contain no values.
        """
        frames = "".join(traceback.format_tb(error.__traceback__))
        return f"Traceback (most recent call last):\n{frames}{self.described(error)}"


_NONE = Origins()
_ATTRIBUTE = "_yolo_callbacks_origins"  # not a name that a callback may use itself


def origins_of(callback: object) -> Origins:
    """Return the origins that `remember_origins` has stored on a callback."""
    try:
        found = vars(callback).get(_ATTRIBUTE)
    except TypeError:  # an object without `__dict__`
        return _NONE
    return found if isinstance(found, Origins) else _NONE


def remember_origins(callback: object, origins: Origins) -> None:
    """Store the origins of the arguments on a callback; they are pickled with it for the workers."""
    object.__setattr__(callback, _ATTRIBUTE, origins)
