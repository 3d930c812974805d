"""Make a trainable of Ray Tune from a function that trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["ray_trainable"]


def ray_trainable(function: Callable[[dict[str, Any]], Any]) -> type[Any]:
    """Return a trainable for `ray.tune.Tuner` from a function that trains.

    Where Ray Tune stops a trial, the process lives until the training has concluded: files are written, checkpoints are
    stripped, loggers are closed. Where Ray Tune restores one, the first `model.train()` of the function goes on from
    the trial's last checkpoint, with the hyperparameters in `config`. Attach a `RayTuneReporter` in the function. A
    run without `name=` is named after its trial.

    Args:
        function: Called as `function(config)` in the process of each trial. A mapping that it returns is added to the
            last result.

    Returns:
        A subclass of `ray.tune.Trainable`. `ray.tune.with_resources` and `ray.tune.with_parameters` take it.

    Raises:
        TypeError: If `function` is no function.
        ImportError: If Ray Tune is not installed.

    Example:
        >>> from ray import tune
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import RayTuneReporter, attach, ray_trainable
        >>> def train(config):
        ...     model = YOLO("yolo11n.yaml")
        ...     attach(model, RayTuneReporter("mAP50"))
        ...     model.train(data="coco8.yaml", epochs=20, optimizer="SGD", **config)
        >>> space = {"lr0": tune.loguniform(1e-4, 1e-1)}
        >>> tuner = tune.Tuner(ray_trainable(train), param_space=space)
    """
    if not callable(function) or isinstance(function, type):
        raise TypeError(f"function must be a function of one argument, received {function!r}")
    from yolo_callbacks.callbacks.ray_trainable_parts.training import TrainingTrainable

    name = getattr(function, "__name__", "train")
    return type(name, (TrainingTrainable,), {"function": staticmethod(function), "__doc__": function.__doc__})
