"""What a page that is passed on must not show: secrets among the arguments of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from yolo_callbacks.wandb_options import without_credentials

__all__ = ["MASK", "masked"]

MASK = "•••"

_SECRET = re.compile(
    r"(?:^|[_\-.])(?:\w*keys?|\w*tokens?|pass|passwd|passwords?|secrets?|credentials?|auth)(?:$|[_\-.])", re.I
)


def masked(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments without what looks like a secret by its name, and without user and password in URLs."""
    shown = {str(name): _masked(str(name), value) for name, value in arguments.items()}
    return dict(without_credentials(shown))


def _masked(name: str, value: Any) -> Any:
    if value and _SECRET.search(name):
        return MASK
    if isinstance(value, Mapping):
        return {str(key): _masked(str(key), item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked("", item) for item in value]
    return value
