"""Test what a report stores of the validation images in the final evaluation, and shows, in real trainings."""

from __future__ import annotations

import json

import digits
import pytest
from trainings import TINY_CLASSIFY, TINY_SEGMENT
from ultralytics import YOLO

from yolo_callbacks import attach

pytestmark = pytest.mark.training


def test_masks_are_stored_and_shown(train, tmp_path, messages):
    model = YOLO(TINY_SEGMENT)
    attach(model, [], report=True, strict=True)
    folder = train(model, data=str(digits.for_task(tmp_path / "data", "segment", size=64)), epochs=1, imgsz=64)
    images = json.loads((folder / "callbacks.images.json").read_text())["images"]
    assert len(images) == 4
    for image in images:
        assert all(box[6]["mask"] for box in image["truth"])
    assert (folder / "report.html").read_text().count('class="mask"') >= sum(len(image["truth"]) for image in images)
    assert [message for message in messages if not message.startswith("Callbacks: ")] == []


def test_classes_are_stored_and_shown(train, tmp_path, messages):
    model = YOLO(TINY_CLASSIFY)
    attach(model, [], report=True, strict=True)
    folder = train(model, data=str(digits.classification(tmp_path / "data", train=4, val=4)), epochs=2)
    stored = json.loads((folder / "callbacks.images.json").read_text())
    assert len(stored["images"]) == 12
    page = (folder / "report.html").read_text()
    for image in stored["images"]:
        label, predicted, confidence = image["classified"]
        names = stored["names"]
        assert names[str(label)] == image["path"].split("/")[-2]
        assert f"label {names[str(label)]}, predicted {names[str(predicted)]} {confidence:.2f}" in page
    assert [message for message in messages if not message.startswith("Callbacks: ")] == []
