"""Read what a training has logged to MLflow back through MLflow's own client."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Run:
    """Hold what a store has of a run."""

    id: str
    status: str
    name: str
    experiment: str
    parameters: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    points: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """Step and value of each point by the name of the metric, sorted; a point that is there twice is listed twice."""
    artifacts: list[str] = field(default_factory=list)

    def steps(self, name: str) -> list[int]:
        """The steps of a metric."""
        return [step for step, _ in self.points.get(name, [])]


def read_runs(uri: str) -> list[Run]:
    """Every run of a store, the earliest first."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    experiments = {each.experiment_id: each.name for each in client.search_experiments()}
    found = client.search_runs(list(experiments)) if experiments else []
    return [_read(client, run, experiments) for run in sorted(found, key=lambda run: run.info.start_time)]


def _read(client: Any, run: Any, experiments: dict[str, str]) -> Run:
    identity = run.info.run_id
    points = {
        name: sorted((point.step, point.value) for point in client.get_metric_history(identity, name))
        for name in run.data.metrics
    }
    return Run(
        id=identity,
        status=run.info.status,
        name=run.info.run_name,
        experiment=experiments[run.info.experiment_id],
        parameters=dict(run.data.params),
        tags=dict(run.data.tags),
        points=points,
        artifacts=sorted(_files(client, identity)),
    )


def _files(client: Any, identity: str, folder: str | None = None) -> list[str]:
    found = []
    for entry in client.list_artifacts(identity, folder):
        found += _files(client, identity, entry.path) if entry.is_dir else [entry.path]
    return found
