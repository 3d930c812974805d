"""Find the images on which a model fails and the labels that may be wrong, and write these for Label Studio.

python examples/failing_images.py                          # trees, the data set that comes with the package
python examples/failing_images.py --data coco8.yaml --imgsz 640
"""

from __future__ import annotations

from pathlib import Path

from arguments import training
from ultralytics import YOLO

from yolo_callbacks import FailingImages, attach


def main() -> None:
    model = YOLO("yolo11n.yaml")
    failing = FailingImages(top=20)
    attach(model, failing, report=True)  # the report shows the images, with what is wrong in them
    model.train(**training("Find the images on which a model fails."))
    for image in failing.worst[:5]:
        print(f"{image['image']}: {image['tp']} right, {image['fp']} false, {image['fn']} missed")
    print(f"{len(failing.suspects)} labels may be wrong. To correct them in Label Studio:")
    print(f"yolo-callbacks failures {Path(model.trainer.save_dir)} --label-studio tasks.json")


if __name__ == "__main__":
    main()
