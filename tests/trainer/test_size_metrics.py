"""mAP by the size of objects, beside pycocotools on the same predictions, and in real trainings."""

import numpy as np
import pytest
import torch
from scripted_predictions import predict_from_labels
from trainings import TINY, results_csv
from ultralytics import YOLO
from ultralytics.utils.metrics import box_iou

from yolo_callbacks import EarlyStopping, JsonlLogger, SaveBest, attach
from yolo_callbacks.metrics.sources import SIZES
from yolo_callbacks.trainer.image_results import ImageResult
from yolo_callbacks.trainer.installation import installed_version
from yolo_callbacks.trainer.size_metrics import SizeMetrics, _rows

pytestmark = pytest.mark.training
WIDTH, HEIGHT = 400, 300


def made(seed, images=40):
    """Images with objects of every size, and predictions of them with errors of each kind."""
    random, found = np.random.default_rng(seed), []
    for number in range(images):
        sides = random.choice([10, 25, 50, 80, 120, 180], (random.integers(1, 6), 2))
        corner = random.random((len(sides), 2)) * (WIDTH, HEIGHT) * 0.4
        truth = np.concatenate([corner, corner + sides], axis=1)
        labels = random.integers(0, 2, len(truth))
        copies = random.integers(0, 3, len(truth))
        boxes = truth.repeat(copies, axis=0) + random.normal(0, 3, (copies.sum(), 4))
        classes = np.where(random.random(len(boxes)) < 0.15, 1, labels.repeat(copies))
        stray = random.random((2, 2)) * 150
        boxes = np.concatenate([boxes, np.concatenate([stray, stray + random.choice([15, 60, 110], (2, 2))], axis=1)])
        classes = np.concatenate([classes, random.integers(0, 2, 2)])
        confidences = np.sort(random.random(len(boxes)))[::-1].copy()
        iou = box_iou(torch.as_tensor(truth), torch.as_tensor(boxes)).numpy()
        scale = np.array([WIDTH, HEIGHT] * 2)
        found.append(
            ImageResult(
                f"{number}.png", (WIDTH, HEIGHT), labels, classes, confidences, iou, iou, boxes / scale, truth / scale
            )
        )
    return found


def by_pycocotools(images):
    """AP of small, medium and large objects."""

    def as_coco(boxes):
        boxes = boxes * np.array([WIDTH, HEIGHT] * 2)
        return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()

    truth, predictions = [], []
    for number, image in enumerate(images):
        for box, label in zip(as_coco(image.label_boxes), image.labels.tolist(), strict=True):
            entry = {"id": len(truth) + 1, "image_id": number, "category_id": label, "bbox": box, "iscrowd": 0}
            truth.append({**entry, "area": box[2] * box[3]})
        rows = zip(as_coco(image.boxes), image.classes.tolist(), image.confidences.tolist(), strict=True)
        for box, label, score in rows:
            predictions.append({"image_id": number, "category_id": label, "bbox": box, "score": score})
    from pycocotools.coco import COCO  # not on every machine with a GPU
    from pycocotools.cocoeval import COCOeval

    coco = COCO()
    coco.dataset = {
        "images": [{"id": number} for number in range(len(images))],
        "annotations": truth,
        "categories": [{"id": 0}, {"id": 1}],
    }
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(predictions), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return dict(zip(SIZES, evaluation.stats[3:6], strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_the_values_are_those_of_pycocotools(seed):
    images, metrics = made(seed), SizeMetrics()
    metrics._results.found = {image.path: _rows(image) for image in images}
    found = metrics.values()["mAP50-95(B)"]
    # Ultralytics integrates the curve of precision over recall, COCO averages 101 points of it
    # before 8.4, Ultralytics also integrates from the last recall to 1, where nothing was found
    assert found == pytest.approx(by_pycocotools(images), abs=0.02 if installed_version() >= (8, 4) else 0.12)
    assert all(0 < value < 1 for value in found.values())


def test_a_size_without_objects_has_no_value():
    images = [image for image in made(0) if image.size]
    small = [
        ImageResult(**{**vars(image), "size": (20, 20)})  # so that everything is small
        for image in images
    ]
    metrics = SizeMetrics()
    metrics._results.found = {image.path: _rows(image) for image in small}
    assert [list(values) for values in metrics.values().values()] == [["small"], ["small"]]
    assert SizeMetrics().values() == {}


def test_a_monitor_of_a_size(train, scripted_detections):
    model = YOLO(TINY)
    saved, stopping = SaveBest("mAP50/small", guard={"mAP50-95/small": 0.5}), EarlyStopping("mAP50/large", patience=1)
    attach(model, saved, stopping, JsonlLogger())
    folder = train(model, epochs=2)
    assert saved.best_score == pytest.approx(1.0, abs=0.01)
    assert "by_size/small/mAP50" in (folder / "callbacks.jsonl").read_text()
    assert "no object" in stopping.outcome() or "no check" in stopping.outcome()
    assert len(results_csv(folder)) == 2


def test_without_such_a_monitor_nothing_is_measured(train, monkeypatch):
    monkeypatch.setattr(SizeMetrics, "listen", lambda *_: 1 / 0)
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"), JsonlLogger(), strict=True)
    folder = train(model, epochs=1)
    assert "by_size" not in (folder / "callbacks.jsonl").read_text()


@pytest.mark.parametrize("name", ["mAP50/tiny", "precision/small", "mAP50(M)/small"])
def test_what_has_no_sizes(train, name):
    model = YOLO(TINY)
    attach(model, EarlyStopping(name))
    with pytest.raises(ValueError, match="monitor"):
        train(model, epochs=1)


@pytest.fixture
def scripted_detections(monkeypatch):
    """Predict every object."""

    def make(truth):
        boxes, classes = truth["bboxes"].clone(), truth["cls"].clone()
        return {"bboxes": boxes, "cls": classes, "conf": torch.full((len(classes),), 0.9)}

    predict_from_labels(monkeypatch, make)
