"""One callback a file."""

from yolo_callbacks.callbacks.early_stopping import EarlyStopping
from yolo_callbacks.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
from yolo_callbacks.callbacks.save_best import SaveBest
from yolo_callbacks.callbacks.stop_on_overfit import StopOnOverfit

__all__ = ["EarlyStopping", "ReduceLROnPlateau", "SaveBest", "StopOnOverfit"]
