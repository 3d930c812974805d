"""Shows the doctest of a class as code: griffe takes a section of the name `Examples` for one, `Example` for prose."""

from typing import Any

import griffe


class Examples(griffe.Extension):
    """Gives the section the name that griffe knows."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Called for each class that is read."""
        if cls.docstring:
            cls.docstring.value = cls.docstring.value.replace("\nExample:\n", "\nExamples:\n")
