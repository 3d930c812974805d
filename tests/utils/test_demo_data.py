"""The data that ships with the package, and the generator of the tests."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import digits
import pytest
import yaml

from yolo_callbacks.utils.demo_data import copy_trees, trees

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("split", "images", "boxes"), [("train", 86, 707), ("val", 20, 290)])
def test_trees_are_what_their_readme_says(split, images, boxes):
    folder = trees().parent
    names = yaml.safe_load(trees().read_text())["names"]
    labels = [
        line.split() for file in (folder / "labels" / split).glob("*.txt") for line in file.read_text().splitlines()
    ]
    assert len(list((folder / "images" / split).glob("*.jpg"))) == images
    assert len(labels) == boxes
    assert {int(label[0]) for label in labels} == set(names) == {0}
    assert all(0 <= float(number) <= 1 for label in labels for number in label[1:])
    assert (folder / "LICENSE").is_file()


def test_the_wheel_carries_the_data(tmp_path):
    """Built and unpacked, as pip would: the package finds its data without the checkout."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "installed")
    find = "from yolo_callbacks.utils.demo_data import trees; print(trees())"
    done = subprocess.run(
        [sys.executable, "-c", find], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = Path(done.stdout.strip())
    assert found == tmp_path / "installed" / "yolo_callbacks" / "datasets" / "trees" / "data.yaml"
    assert len(list((found.parent / "images").rglob("*.jpg"))) == 106
    assert (tmp_path / "installed" / "yolo_callbacks" / "py.typed").is_file()


def test_digits_are_the_same_for_a_seed_and_differ_between_splits(tmp_path):
    folders = [digits.detection(tmp_path / name, train=6, val=3, size=64).parent for name in ("a", "b")]
    files = [sorted(path.relative_to(folder) for path in folder.rglob("*.*")) for folder in folders]
    assert files[0] == files[1]
    assert all((folders[0] / file).read_bytes() == (folders[1] / file).read_bytes() for file in files[0])
    other = digits.detection(tmp_path / "c", train=6, val=3, size=64, seed=1).parent
    assert any((folders[0] / file).read_bytes() != (other / file).read_bytes() for file in files[0])


def test_a_class_can_be_absent_from_validation(tmp_path):
    folder = digits.detection(tmp_path, train=6, val=6, size=64, absent_from_val=[1]).parent

    def classes(split: str) -> set[str]:
        texts = [file.read_text() for file in (folder / "labels" / split).glob("*.txt")]
        return {line.split()[0] for text in texts for line in text.splitlines()}

    assert classes("train") == {"0", "1", "2"}
    assert classes("val") == {"0", "2"}
    assert cv2.imread(str(next((folder / "images" / "val").iterdir()))).shape == (64, 64, 3)


def test_the_copy_can_be_changed_and_has_no_cache(tmp_path, monkeypatch):
    """Also if the package is installed read-only, or an earlier training has left a cache beside the labels."""
    original = tmp_path / "installed"
    (original / "labels" / "val").mkdir(parents=True)
    for name in ("data.yaml", "labels/val/a.txt", "labels/val.cache"):
        (original / name).write_text(name)
        (original / name).chmod(0o444)
    for folder in (original / "labels" / "val", original / "labels", original):
        folder.chmod(0o555)
    monkeypatch.setattr("yolo_callbacks.utils.demo_data.trees", lambda: original / "data.yaml")
    assert copy_trees(tmp_path / "copy") == tmp_path / "copy" / "data.yaml"
    copied = {path.relative_to(tmp_path / "copy").as_posix(): path for path in (tmp_path / "copy").rglob("*")}
    assert set(copied) == {"data.yaml", "labels", "labels/val", "labels/val/a.txt"}
    assert copied["labels/val/a.txt"].read_text() == "labels/val/a.txt"
    assert all(path.stat().st_mode & 0o200 for path in copied.values())
    for folder in (original, original / "labels", original / "labels" / "val"):
        folder.chmod(0o755)
