"""Decide where a training is logged in MLflow: the experiment, the run, its parent, its tags and parameters."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from yolo_callbacks.callbacks.optuna_pruning import OptunaPruning
from yolo_callbacks.loggers.logger_parts.training_names import training_name, training_project
from yolo_callbacks.trainer.search import current_search
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.command_line import command_line
from yolo_callbacks.utils.mlflow_run import active_run_id, tracking_uri
from yolo_callbacks.utils.ray_trial import current_trial
from yolo_callbacks.utils.redaction import clean_command_line, clean_text

__all__ = ["KEY_TAG", "Target", "active_run", "is_trial", "parameters", "tags_of"]

KEY_TAG = "yolo_callbacks.run"
"""The tag by which a resumed training finds its run, also where a kill came before its id was known."""

_LONGEST_PARAMETER = 6000
_LONGEST_TAG = 5000


@dataclass(frozen=True)
class Target:
    """Where a training is logged.

    Attributes:
        tracking_uri: The address of the store; None for MLflow's own choice.
        experiment: The name that the user has chosen; None without one.
        default_experiment: The name where nothing else names an experiment.
        name: The name of the run.
        key: Identifies the run; see `KEY_TAG`.
        run_id: The run of a resumed training, as far as it is known.
        active: The id of the run that the user has open; None without one.
        nested: Whether a new run is a child of `active`; None for a child if `active` has another training already.
        continues: Whether the training is resumed.
        tags: The tags of a new run.
    """

    tracking_uri: str | None
    experiment: str | None
    default_experiment: str
    name: str
    key: str
    run_id: str | None = None
    active: str | None = None
    nested: bool | None = None
    continues: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        run: TrainingRun,
        *,
        given_uri: str | None,
        experiment: str | None,
        name: str | None,
        nested: bool | None,
        key: str,
        run_id: str | None,
        tags: Mapping[str, str],
    ) -> Target:
        """Return the target of a training, on its thread: the active run of MLflow is one of the thread.

        Args:
            run: The training.
            given_uri: The argument `tracking_uri` of the logger.
            experiment: The argument of the logger.
            name: The argument of the logger.
            nested: The argument of the logger.
            key: Identifies the MLflow run.
            run_id: The MLflow run of a resumed training.
            tags: The tags of a new run.
        """
        environment = os.environ.get
        return cls(
            tracking_uri=given_uri or tracking_uri(),
            experiment=experiment or environment("MLFLOW_EXPERIMENT_NAME"),
            default_experiment=training_project(run),
            # the second one is that of Ultralytics' own integration
            name=name or environment("MLFLOW_RUN_NAME") or environment("MLFLOW_RUN") or training_name(run),
            key=key,
            run_id=run_id,
            active=active_run(given_uri),
            nested=(is_trial(run) or None) if nested is None else nested,
            continues=run.completed_epochs > 0,
            tags=tags,
        )


def active_run(given_uri: str | None) -> str | None:
    """Return the id of the run that the user has open: on this thread, around the search, or by the environment.

    Args:
        given_uri: The address that the user has chosen for the logger. The active run is in another store if MLflow
            uses another address.
    """
    if given_uri is not None and given_uri != (tracking_uri() or os.environ.get("MLFLOW_TRACKING_URI")):
        return None
    search = current_search()
    return active_run_id() or (search.mlflow_run if search else None) or os.environ.get("MLFLOW_RUN_ID")


def is_trial(run: TrainingRun) -> bool:
    """Return whether a training is one of many: of `model.tune()`, of Ray Tune, or of a study of Optuna."""
    members = run.supervision.members
    return (
        current_search() is not None
        or current_trial() is not None
        or any(isinstance(member, OptunaPruning) for member in members)
    )


def tags_of(run: TrainingRun, description: Mapping[str, Any], key: str) -> dict[str, str]:
    """Return the tags of a run: those that the pages of MLflow show, and those with the prefix `yolo_callbacks.`.

    Args:
        run: The training.
        description: What `describe` returns, without credentials.
        key: Identifies the run.
    """
    git = description.get("git") or {}
    program, *arguments = command_line() or [""]
    search = current_search()
    found = {
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": program,
        "mlflow.user": _user(),
        "mlflow.source.git.commit": git.get("commit"),
        "mlflow.source.git.branch": git.get("branch"),
        "mlflow.source.git.repoURL": git.get("origin"),
        KEY_TAG: key,
        "yolo_callbacks.task": run.task,
        "yolo_callbacks.folder": str(run.save_dir),
        "yolo_callbacks.command": " ".join([program, *clean_command_line(arguments)]),
        "yolo_callbacks.search": search.folder.name if search else None,
        **{f"yolo_callbacks.version.{name}": value for name, value in (description.get("versions") or {}).items()},
    }
    return {name: clean_text(str(value))[:_LONGEST_TAG] for name, value in found.items() if value}


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name; KeyError before Python 3.13
        return ""


def parameters(description: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of a run: the arguments of the training, sizes of data set and model.

    Args:
        description: What `describe` returns, without credentials.
    """
    left_out = ("versions", "git")  # they are tags
    shown = {name: value for name, value in description.items() if name not in left_out}
    return {name: text for name, value in _flat(shown) if (text := str(value)[:_LONGEST_PARAMETER])}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and name != "names":
            yield from _flat(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value
