"""Callbacks for trainings with Ultralytics YOLO.

from ultralytics import YOLO
from yolo_callbacks import EarlyStopping, SaveBest, attach

model = YOLO("yolo11n.pt")
attach(model, SaveBest("mAP50", top_k=3), EarlyStopping(patience=20))
model.train(data="coco8.yaml", epochs=100)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from yolo_callbacks.trainer.installation import check_version
from yolo_callbacks.utils.version import __version__ as __version__

check_version()  # here: its message is clearer than that of an import that fails

if TYPE_CHECKING:
    from yolo_callbacks.callbacks.callback import Callback
    from yolo_callbacks.callbacks.deadline import Deadline
    from yolo_callbacks.callbacks.early_stopping import EarlyStopping
    from yolo_callbacks.callbacks.events import Event
    from yolo_callbacks.callbacks.export_best import ExportBest
    from yolo_callbacks.callbacks.failing_images import FailingImages
    from yolo_callbacks.callbacks.lambda_callback import LambdaCallback
    from yolo_callbacks.callbacks.learning_rate_schedule import LearningRateSchedule
    from yolo_callbacks.callbacks.memory_cleanup import MemoryCleanup
    from yolo_callbacks.callbacks.memory_monitor import MemoryMonitor
    from yolo_callbacks.callbacks.mirror import Mirror
    from yolo_callbacks.callbacks.monitor_callback import MonitorCallback
    from yolo_callbacks.callbacks.optuna_pruning import OptunaPruning
    from yolo_callbacks.callbacks.preemption import Preemption
    from yolo_callbacks.callbacks.rank_watchdog import RankWatchdog
    from yolo_callbacks.callbacks.ray_trainable import ray_trainable
    from yolo_callbacks.callbacks.ray_tune_reporter import RayTuneReporter
    from yolo_callbacks.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
    from yolo_callbacks.callbacks.remote_control import RemoteControl
    from yolo_callbacks.callbacks.save_best import SaveBest
    from yolo_callbacks.callbacks.speed_monitor import SpeedMonitor
    from yolo_callbacks.callbacks.stop_on_overfit import StopOnOverfit
    from yolo_callbacks.callbacks.unfreeze import Unfreeze
    from yolo_callbacks.callbacks.validate_every import ValidateEvery
    from yolo_callbacks.decisions.stopping import StoppingReason
    from yolo_callbacks.loggers.jsonl_logger import JsonlLogger
    from yolo_callbacks.loggers.mlflow_logger import MLflowLogger
    from yolo_callbacks.loggers.notify import Notify
    from yolo_callbacks.loggers.tensorboard_logger import TensorBoardLogger
    from yolo_callbacks.loggers.wandb_logger import WandbLogger
    from yolo_callbacks.metrics.epoch_record import EpochRecord
    from yolo_callbacks.metrics.monitor import Monitor
    from yolo_callbacks.suite.attaching import attach, detach
    from yolo_callbacks.suite.continuing import resume_or_train
    from yolo_callbacks.suite.extending import extend
    from yolo_callbacks.suite.suite import Suite
    from yolo_callbacks.trainer.training_run import TrainingRun

__all__ = [
    "Callback",
    "Deadline",
    "EarlyStopping",
    "EpochRecord",
    "Event",
    "ExportBest",
    "FailingImages",
    "JsonlLogger",
    "LambdaCallback",
    "LearningRateSchedule",
    "MLflowLogger",
    "MemoryCleanup",
    "MemoryMonitor",
    "Mirror",
    "Monitor",
    "MonitorCallback",
    "Notify",
    "OptunaPruning",
    "Preemption",
    "RankWatchdog",
    "RayTuneReporter",
    "ReduceLROnPlateau",
    "RemoteControl",
    "SaveBest",
    "SpeedMonitor",
    "StopOnOverfit",
    "StoppingReason",
    "Suite",
    "TensorBoardLogger",
    "TrainingRun",
    "Unfreeze",
    "ValidateEvery",
    "WandbLogger",
    "attach",
    "detach",
    "extend",
    "ray_trainable",
    "resume_or_train",
]

# A name is imported where it is used first: a script that stops early does not wait for the code of W&B.
_MODULES = {
    "Callback": "callbacks.callback",
    "Deadline": "callbacks.deadline",
    "EarlyStopping": "callbacks.early_stopping",
    "Event": "callbacks.events",
    "ExportBest": "callbacks.export_best",
    "FailingImages": "callbacks.failing_images",
    "LambdaCallback": "callbacks.lambda_callback",
    "LearningRateSchedule": "callbacks.learning_rate_schedule",
    "MemoryCleanup": "callbacks.memory_cleanup",
    "MemoryMonitor": "callbacks.memory_monitor",
    "Mirror": "callbacks.mirror",
    "MonitorCallback": "callbacks.monitor_callback",
    "OptunaPruning": "callbacks.optuna_pruning",
    "Preemption": "callbacks.preemption",
    "RankWatchdog": "callbacks.rank_watchdog",
    "ray_trainable": "callbacks.ray_trainable",
    "RayTuneReporter": "callbacks.ray_tune_reporter",
    "ReduceLROnPlateau": "callbacks.reduce_lr_on_plateau",
    "RemoteControl": "callbacks.remote_control",
    "SaveBest": "callbacks.save_best",
    "SpeedMonitor": "callbacks.speed_monitor",
    "StopOnOverfit": "callbacks.stop_on_overfit",
    "ValidateEvery": "callbacks.validate_every",
    "Unfreeze": "callbacks.unfreeze",
    "StoppingReason": "decisions.stopping",
    "JsonlLogger": "loggers.jsonl_logger",
    "MLflowLogger": "loggers.mlflow_logger",
    "Notify": "loggers.notify",
    "TensorBoardLogger": "loggers.tensorboard_logger",
    "WandbLogger": "loggers.wandb_logger",
    "EpochRecord": "metrics.epoch_record",
    "Monitor": "metrics.monitor",
    "attach": "suite.attaching",
    "detach": "suite.attaching",
    "resume_or_train": "suite.continuing",
    "extend": "suite.extending",
    "Suite": "suite.suite",
    "TrainingRun": "trainer.training_run",
}


def __getattr__(name: str) -> Any:
    """Import a public name (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the names of the module, those that are not imported yet too."""
    return sorted({*globals(), *__all__})
