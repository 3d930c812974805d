"""Stop an image classification run when the validation loss has not decreased for 10 epochs.

    python examples/stop_classification.py --data FOLDER   # FOLDER/train/<class>/, FOLDER/val/<class>/

Without `--data` it makes a small set of handwritten digits (needs scikit-learn).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from ultralytics import YOLO

from yolo_callbacks import EarlyStopping, attach


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=None)
    parser.add_argument("--model", default="yolo11n-cls.yaml")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--imgsz", type=int, default=32)
    parser.add_argument("--project", default=None, help="where the run goes (default: Ultralytics' own)")
    arguments = parser.parse_args()

    model = YOLO(arguments.model)
    stopping = EarlyStopping("val/loss", patience=10)
    attach(model, stopping)
    model.train(
        data=arguments.data or digits(),
        epochs=arguments.epochs,
        imgsz=arguments.imgsz,
        batch=16,
        patience=0,  # the validation loss alone decides
        project=arguments.project,
    )
    print(f"Stopped at epoch {stopping.stopped_epoch}: {stopping.stopping_message}")


def digits() -> str:
    """A small set to classify, made by the generator of this repository."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "datasets"))
    from digits import classification

    return str(classification(Path(tempfile.mkdtemp())))


if __name__ == "__main__":
    main()
