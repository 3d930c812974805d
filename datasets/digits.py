"""Write small data sets of handwritten digits that a YOLO model learns in seconds.

Tests and examples need trainings whose metrics change within a few epochs, on a CPU and without a download.
scikit-learn contains 1797 digits of 8x8 pixels. Enlarged on a dark, noisy background, they make scenes to detect and
pictures to classify. No sample is used for both training and validation, so the metrics are those of unseen
handwriting.

    python datasets/digits.py FOLDER
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
VAL_SHARE = 0.25  # of the samples of each digit

Image = npt.NDArray[np.uint8]
Samples = list[list[Image]]  # by position in `classes`
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


def detection(
    folder: Path,
    *,
    train: int = 128,
    val: int = 16,
    size: int = 160,
    classes: Sequence[int] = (0, 1, 2),
    absent_from_val: Sequence[int] = (),
    seed: int = 0,
) -> Path:
    """Write a detection data set of three to six digits a scene; files of the same name are overwritten.

    Every class allowed in a split has a box in it as soon as the split has as many scenes as classes.

    Args:
        folder: Where to write; made if missing.
        train: Number of scenes to train on.
        val: Number of scenes to validate on.
        size: Width and height of a scene in pixels.
        classes: The digits to show; the position of a digit in this sequence is its class index.
        absent_from_val: Class indices that have boxes in train and none in val.
        seed: The same seed and arguments write the same files.

    Returns:
        The path of data.yaml.
    """
    rng = np.random.default_rng(seed)
    samples = _split_samples(classes, rng)
    everywhere = [index for index in range(len(classes)) if index not in absent_from_val]
    for split, number, allowed in (("train", train, list(range(len(classes)))), ("val", val, everywhere)):
        images, labels = (_made(folder / kind / split) for kind in ("images", "labels"))
        for i in range(number):
            image, lines = _scene(samples[split], allowed, i, size, rng)
            _write(images / f"{i:03d}.png", image)
            (labels / f"{i:03d}.txt").write_text("".join(f"{line}\n" for line in lines))
    names = "".join(f"  {index}: {NAMES[digit]}\n" for index, digit in enumerate(classes))
    # Without `path:` Ultralytics looks beside the file, so the folder can be moved.
    (folder / "data.yaml").write_text(f"train: images/train\nval: images/val\nnames:\n{names}")
    return folder / "data.yaml"


def for_task(folder: Path, task: str, *, train: int = 8, val: int = 4, size: int = 64) -> Path:
    """Write a data set for a task of Ultralytics; masks, keypoints and rotated boxes surround the digits.

    Args:
        folder: Where to write; made if missing.
        task: `"detect"`, `"segment"` (the box as a polygon), `"pose"` (its corners as keypoints), `"obb"` (the box
            as a rotated one) or `"classify"`.
        train: Number of scenes to train on; for classify, the number of pictures of each class.
        val: The same number for validation.
        size: Width and height in pixels.

    Returns:
        The value for Ultralytics' argument `data`.
    """
    if task == "classify":
        return classification(folder, train=train, val=val, size=size)
    data = detection(folder, train=train, val=val, size=size)
    if task == "pose":
        data.write_text(data.read_text() + "kpt_shape: [4, 3]\nflip_idx: [1, 0, 3, 2]\n")
    for labels in (folder / "labels").rglob("*.txt"):
        labels.write_text("".join(f"{_in_form_of(task, line)}\n" for line in labels.read_text().splitlines()))
    return data


def _in_form_of(task: str, line: str) -> str:
    """Convert a label line of detection to one of another task."""
    index, x, y, width, height = line.split()
    left, top = float(x) - float(width) / 2, float(y) - float(height) / 2
    right, bottom = left + float(width), top + float(height)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    points = " ".join(f"{horizontal:.6f} {vertical:.6f}" for horizontal, vertical in corners)
    if task == "pose":
        return f"{line} " + " ".join(f"{horizontal:.6f} {vertical:.6f} 2" for horizontal, vertical in corners)
    return f"{index} {points}" if task in ("segment", "obb") else line


def classification(
    folder: Path,
    *,
    train: int = 20,
    val: int = 10,
    size: int = 32,
    classes: Sequence[int] = (0, 1, 2),
    seed: int = 0,
) -> Path:
    """Write a classification data set of one digit a picture; files of the same name are overwritten.

    Args:
        folder: Where to write; made if missing.
        train: Number of pictures to train on, per class.
        val: Number of pictures to validate on, per class.
        size: Width and height of a picture in pixels.
        classes: The digits to show; Ultralytics orders them by name, not as given here.
        seed: The same seed and arguments write the same files.

    Returns:
        The folder, which is the value for Ultralytics' argument `data` for classify.
    """
    rng = np.random.default_rng(seed)
    samples = _split_samples(classes, rng)
    for split, number in (("train", train), ("val", val)):
        for digit, pool in zip(classes, samples[split], strict=True):
            target = _made(folder / split / NAMES[digit])
            for i in range(number):
                image = _background(size, rng)
                patch = _enlarged(pool[i % len(pool)], rng.uniform(0.6, 0.9) * size, rng)
                _paste(image, patch, [], rng)
                _write(target / f"{i:03d}.png", image)
    return folder


@cache
def _samples() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Read the digits and their classes from scikit-learn's file, whose `load_digits` takes 2.5 s to import.

    Raises:
        ModuleNotFoundError: If scikit-learn is not installed.
    """
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("the digits are those of scikit-learn: pip install scikit-learn")
    rows = np.loadtxt(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1]


