"""Save the best detection model by mAP.

python examples/save_best_by_map.py                          # trees, the data set that comes with the package
python examples/save_best_by_map.py --data coco8.yaml --imgsz 640
"""

from __future__ import annotations

from arguments import training
from ultralytics import YOLO

from yolo_callbacks import SaveBest, attach


def main() -> None:
    model = YOLO("yolo11n.yaml")
    best = SaveBest("mAP50-95")
    attach(model, best)
    model.train(**training("Save the best detection model by mAP."))
    print(f"Best mAP50-95 {best.best_score} at epoch {best.best_epoch}: {best.best_model_path}")


if __name__ == "__main__":
    main()
