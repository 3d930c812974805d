"""One callback a file."""

from yolo_callbacks.callbacks.early_stopping import EarlyStopping
from yolo_callbacks.callbacks.jsonl_logger import JsonlLogger
from yolo_callbacks.callbacks.memory_cleanup import MemoryCleanup
from yolo_callbacks.callbacks.memory_monitor import MemoryMonitor
from yolo_callbacks.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
from yolo_callbacks.callbacks.save_best import SaveBest
from yolo_callbacks.callbacks.stop_on_overfit import StopOnOverfit
from yolo_callbacks.callbacks.tensorboard_logger import TensorBoardLogger
from yolo_callbacks.callbacks.wandb_logger import WandbLogger

__all__ = [
    "EarlyStopping",
    "JsonlLogger",
    "MemoryCleanup",
    "MemoryMonitor",
    "ReduceLROnPlateau",
    "SaveBest",
    "StopOnOverfit",
    "TensorBoardLogger",
    "WandbLogger",
]