def _split_samples(classes: Sequence[int], rng: np.random.Generator) -> dict[str, Samples]:
    """Shuffle the samples of each class and divide them between train and val."""
    images, targets = _samples()
    split: dict[str, Samples] = {"train": [], "val": []}
    for digit in classes:
        pool = [_cropped(images[k]) for k in rng.permutation(np.flatnonzero(targets == digit))]
        val_count = int(len(pool) * VAL_SHARE)
        split["val"].append(pool[:val_count])
        split["train"].append(pool[val_count:])
    return split


def _cropped(sample: npt.NDArray[np.float64]) -> Image:
    """Crop a sample to its ink, so that the edges of the picture are the box of the digit."""
    ink = sample >= 4  # of 16; fainter pixels are lost in the noise
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    cropped = sample[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return (cropped * (255 / 16)).astype(np.uint8)


def _scene(
    samples: Samples, allowed: Sequence[int], number: int, size: int, rng: np.random.Generator
) -> tuple[Image, list[str]]:
    """Compose the scene with a number; return it with its YOLO label lines."""
    image, boxes, lines = _background(size, rng), list[Box](), list[str]()
    for k in range(int(rng.integers(3, 7)) if allowed else 0):
        # The first digit of each scene takes turns, so that even the smallest data set has every class.
        index = allowed[number % len(allowed)] if k == 0 else int(rng.choice(allowed))
        sample = samples[index][rng.integers(len(samples[index]))]
        box = _paste(image, _enlarged(sample, rng.uniform(0.2, 0.4) * size, rng), boxes, rng)
        if box:
            boxes.append(box)
            left, top, right, bottom = (edge / size for edge in box)
            centre_and_size = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
            lines.append(" ".join([str(index), *(f"{value:.6f}" for value in centre_and_size)]))
    return image, lines


def _background(size: int, rng: np.random.Generator) -> Image:
    return np.clip(rng.normal(30, 8, (size, size)), 0, 255).astype(np.uint8)


def _enlarged(sample: Image, length: float, rng: np.random.Generator) -> Image:
    """Scale a digit to a length of its longer side, and give it a random brightness."""
    scale = length / max(sample.shape)
    height, width = (max(1, round(side * scale)) for side in sample.shape)
    patch: Image = cv2.resize(sample, (width, height), interpolation=cv2.INTER_LINEAR)
    return (patch * rng.uniform(0.7, 1.0)).astype(np.uint8)


def _paste(image: Image, patch: Image, taken: Sequence[Box], rng: np.random.Generator) -> Box | None:
    """Put a digit at a random free place of the image; return None if no place was found."""
    height, width = patch.shape
    for _ in range(50):
        top = int(rng.integers(image.shape[0] - height + 1))
        left = int(rng.integers(image.shape[1] - width + 1))
        right, bottom = left + width, top + height
        if all(right <= box[0] or box[2] <= left or bottom <= box[1] or box[3] <= top for box in taken):
            # Use the brighter pixel of both, so that the noise is visible in the gaps of the digit.
            image[top:bottom, left:right] = np.maximum(image[top:bottom, left:right], patch)
            return left, top, right, bottom
    return None


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write(path: Path, image: Image) -> None:
    if not cv2.imwrite(str(path), image):
        raise OSError(f"cannot write {path}")


def main() -> None:
    """Write both data sets below a folder, and print the values for `data`."""
    parser = argparse.ArgumentParser(description="Write a detection and a classification data set of digits.")
    parser.add_argument("folder", type=Path, help="where to write; made if missing")
    folder = parser.parse_args().folder
    print(detection(folder / "detection"))
    print(classification(folder / "classification"))


if __name__ == "__main__":
    main()
