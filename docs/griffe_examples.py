"""Show the doctest of a class as code: griffe reads a section `Examples` as code, and a section `Example` as prose."""

from typing import Any

import griffe


class Examples(griffe.Extension):
    """Rename the section `Example` to `Examples`."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Change the docstring of each class that griffe has read."""
        if cls.docstring:
            cls.docstring.value = cls.docstring.value.replace("\nExample:\n", "\nExamples:\n")
