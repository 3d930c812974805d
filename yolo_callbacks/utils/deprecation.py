"""Keep the old name of an attribute for one minor version, with a warning."""

from __future__ import annotations

import warnings
from typing import Any

__all__ = ["renamed"]


def renamed(old: str, new: str) -> Any:
    """Return a property that reads an attribute by its old name and issues a `DeprecationWarning`."""

    def read(self: object) -> Any:
        warnings.warn(f"{type(self).__name__}.{old} is called {new} now", DeprecationWarning, stacklevel=2)
        return getattr(self, new)

    return property(read, doc=f"Return `{new}`; deprecated.")
