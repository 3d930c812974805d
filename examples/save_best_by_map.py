"""Save the best detection model by mAP.

python examples/save_best_by_map.py                    # trees, the data set that comes with the package
python examples/save_best_by_map.py --data coco8.yaml --model yolo11n.pt --imgsz 640
"""

from __future__ import annotations

import argparse

from ultralytics import YOLO

from yolo_callbacks import SaveBest, attach
from yolo_callbacks.data import trees


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=str(trees()))
    parser.add_argument("--model", default="yolo11n.yaml")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--imgsz", type=int, default=256)
    parser.add_argument("--project", default=None, help="where the run goes (default: Ultralytics' own)")
    arguments = parser.parse_args()

    model = YOLO(arguments.model)
    best = SaveBest("mAP50-95")
    attach(model, best)
    model.train(
        data=arguments.data,
        epochs=arguments.epochs,
        imgsz=arguments.imgsz,
        batch=8,
        nbs=8,
        project=arguments.project,
    )
    print(f"Best mAP50-95 {best.best_score:g} at epoch {best.best_epoch}: {best.best_model_path}")


if __name__ == "__main__":
    main()
