"""Export the best checkpoint, and show how far the export differs from it.

python examples/export_best.py                             # trees, the data set that comes with the package
python examples/export_best.py --data coco8.yaml --imgsz 640
"""

from __future__ import annotations

from arguments import training
from ultralytics import YOLO

from yolo_callbacks import ExportBest, SaveBest, attach


def main() -> None:
    model = YOLO("yolo11n.yaml")
    # "onnx" needs the packages of the extra: python -m pip install ".[export]"
    export = ExportBest("torchscript", images=16)
    attach(model, SaveBest("mAP50"), export)
    model.train(**training("Export the best checkpoint, with a proof."))
    if export.exported_path is None:
        print(f"Not exported: {export.reason}")
    else:
        print(f"{export.exported_path.name} is {export.verdict}: {export.reason}")


if __name__ == "__main__":
    main()
