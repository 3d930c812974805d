"""One callback a file."""

from yolo_callbacks.callbacks.early_stopping import EarlyStopping
from yolo_callbacks.callbacks.save_best import SaveBest

__all__ = ["EarlyStopping", "SaveBest"]
