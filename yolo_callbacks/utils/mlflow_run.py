"""Read which run of MLflow is active, without an import of MLflow."""

from __future__ import annotations

import sys

__all__ = ["active_run_id", "tracking_uri"]


def active_run_id() -> str | None:
    """Return the id of the run that is active on this thread; None without one, and where MLflow is not imported."""
    mlflow = sys.modules.get("mlflow")
    active = mlflow.active_run() if mlflow is not None and hasattr(mlflow, "active_run") else None
    return None if active is None else str(active.info.run_id)


def tracking_uri() -> str | None:
    """Return the address that MLflow uses now; None where it is not imported: the environment names it then."""
    mlflow = sys.modules.get("mlflow")
    return str(mlflow.get_tracking_uri()) if mlflow is not None and hasattr(mlflow, "get_tracking_uri") else None
