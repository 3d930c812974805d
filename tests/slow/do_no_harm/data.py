"""Data sets of a few small images, made once in a folder, by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import digits
import numpy as np

Make = Callable[[Path], Path]


def _task(task: str) -> Make:
    return lambda folder: digits.for_task(folder, task, train=4, val=4, size=32)


def _detect(folder: Path) -> Path:
    return digits.detection(folder, train=8, val=4, size=32)


def _learnable(folder: Path) -> Path:
    return digits.detection(folder, train=16, val=4, size=64)


def _two_of_three(folder: Path) -> Path:
    return digits.detection(folder, train=8, val=4, size=32, absent_from_val=[2])


def _backgrounds(folder: Path) -> Path:
    """Half of the images have no label file or an empty one."""
    data = _detect(folder)
    for split in ("train", "val"):
        labels = sorted((folder / "labels" / split).glob("*.txt"))
        labels[0].unlink()
        labels[2].write_text("")
    return data


def _nothing(folder: Path) -> Path:
    """No object in any image of the validation."""
    data = _detect(folder)
    for labels in (folder / "labels" / "val").glob("*.txt"):
        labels.write_text("")
    return data


def _odd_names(folder: Path) -> Path:
    """Spaces and Chinese characters in the names of folders, files and classes."""
    folder = folder / "my data 数据"
    data = _detect(folder)
    for path in [*folder.rglob("*.png"), *folder.rglob("*.txt")]:
        path.rename(path.with_name(f"图 像 {path.name}"))
    text = data.read_text()
    for name, odd in (("zero", "零 / “0”"), ("one", "'a: b'"), ("two", "行人 (two)")):
        text = text.replace(f": {name}", f": {odd}")
    data.write_text(text, encoding="utf-8")
    return data


def _mixed_sizes(folder: Path) -> Path:
    """Images of several aspect ratios, for rectangular batches."""
    data = _detect(folder)
    for number, path in enumerate(sorted(folder.rglob("*.png"))):
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (32, 16) if number % 2 else (24, 48)))
    return data


def _depth(folder: Path) -> Path:
    """A depth map of 16 bits beside each image."""
    data = digits.detection(folder, train=4, val=4, size=32)
    for image in (folder / "images").rglob("*.png"):
        target = folder / "depth" / image.relative_to(folder / "images")
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), cv2.imread(str(image), cv2.IMREAD_GRAYSCALE).astype(np.uint16) * 20 + 500)
    data.write_text("train: images/train\nval: images/val\nnc: 1\nnames:\n  0: depth\ndepth_scale: 1000\n")
    return data


MAKERS: dict[str, Make] = {
    "detect": _detect,
    "learnable": _learnable,
    "two of three": _two_of_three,
    "segment": _task("segment"),
    "pose": _task("pose"),
    "obb": _task("obb"),
    "classify": _task("classify"),
    "semantic": _task("segment"),
    "depth": _depth,
    "backgrounds": _backgrounds,
    "nothing": _nothing,
    "odd names": _odd_names,
    "mixed sizes": _mixed_sizes,
}


def data_set(folder: Path, name: str) -> Path:
    """Return what Ultralytics takes as `data`; make it below `folder` where it is not there yet."""
    target, answer = folder / name.replace(" ", "-"), folder / f"{name}.txt"
    if not answer.exists():
        shutil.rmtree(target, ignore_errors=True)
        answer.write_text(str(MAKERS[name](target)), encoding="utf-8")
    return Path(answer.read_text(encoding="utf-8"))


def forget_caches(folder: Path) -> None:
    """Remove labels and images that Ultralytics has cached below a folder: each training finds the same files."""
    for pattern in ("*.cache", "*.npy"):
        for path in folder.rglob(pattern):
            path.unlink()
