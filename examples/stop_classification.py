"""Stop an image classification run when the validation loss has not decreased for 10 epochs.

    python examples/stop_classification.py --data FOLDER         # FOLDER/train/<class>/, FOLDER/val/<class>/

Without `--data` it makes a small set of handwritten digits (needs scikit-learn).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from arguments import training
from ultralytics import YOLO

from yolo_callbacks import EarlyStopping, attach


def main() -> None:
    model = YOLO("yolo11n-cls.yaml")
    stopping = EarlyStopping("val/loss", patience=10)
    attach(model, stopping)
    arguments = training("Stop when the validation loss no longer decreases.", data="", epochs=100, imgsz=32)
    arguments["data"] = arguments["data"] or digits()
    model.train(**arguments, patience=0)  # only the validation loss decides
    if stopping.stopped_epoch:
        print(f"Stopped at epoch {stopping.stopped_epoch}, {stopping.stopping_reason_message}")
    else:
        print(f"Not stopped, {stopping.wait_count} of 10 epochs without a lower loss")


def digits() -> str:
    """Make a small classification set with the generator of this repository."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "datasets"))
    from digits import classification

    return str(classification(Path(tempfile.mkdtemp())))


if __name__ == "__main__":
    main()
