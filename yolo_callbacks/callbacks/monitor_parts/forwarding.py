"""Show attributes of a part of a callback as attributes of the callback."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

__all__ = ["forwarded"]


def forwarded(path: str) -> Any:
    """Return a property that reads an attribute of a part, such as `"_rule.best_score"`.

    The class docstring of the callback documents the attribute under `Attributes`.
    """
    return property(attrgetter(path))
