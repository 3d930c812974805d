"""Labels that are wrong on purpose: how many `FailingImages` suspects, and how many other labels it suspects too."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random

import digits
import pytest
from trainings import FAST
from ultralytics import YOLO

from yolo_callbacks import FailingImages, attach

pytestmark = pytest.mark.training

KINDS = {"removed": "overlooked", "moved": "badly located", "swapped": "swapped"}
EACH = 3  # labels of each kind, of about 270: 3 % in all


@dataclass(frozen=True)
class Wrong:
    """A label that was made wrong."""

    kind: str
    image: str
    centre: tuple[float, float]


def spoil(data: Path, seed: int) -> list[Wrong]:
    """Remove, move and swap labels of the validation set; one in an image at most."""
    random = Random(seed)
    files = sorted((data.parent / "labels" / "val").glob("*.txt"))
    chosen = iter(random.sample(files, 3 * EACH))
    made = []
    for kind in KINDS:
        for _ in range(EACH):
            path = next(chosen)
            lines = path.read_text().splitlines()
            position = random.randrange(len(lines))
            label, x, y, width, height = map(float, lines[position].split())
            if kind == "removed":
                del lines[position]
            elif kind == "moved":  # by half of its size, into the image
                x = x + width / 2 if x < 0.5 else x - width / 2
                lines[position] = f"{int(label)} {x} {y} {width} {height}"
            else:
                lines[position] = f"{(int(label) + 1) % 3} {x} {y} {width} {height}"
            path.write_text("\n".join(lines))
            made.append(Wrong(kind, f"images/val/{path.stem}.png", (x, y)))
    return made


def is_of(suspect: dict, wrong: Wrong) -> bool:
    """Return whether a suspect is the label that was made wrong."""
    if (suspect["image"], suspect["kind"]) != (wrong.image, KINDS[wrong.kind]):
        return False
    left, top, right, bottom = suspect["prediction" if wrong.kind == "removed" else "label"]["box"]
    return abs((left + right) / 2 - wrong.centre[0]) < 0.1 and abs((top + bottom) / 2 - wrong.centre[1]) < 0.1


@pytest.mark.parametrize("seed", range(5))
def test_wrong_labels_are_suspected(tmp_path, seed, record_property):
    data = digits.detection(tmp_path / "data", train=160, val=72, size=96, seed=seed)
    wrong = spoil(data, seed)
    model, failing = YOLO("yolo11n.yaml"), FailingImages()
    attach(model, failing)
    arguments = {**FAST, "imgsz": 96, "batch": 16, "nbs": 16, "seed": seed}
    model.train(**arguments, data=str(data), epochs=30, project=str(tmp_path), name="run")
    line = json.loads((tmp_path / "run" / "failures.jsonl").read_text().splitlines()[-1])
    suspects = line["suspects"][: len(wrong)]
    recall = {
        kind: sum(any(is_of(each, one) for each in line["suspects"]) for one in wrong if one.kind == kind)
        for kind in KINDS
    }
    right = sum(any(is_of(each, one) for one in wrong) for each in suspects)
    worst = {image["image"] for image in line["worst"]}
    found = {
        "recall": sum(recall.values()) / len(wrong),
        "precision of as many suspects": right / max(len(suspects), 1),
        "among the worst images": sum(one.image in worst for one in wrong) / len(wrong),
        **recall,
    }
    print(seed, found, line["confidence"])
    record_property("wrong labels", found)
    assert found["recall"] >= 0.6
    assert found["precision of as many suspects"] >= 0.5
    assert found["among the worst images"] >= 0.8
