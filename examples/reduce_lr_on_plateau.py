"""Halve the learning rate when mAP no longer improves, and stop when it still does not improve.

python examples/reduce_lr_on_plateau.py
"""

from __future__ import annotations

from arguments import training
from ultralytics import YOLO

from yolo_callbacks import EarlyStopping, ReduceLROnPlateau, attach


def main() -> None:
    model = YOLO("yolo11n.yaml")
    plateau = ReduceLROnPlateau("mAP50", factor=0.5, patience=2, cooldown=1, min_lr=1e-5)
    attach(model, plateau, EarlyStopping("mAP50", patience=8))
    model.train(**training("Reduce the learning rate on a plateau.", epochs=30), patience=0)
    print(f"Learning rate reduced at epochs {plateau.reductions}, to {plateau.scale:g} of its schedule")


if __name__ == "__main__":
    main()
