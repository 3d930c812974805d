"""Arguments of `wandb.init`, and values as W&B accepts them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from yolo_callbacks.wandb_opening import BOUNDS, environment

__all__ = ["clean_name", "init_arguments", "without_credentials"]


def init_arguments() -> list[str] | None:
    """Return the names of the arguments of `wandb.init`; None where they are not known, such as without wandb."""
    try:
        with environment(BOUNDS):
            import wandb
        parameters = inspect.signature(wandb.init).parameters.values()
    except (ImportError, TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters]


def clean_name(name: str, default: str) -> str:
    """A name of a project or run that W&B accepts: it refuses some characters, and more than 128 of them."""
    return re.sub(r"[/\\#?%:\s]", "-", name).strip("-.")[-128:] or default


def without_credentials(value: Any) -> Any:
    """A value for the config: plain types, and URLs without user, password, query and fragment."""
    if isinstance(value, Mapping):
        return {str(key): without_credentials(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_credentials(item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    # up to the last @, since a password may hold one, or a slash
    return re.sub(r"(\w+://)(?:.*@)?([^?#\s]*)(?:[?#]\S*)?", r"\1\2", str(value))
