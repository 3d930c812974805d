"""Prepare the arguments of `wandb.init`: refuse unknown ones, and derive project, name and folder from a training."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from yolo_callbacks.loggers.logger_parts.training_names import lasting_folder, training_name, training_project
from yolo_callbacks.loggers.wandb_parts.service import import_bounded
from yolo_callbacks.trainer.search import current_search
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.unknown_arguments import UnknownArgumentError, hint

__all__ = ["clean_name", "refuse_unknown_init", "target_of"]


def target_of(run: TrainingRun, project: str | None, name: str | None) -> dict[str, Any]:
    """Return the arguments of `wandb.init` that name the place where a training is logged.

    The iterations of a search of `model.tune()` are logged into its project, as a group.

    Args:
        run: The training.
        project: The W&B project; None for the one of the environment, else that of the training or of its search.
        name: The name of the W&B run; None for the one of the environment, else that of the run's folder.
    """
    search = current_search()
    target: dict[str, Any] = {
        "project": clean_name(project or os.environ.get("WANDB_PROJECT") or training_project(run), "Ultralytics"),
        "name": clean_name(name or os.environ.get("WANDB_NAME") or training_name(run), "train"),
    }
    if search and "WANDB_RUN_GROUP" not in os.environ:
        target["group"] = search.folder.name
    if "WANDB_DIR" not in os.environ:
        target["dir"] = str(lasting_folder(run))
    return target


def clean_name(name: str, default: str) -> str:
    """Return a name of a project or run that W&B accepts: it refuses some characters, and more than 128 of them."""
    return re.sub(r"[/\\#?%:\s]", "-", name).strip("-.")[-128:] or default


def refuse_unknown_init(logger: str, parameters: Mapping[str, object], given: Iterable[str]) -> None:
    """Refuse arguments that neither a logger nor `wandb.init` has.

    Args:
        logger: The name of the logger.
        parameters: Its own parameters, by name.
        given: The names of the arguments.

    Raises:
        UnknownArgumentError: If there is one; the message names the nearest argument.
    """
    accepted = _init_arguments()
    if accepted is None:
        return
    known = [*(name for name in parameters if name != "init"), *accepted]
    for name in given:
        if name not in known:
            remedy = hint(name, known) or ", and wandb.init has none"
            raise UnknownArgumentError(f"{logger} has no argument {name!r}{remedy}", name)


def _init_arguments() -> list[str] | None:
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
