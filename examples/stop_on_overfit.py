"""Stop when the validation loss is much larger than the training loss, but not before the warm-up ends.

python examples/stop_on_overfit.py
"""

from __future__ import annotations

from arguments import training
from ultralytics import YOLO

from yolo_callbacks import EarlyStopping, StopOnOverfit, attach


def main() -> None:
    model = YOLO("yolo11n.yaml")
    overfit = StopOnOverfit("val/cls_loss", "train/cls_loss", ratio=1.5, patience=3)
    attach(model, overfit, EarlyStopping("mAP50-95", patience=20, training_phases=True))
    model.train(**training("Stop when the model overfits.", epochs=30), patience=0)
    print(f"Stopped at epoch {overfit.stopped_epoch}, {overfit.stopping_reason_message or 'not by overfitting'}")


if __name__ == "__main__":
    main()
