"""Register a checkpoint in MLflow's model registry, and give the best version an alias.

mlflow is imported inside functions only: a process that does not log to it does not wait for the import.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from yolo_callbacks.loggers.mlflow_parts.opened_run import OpenedRun

__all__ = ["ALIAS", "is_better", "register"]

ALIAS = "best"


def register(run: OpenedRun, name: str, folder: str, facts: Mapping[str, Any]) -> str:
    """Make a new version of a registered model, and give it the alias `best` if it is better than the one that has it.

    Args:
        run: The run that has the checkpoint.
        name: The name of the registered model, which is made if there is none.
        folder: The folder of the checkpoint among the artifacts of the run.
        facts: What is known of the checkpoint: `monitor`, `score`, `epoch`.

    Returns:
        What the table says of it.
    """
    from mlflow.exceptions import MlflowException

    client = run.client
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {key: str(facts[key]) for key in ("monitor", "score", "epoch") if facts.get(key) is not None}
    source = f"{run.artifact_uri.rstrip('/')}/{folder}"
    # Do not wait until it is ready: the call may take minutes, and the version exists.
    version = client.create_model_version(name, source, run_id=run.run_id, tags=tags, await_creation_for=0)
    holder = _holder(client, name)
    if holder is not None and not is_better(tags, holder.tags):
        return f"{name} version {version.version}, version {holder.version} stays {ALIAS!r}"
    client.set_registered_model_alias(name, ALIAS, version.version)
    return f"{name} version {version.version} is {ALIAS!r}"


def is_better(new: Mapping[str, str], old: Mapping[str, str]) -> bool:
    """Return whether a version is better than the one that has the alias, by their tags.

    Versions that were chosen by different monitors cannot be compared: the alias stays.
    """
    try:
        score = float(new["score"])
        if not math.isfinite(score):
            return False
        if "score" not in old:
            return True
        before = float(old["score"])
    except (KeyError, ValueError):
        return False
    if new.get("monitor") != old.get("monitor"):
        return False
    return score < before if "loss" in new.get("monitor", "") else score > before


def _holder(client: Any, name: str) -> Any:
    """Return the version that has the alias; None where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, ALIAS)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"):
            return None
        raise
