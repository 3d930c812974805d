"""The ways in which the tests run: without our callbacks, and with them as the plug-in gives them to every training."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import yolo_callbacks
from yolo_callbacks import Callback

PLAIN = "plain"
WAYS = (PLAIN, "default", "every", "strict")

# So that no callback has a reason to decide anything: the tests train for three epochs at most.
NEVER = 100
ARGUMENTS: Mapping[str, dict[str, Any]] = {
    "SaveBest": {"top_k": 2},
    "EarlyStopping": {"patience": NEVER},
    "ReduceLROnPlateau": {"patience": NEVER},
    "StopOnOverfit": {"patience": NEVER},
    "ValidateEvery": {"n": 1},
    "Unfreeze": {"schedule": {0: "all"}},
    "Deadline": {"duration": "100-00:00:00"},
    "Notify": {"urls": "json://127.0.0.1:9/nobody-listens"},
    "Mirror": {"url": "memory://mirror"},
}

# Exported, but not for a YAML of every callback.
LEFT_OUT: Mapping[str, str] = {
    "ExportBest": "exports in a process of its own at the end of each training, which takes longer than the training",
    "MonitorCallback": "a base class",
    "LambdaCallback": "takes functions",
    "LearningRateSchedule": "is there to change the rates",
    "MLflowLogger": "needs a store of MLflow",
    "OptunaPruning": "takes a trial of Optuna",
    "RayTuneReporter": "does nothing outside of a trial, which a warning says",
}


def callbacks(*, strict: bool) -> str:
    """Return a YAML of every callback of the library.

    Raises:
        ValueError: If a callback needs arguments and has none in `ARGUMENTS`.
    """
    items = [{name: ARGUMENTS[name]} if name in ARGUMENTS else name for name in exported() if name not in LEFT_OUT]
    return yaml.safe_dump({"callbacks": items, "strict": strict, "report": True}, sort_keys=False)


def exported() -> list[str]:
    """Return the names of the callbacks that the library exports.

    Raises:
        ValueError: If one of them needs arguments and has none here.
    """
    found = []
    for name in yolo_callbacks.__all__:
        item = getattr(yolo_callbacks, name)
        if not isinstance(item, type) or not issubclass(item, Callback) or item is Callback:
            continue
        found.append(name)
        if name not in ARGUMENTS and name not in LEFT_OUT and (needed := _needed(item)):
            raise ValueError(f"{name} needs {', '.join(needed)}: add it to ARGUMENTS or LEFT_OUT in {__file__}")
    return found


def _needed(callback: type) -> list[str]:
    return [
        parameter.name
        for parameter in inspect.signature(callback).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]


def value(way: str, folder: Path) -> str | None:
    """Return what YOLO_CALLBACKS is in a way; write the YAML into a folder where there is one."""
    if way == PLAIN:
        return None
    if way == "default":
        return "default"
    file = folder / "callbacks.yaml"
    file.write_text(callbacks(strict=way == "strict"))
    return str(file)
