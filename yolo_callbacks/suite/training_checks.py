"""Check each training of a process before it starts: whether it can be resumed, and whether callbacks reach it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from _yolo_callbacks_boot import VARIABLE, refuse
from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.state.state_file import last_finished_epoch
from yolo_callbacks.suite.handlers import is_attached
from yolo_callbacks.suite.trials import prepare_trial
from yolo_callbacks.trainer.launched_training import prepare_launch
from yolo_callbacks.trainer.model_inspection import running_trainer
from yolo_callbacks.trainer.resume import check_resume
from yolo_callbacks.trainer.training_calls import before_training, before_tuning, before_workers_without_callbacks
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.version import versions

__all__ = ["check_training", "check_trainings", "warn_of_running_training"]


def check_trainings() -> None:
    """Check every training of this process from now on. A second call does nothing."""
    before_training(check_training)
    before_workers_without_callbacks(_warn_of_workers)
    before_tuning(_warn_of_tuning)


def check_training(model: Any, arguments: dict[str, Any]) -> None:
    """Prepare a training in a trial of Ray Tune or under a launcher, and refuse to resume a run that is over.

    Ultralytics would start another training instead.

    Raises:
        ValueError: If there is nothing to resume, or the processes of a launcher do not fit the devices. In a `yolo`
            command it becomes one line and exit code 2.
    """
    if is_attached(model) or os.environ.get(VARIABLE):
        prepare_trial(model, arguments)
        try:
            prepare_launch(model, arguments)
            check_resume(model, arguments, finished=last_finished_epoch)
        except ValueError as error:
            refuse(error)


def warn_of_running_training(model: Any, callbacks: Iterable[Callback]) -> None:
    """Warn where a training of the model has already begun, which the callbacks do not reach."""
    trainer = running_trainer(model)
    if trainer is not None and trainer.callbacks is not model.callbacks:  # from 8.4.140 on the trainer has a copy
        names = ", ".join(type(callback).__name__ for callback in callbacks)
        LOGGER.warning(
            "The training of this model has already begun and runs with the callbacks that the model had then: "
            f"{names} will do nothing in this run. Attach before model.train()"
        )


def _warn_of_workers(trainer: Any) -> None:
    if is_attached(trainer) and not os.environ.get(VARIABLE):
        LOGGER.warning(
            f"Ultralytics {versions()['ultralytics']} does not hand callbacks that were attached in Python to the "
            "workers of a training on several GPUs (8.4.140 does): none of them runs. "
            "YOLO_CALLBACKS=callbacks.yaml in the environment reaches the workers"
        )


def _warn_of_tuning(model: Any, arguments: Mapping[str, Any]) -> None:
    if is_attached(model) and not os.environ.get(VARIABLE):
        LOGGER.warning(
            "model.tune() trains each iteration in another process, in which none of the attached callbacks runs. "
            "Set YOLO_CALLBACKS=callbacks.yaml in the environment to run callbacks in every iteration"
        )
