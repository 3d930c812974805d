"""A training on real photographs: the counts of `FailingImages` beside those of pycocotools."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from trainings import FAST
from ultralytics import YOLO
from ultralytics.models.yolo.detect import DetectionValidator

from yolo_callbacks import FailingImages, attach

pytestmark = pytest.mark.training

TREES = Path(__file__).parents[2] / "datasets" / "trees" / "data.yaml"


def by_pycocotools(truth, preds, confidence):
    """TP, FP and FN of one image at an IoU of 0.5, of the predictions from a confidence on."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def boxes(found, **more):
        rows = []
        for position, (box, label) in enumerate(zip(found["bboxes"], found["cls"], strict=True)):
            left, top, right, bottom = map(float, box)
            sides = right - left, bottom - top
            given = {name: float(values[position]) for name, values in more.items()}
            rows.append({"id": position + 1, "image_id": 1, "category_id": int(label) + 1, "iscrowd": 0, **given})
            rows[-1] |= {"bbox": [left, top, *sides], "area": sides[0] * sides[1]}
        return rows

    sure = preds["conf"] >= confidence
    chosen = {name: preds[name][sure] for name in ("bboxes", "cls", "conf")}
    categories = [{"id": label + 1, "name": str(label)} for label in range(2)]
    of_truth, of_preds = COCO(), COCO()
    for made, rows in ((of_truth, boxes(truth)), (of_preds, boxes(chosen, score=chosen["conf"]))):
        made.dataset = {"images": [{"id": 1}], "categories": categories, "annotations": rows}
        made.createIndex()
    evaluation = COCOeval(of_truth, of_preds, "bbox")
    evaluation.params.iouThrs, evaluation.params.maxDets = np.array([0.5]), [300]
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.evaluate()
    matched = predicted = objects = 0
    for each in filter(None, evaluation.evalImgs):
        matched += int((each["dtMatches"][0] > 0).sum())
        predicted += len(each["dtIds"])
        objects += len(each["gtIds"])
    return matched, predicted - matched, objects - matched


def test_the_counts_of_each_photograph_are_those_of_pycocotools(tmp_path, monkeypatch):
    seen = {}
    process = DetectionValidator._process_batch

    def recorded(self, preds, batch):
        seen[Path(batch["im_file"]).name] = (
            {name: batch[name].cpu().numpy().copy() for name in ("bboxes", "cls")},
            {name: preds[name].cpu().float().numpy().copy() for name in ("bboxes", "cls", "conf")},
        )
        return process(self, preds, batch)

    monkeypatch.setattr(DetectionValidator, "_process_batch", recorded)
    model = YOLO("yolo11n.yaml")
    attach(model, FailingImages(), strict=True)
    arguments = {**FAST, "imgsz": 160, "batch": 4, "nbs": 4, "close_mosaic": 0}
    model.train(**arguments, data=str(TREES), epochs=30, project=str(tmp_path), name="run")
    line = json.loads((tmp_path / "run" / "failures.jsonl").read_text().splitlines()[-1])
    assert line["final"] is True
    assert line["images"].keys() == {f"images/val/{name}" for name in seen}
    differing = {}
    for name, (truth, preds) in seen.items():
        image = line["images"][f"images/val/{name}"]
        counts = tuple(image[key] for key in ("tp", "fp", "fn"))
        if counts != (expected := by_pycocotools(truth, preds, line["confidence"])):
            differing[name] = (counts, expected)
    assert sum(image["tp"] for image in line["images"].values()) > 20
    assert not differing
