"""Check the address of an MLflow server or store, without an import of MLflow, which takes seconds."""

from __future__ import annotations

import re
from importlib.metadata import entry_points

from yolo_callbacks.utils.unknown_arguments import hint

__all__ = ["validate_tracking_uri"]

# Those of MLflow 3.17, which knows no other ones but those of plug-ins.
_SCHEMES = (
    *("http", "https", "file", "sqlite", "postgresql", "mysql", "mssql"),
    *("databricks", "databricks-uc", "uc"),
)
_SCHEME = re.compile(r"([A-Za-z][\w+.-]+):")  # one letter is a Windows drive


def validate_tracking_uri(value: str) -> str:
    """Return an address whose scheme MLflow or one of its plug-ins knows, or a path.

    Raises:
        ValueError: If nothing knows the scheme; the nearest one is named. The rest, which may be a secret, is not.
    """
    found = _SCHEME.match(value)
    if found is None:
        return value
    scheme = found[1].partition("+")[0].lower()  # `mysql+pymysql`: a driver
    if scheme in _SCHEMES:
        return value
    known = [*_SCHEMES, *(each.name for each in entry_points(group="mlflow.tracking_store"))]
    if scheme in known:
        return value
    advice = hint(scheme, known) or f", write http://{scheme}:…" * value[found.end() :][:1].isdigit()
    raise ValueError(
        f"tracking_uri must be a path or begin with a scheme that MLflow knows, received {scheme!r}{advice} "
        f"(there are {', '.join(known)})"
    )
