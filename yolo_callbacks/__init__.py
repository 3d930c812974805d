"""Callbacks for trainings with Ultralytics YOLO.

from ultralytics import YOLO
from yolo_callbacks import EarlyStopping, SaveBest, attach

model = YOLO("yolo11n.pt")
attach(model, SaveBest("mAP50", top_k=3), EarlyStopping("val/box_loss", patience=20))
model.train(data="coco8.yaml", epochs=100)
"""

from yolo_callbacks.installation import check_version

__version__ = "0.1.0"

check_version()

from yolo_callbacks.attaching import attach  # noqa: E402
from yolo_callbacks.callback import Callback  # noqa: E402 (the version first: its message is the clearer one)
from yolo_callbacks.callbacks import (  # noqa: E402
    EarlyStopping,
    JsonlLogger,
    MemoryCleanup,
    MemoryMonitor,
    ReduceLROnPlateau,
    SaveBest,
    StopOnOverfit,
    TensorBoardLogger,
    WandbLogger,
)
from yolo_callbacks.decisions import StoppingReason  # noqa: E402
from yolo_callbacks.extending import extend  # noqa: E402
from yolo_callbacks.record import EpochRecord  # noqa: E402
from yolo_callbacks.suite import Suite  # noqa: E402

__all__ = [
    "Callback",
    "EarlyStopping",
    "EpochRecord",
    "JsonlLogger",
    "MemoryCleanup",
    "MemoryMonitor",
    "ReduceLROnPlateau",
    "SaveBest",
    "StopOnOverfit",
    "StoppingReason",
    "Suite",
    "TensorBoardLogger",
    "WandbLogger",
    "attach",
    "extend",
]
