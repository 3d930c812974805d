"""Arguments of `wandb.init`, and values as W&B accepts them."""

from __future__ import annotations

import inspect
import re

from yolo_callbacks.loggers.wandb_parts.opening import import_bounded

__all__ = ["clean_name", "init_arguments"]


def init_arguments() -> list[str] | None:
    """Return the names of the arguments of `wandb.init`; None where they are not known, such as without wandb."""
    try:
        import_bounded()
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
