"""Read the version, the defaults and the abilities of the installed Ultralytics."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from typing import Any

__all__ = [
    "MINIMUM_VERSION",
    "check_version",
    "default_arguments",
    "installed_version",
    "late_metric_keys",
    "resume_takes_save_dir",
]

MINIMUM_VERSION = (8, 3, 200)


def check_version() -> None:
    """Refuse an Ultralytics that is older than the oldest supported.

    Raises:
        ImportError: If the installed version is older than `MINIMUM_VERSION`.
    """
    if installed_version() < MINIMUM_VERSION:
        oldest, found = (".".join(map(str, version)) for version in (MINIMUM_VERSION, installed_version()))
        raise ImportError(f"yolo_callbacks supports ultralytics {oldest} to 8.4.x, found {found}")


def installed_version() -> tuple[int, ...]:
    """Return the version of Ultralytics, as numbers."""
    module = sys.modules.get("ultralytics")
    version = getattr(module, "__version__", None) or metadata.version("ultralytics")
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def late_metric_keys(task: str) -> list[str]:
    """Return the metrics of a task whose trainer has the metrics of detection until it validates.

    The result is empty for other tasks. In 8.4.190 `DepthValidator` makes its `DepthMetrics` in `init_metrics`, after
    the set-up of the trainer.
    """
    if task != "depth":
        return []
    from ultralytics.utils import metrics

    return [str(key) for key in metrics.DepthMetrics().keys]


def resume_takes_save_dir() -> bool:
    """Return whether a resumed training may use another folder than the one that its checkpoint names."""
    return installed_version() >= (8, 4, 93)


def default_arguments() -> dict[str, Any]:
    """Return Ultralytics' default of every argument of a training."""
    from ultralytics.utils import DEFAULT_CFG_DICT

    return dict(DEFAULT_CFG_DICT)
