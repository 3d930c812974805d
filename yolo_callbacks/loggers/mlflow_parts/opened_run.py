"""Open the run of a training in MLflow, by a client: MLflow's global state is neither read nor changed.

mlflow is imported inside functions only: a process that does not log to it does not wait for the import.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from yolo_callbacks.loggers.mlflow_parts.limits import apply_limits
from yolo_callbacks.loggers.mlflow_parts.target import KEY_TAG, Target
from yolo_callbacks.utils.redaction import clean_url

__all__ = ["EPOCH", "OpenedRun", "is_refused", "open_run"]

EPOCH = "epoch"
"""The scalar that comes last in the row of an epoch: its history names the epochs that have arrived."""

_METRICS_A_REQUEST = 999  # MLflow accepts 1000 metrics, parameters and tags in a request
_VALUES_A_REQUEST = 100
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "MALFORMED_REQUEST", "RESOURCE_ALREADY_EXISTS")


@dataclass(frozen=True)
class OpenedRun:
    """A run of MLflow that is open.

    Attributes:
        client: The `mlflow.MlflowClient`.
        run_id: The id of the run.
        experiment_id: The id of its experiment.
        artifact_uri: Where its artifacts are.
        tracking_uri: The address of the store.
        owned: Whether the logger has opened it, and therefore ends it.
        is_beside: Whether it is a child of the active run since that has the epochs of another training.
        arrived: The epochs that the run has rows of already, where it is continued.
        arrived_final: The steps at which the run has the final evaluation already.
        parameters: The names of the parameters that it has, which MLflow does not allow to change.
        tags: The names of the tags that it has.
    """

    client: Any
    run_id: str
    experiment_id: str
    artifact_uri: str
    tracking_uri: str
    owned: bool
    is_beside: bool = False
    arrived: frozenset[int] = frozenset()
    parameters: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    arrived_final: dict[str, frozenset[int]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The address of the run's page, without credentials; empty for a store without pages."""
        uri = clean_url(self.tracking_uri)
        if not uri.startswith(("http://", "https://")):
            return ""
        return f"{uri.rstrip('/')}/#/experiments/{self.experiment_id}/runs/{self.run_id}"

    @property
    def place(self) -> str:
        """Where the run is, without credentials: the table shows no part of an address after `#`."""
        return f"run {self.run_id} in {clean_url(self.tracking_uri)}"

    def log_row(self, scalars: Mapping[str, float], step: int, timestamp: int) -> None:
        """Log scalars at a step, `epoch` last.

        Args:
            scalars: The values by the names that MLflow accepts.
            step: The epoch.
            timestamp: The time in milliseconds. MLflow's servers store a point that arrives twice with the same time
                once.
        """
        from mlflow.entities import Metric

        names = [*(name for name in scalars if name != EPOCH), *([EPOCH] if EPOCH in scalars else [])]
        metrics = [Metric(name, float(scalars[name]), timestamp, step) for name in names]
        for start in range(0, len(metrics), _METRICS_A_REQUEST):
            self.client.log_batch(self.run_id, metrics=metrics[start : start + _METRICS_A_REQUEST], synchronous=True)

    def has_final(self, name: str, step: int) -> bool:
        """Return whether the run has a value of the final evaluation at a step."""
        if name not in self.arrived_final:
            self.arrived_final[name] = _steps(self.client, self.run_id, name)
        return step in self.arrived_final[name]

    def describe(self, parameters: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Log those parameters and tags that the run does not have."""
        from mlflow.entities import Param, RunTag

        new = [Param(name, value) for name, value in parameters.items() if name not in self.parameters]
        # In a run of the user only our own tags: it has its own names and sources.
        ours = [name for name in tags if self.owned or name.startswith("yolo_callbacks.")]
        added = [RunTag(name, tags[name]) for name in ours if name not in self.tags]
        for start in range(0, max(len(new), len(added)), _VALUES_A_REQUEST):
            until = start + _VALUES_A_REQUEST
            self.client.log_batch(self.run_id, params=new[start:until], tags=added[start:until], synchronous=True)


def is_refused(error: BaseException) -> bool:
    """Return whether MLflow will refuse the same call again, whatever the state of the server."""
    return getattr(error, "error_code", None) in _REFUSALS


def open_run(target: Target, *, search: bool) -> OpenedRun:
    """Open the run of a training: that of the user, that of a resumed training, or a new one.

    Args:
        target: Where to log.
        search: Whether to look for a run with the key of the target before a new one is made: an earlier attempt may
            have made it, and its answer was lost.

    Raises:
        Exception: What MLflow raises; the same call may be made again.
    """
    import mlflow

    apply_limits()
    uri = target.tracking_uri or str(mlflow.get_tracking_uri())
    client = mlflow.MlflowClient(tracking_uri=uri)
    active = client.get_run(target.active) if target.active else None
    shared = active is not None and target.nested is None and _has_another_training(active, target.key)
    if active is not None and not (target.nested or shared):
        return _opened(client, active, uri, owned=False, continues=target.continues)
    parent = active
    found = _known_run(client, target.run_id) if target.run_id else None
    if found is None:
        experiment = _experiment(client, target, parent)
        if target.continues or search:
            found = _run_of_key(client, experiment, target.key)
    if found is not None:
        client.update_run(found.info.run_id, status="RUNNING")
        return _opened(client, found, uri, owned=True, continues=True, is_beside=shared)
    tags = {**target.tags, **({"mlflow.parentRunId": parent.info.run_id} if parent else {})}
    made = client.create_run(experiment, tags=tags, run_name=target.name)
    return _opened(client, made, uri, owned=True, continues=False, is_beside=shared)


def _has_another_training(run: Any, key: str) -> bool:
    """Return whether a run of the user has epochs of another training: their rows would have the same steps."""
    return run.data.tags.get(KEY_TAG, key) != key and EPOCH in run.data.metrics


def _opened(client: Any, run: Any, uri: str, *, owned: bool, continues: bool, is_beside: bool = False) -> OpenedRun:
    return OpenedRun(
        client=client,
        run_id=run.info.run_id,
        experiment_id=run.info.experiment_id,
        artifact_uri=run.info.artifact_uri,
        tracking_uri=uri,
        owned=owned,
        is_beside=is_beside,
        arrived=_steps(client, run.info.run_id, EPOCH) if continues else frozenset(),
        parameters=frozenset(run.data.params),
        tags=frozenset(run.data.tags),
    )


def _steps(client: Any, run_id: str, name: str) -> frozenset[int]:
    return frozenset(int(point.step) for point in client.get_metric_history(run_id, name))


def _known_run(client: Any, run_id: str) -> Any:
    """Return a run that was logged to before; None where the store does not have it any more."""
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return found if found.info.lifecycle_stage == "active" else None


def _run_of_key(client: Any, experiment: str, key: str) -> Any:
    found = client.search_runs([experiment], filter_string=f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
    return next(iter(found), None)


def _experiment(client: Any, target: Target, parent: Any) -> str:
    """Return the id of the experiment of a new run, which is made where there is none."""
    if not target.experiment:
        # `mlflow.set_experiment` sets this variable too
        given = os.environ.get("MLFLOW_EXPERIMENT_ID") or (parent.info.experiment_id if parent else None)
        if given:
            return str(given)
    name = target.experiment or target.default_experiment
    found = client.get_experiment_by_name(name)
    if found is None:
        from mlflow.exceptions import MlflowException

        try:
            return str(client.create_experiment(name))
        except MlflowException as error:
            found = client.get_experiment_by_name(name)  # another training has made it meanwhile
            if found is None:
                raise error
    return str(found.experiment_id)
