"""Make data sets under the names that Ultralytics' tests use, from handwritten digits."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import digits
import numpy as np
from PIL import Image

SIZE = 64
# What the tests train on: four images each to train and to validate, as in the originals.
DETECTION = ("coco8", "coco8-grayscale")
TASKS = {"coco8-seg": "segment", "dota8": "obb"}
# Cityscapes' own ids of classes that its label mapping keeps.
CITYSCAPES_GROUND, CITYSCAPES_OBJECTS = 7, (26, 24, 11)
FORMATS = ("bmp", "jpeg", "jpg", "png", "tif", "webp")


def make(folder: Path) -> None:
    """Write every data set below a folder."""
    for name in DETECTION:
        digits.for_task(folder / name, "detect", train=4, val=4, size=SIZE)
    for name, task in TASKS.items():
        digits.for_task(folder / name, task, train=4, val=4, size=SIZE)
    _pose(folder / "coco8-pose")
    _formats(folder / "coco12-formats")
    _multispectral(folder / "coco8-multispectral")
    digits.classification(folder / "imagenet10", train=1, val=1, size=SIZE, classes=range(10))
    _semantic(folder / "cityscapes8")
    _depth(folder / "depth8-png")
    for generated in folder.rglob("data.yaml"):
        generated.unlink()  # the tests name Ultralytics' own


def _pose(folder: Path) -> None:
    """Write persons of 17 keypoints, which lie along the box of a digit."""
    digits.for_task(folder, "detect", train=4, val=4, size=SIZE)
    for labels in (folder / "labels").rglob("*.txt"):
        labels.write_text("".join(f"{_person(line)}\n" for line in labels.read_text().splitlines()))


def _person(line: str) -> str:
    x, y, width, height = map(float, line.split()[1:])
    along = np.linspace(-0.5, 0.5, 17)
    points = " ".join(f"{x + width * step:.6f} {y + height * step:.6f} 2" for step in along)
    return f"0 {x:.6f} {y:.6f} {width:.6f} {height:.6f} {points}"


def _formats(folder: Path) -> None:
    """Write images of several formats."""
    digits.for_task(folder, "detect", train=6, val=6, size=SIZE)
    for split in ("train", "val"):
        for image, suffix in zip(sorted((folder / "images" / split).iterdir()), FORMATS, strict=True):
            with Image.open(image) as opened:
                converted = opened.convert("RGB")
            image.unlink()
            converted.save(image.with_suffix(f".{suffix}"))


def _multispectral(folder: Path) -> None:
    """Write images of ten channels, each a page of a TIFF."""
    digits.for_task(folder, "detect", train=4, val=4, size=SIZE)
    for image in sorted((folder / "images").rglob("*.png")):
        channel = cv2.imread(str(image), cv2.IMREAD_GRAYSCALE)
        pages = [np.clip(channel * (1 - 0.05 * number), 0, 255).astype(np.uint8) for number in range(10)]
        cv2.imwritemulti(str(image.with_suffix(".tiff")), pages)
        image.unlink()


def _semantic(folder: Path) -> None:
    """Write masks of the boxes of digits."""
    for image, boxes in _scenes(folder):
        mask = np.full((SIZE, SIZE), CITYSCAPES_GROUND, np.uint8)
        for index, (left, top, right, bottom) in boxes:
            mask[top:bottom, left:right] = CITYSCAPES_OBJECTS[index]
        _write(folder / "masks" / image.parent.name / image.name, mask)
    shutil.rmtree(folder / "labels")


def _depth(folder: Path) -> None:
    """Write depth maps: a ground that falls away, and digits two metres in front of it."""
    for image, boxes in _scenes(folder):
        metres = np.repeat(np.linspace(3, 8, SIZE)[:, None], SIZE, axis=1)
        for _, (left, top, right, bottom) in boxes:
            metres[top:bottom, left:right] -= 2
        _write(folder / "depth" / image.parent.name / image.name, (metres * 1000).astype(np.uint16))
    shutil.rmtree(folder / "labels")


def _scenes(folder: Path) -> list[tuple[Path, list[tuple[int, tuple[int, ...]]]]]:
    """Write scenes; return each image with the class and the box in pixels of every digit."""
    digits.for_task(folder, "detect", train=4, val=4, size=SIZE)
    found = []
    for image in sorted((folder / "images").rglob("*.png")):
        boxes = []
        for line in (folder / "labels" / image.parent.name / f"{image.stem}.txt").read_text().splitlines():
            index, x, y, width, height = (float(number) for number in line.split())
            corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            boxes.append((int(index), tuple(round(corner * SIZE) for corner in corners)))
        found.append((image, boxes))
    return found


def _write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
