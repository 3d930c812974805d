"""Train the head of a model first, then the neck, then all of it with a lower learning rate for the backbone.

python examples/unfreeze.py
"""

from __future__ import annotations

from arguments import training
from ultralytics import YOLO

from yolo_callbacks import Unfreeze, attach


def main() -> None:
    model = YOLO("yolo11n.yaml")
    unfreeze = Unfreeze({0: "head", 3: "neck", 6: "all"}, lr_scale={"backbone": 0.1})
    attach(model, unfreeze)
    model.train(**training("Unfreeze a model part by part.", epochs=12))
    print(f"Trained at the end: {unfreeze.trained}")


if __name__ == "__main__":
    main()
