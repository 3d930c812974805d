"""Read what Ultralytics and a model say without a training, and call functions before each training."""

from __future__ import annotations

import functools
import re
import sys
import threading
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = [
    "MINIMUM_VERSION",
    "before_training",
    "before_tuning",
    "before_workers_without_callbacks",
    "check_version",
    "default_arguments",
    "installed_version",
    "late_metric_keys",
    "resume_takes_save_dir",
    "run_folder",
    "run_folders",
    "running_trainer",
    "task_of",
]

MINIMUM_VERSION = (8, 3, 200)
_WRAPPING = threading.Lock()
_MARK = "_yolo_callbacks"  # on a function of Ultralytics that is wrapped already


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


def before_workers_without_callbacks(warn: Callable[[Any], None]) -> None:
    """Call `warn` with the trainer where a multi-GPU training starts workers that get none of its callbacks.

    Up to 8.4.139 each worker makes its own trainer from the arguments, and their parent calls no event. So this wraps
    the function of the parent that writes the command of the workers.
    """
    if installed_version() >= (8, 4, 140):
        return
    from ultralytics.engine import trainer as engine

    _before(engine, "generate_ddp_command", lambda trainer, _: warn(trainer))


def before_training(validate: Callable[[Any, Mapping[str, Any]], None]) -> None:
    """Call `validate` with the model and the arguments before each `model.train()`; its exception ends that call."""
    from ultralytics.engine.model import Model

    _before(Model, "train", validate)


def before_tuning(warn: Callable[[Any, Mapping[str, Any]], None]) -> None:
    """Call `warn` with the model and the arguments before each search of `model.tune()`.

    Ultralytics' own tuner starts a command for each training, and Ray Tune starts workers; neither keeps the callbacks.
    """
    from ultralytics.engine.model import Model

    _before(Model, "tune", warn)


def _before(owner: Any, name: str, function: Callable[[Any, Mapping[str, Any]], None]) -> None:
    """Call `function` before each call of a function of a class or module, with its first argument and its keywords."""
    with _WRAPPING:
        original = getattr(owner, name)
        if getattr(original, _MARK, False):
            return

        @functools.wraps(original)
        def wrapped(first: Any, *arguments: Any, **keywords: Any) -> Any:
            function(first, keywords)
            return original(first, *arguments, **keywords)

        setattr(wrapped, _MARK, True)
        setattr(owner, name, wrapped)


def run_folder(model: Any) -> Path | None:
    """Return the folder of the last training of a model or trainer, also of one in workers; None before the first."""
    folder = getattr(getattr(model, "trainer", None) or model, "save_dir", None)
    return Path(folder) if folder else None


def run_folders(model: Any) -> dict[str, Path | None] | None:
    """Return the folder of each run after a training on a list of data sets, None for a run that failed.

    After any other training return None instead of a dict.
    """
    trainer: Any = getattr(model, "trainer", None)
    if not (hasattr(trainer, "trainers") and hasattr(trainer, "metrics")):  # Ultralytics' MultiTrainer, from 8.4.140
        return None
    done = {Path(run.save_dir).name: Path(run.save_dir) for run in trainer.trainers}
    return {str(name): done.get(str(name)) for name in trainer.metrics}


def running_trainer(model: Any) -> Any:
    """Return the trainer of a model from inside one of its callbacks; None outside a training.

    `model.trainer` is still the trainer of the last training, or None, while the new trainer is made.
    """
    from ultralytics.engine.trainer import BaseTrainer

    found = None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        owner = frame.f_locals.get("self")
        if found is None and isinstance(owner, BaseTrainer):
            found = owner
        if owner is model and frame.f_code.co_name == "train":
            return found
        frame = frame.f_back
    return None


def task_of(model: Any, *, caller: str) -> str:
    """Return the task of a model or trainer that can have callbacks.

    Args:
        model: The model or trainer.
        caller: The name of the function that needs it, for the message.

    Raises:
        TypeError: If it has no list of callbacks.
    """
    if not (hasattr(model, "add_callback") and isinstance(getattr(model, "callbacks", None), dict)):
        raise TypeError(f"{caller} needs a YOLO model or an Ultralytics trainer, received {model!r}")
    task = getattr(model, "task", None) or getattr(getattr(model, "args", None), "task", None)
    return str(task or "detect")
