"""Real validations of tiny models: the predictions and labels of each image, for every task."""

import numpy as np
import pytest
import torch
from scripted_predictions import predict_from_labels
from trainings import TINY, TINY_OBB, TINY_POSE, TINY_SEGMENT, as_task
from ultralytics import YOLO
from ultralytics.utils.metrics import batch_probiou, box_iou, kpt_iou, mask_iou

from yolo_callbacks.trainer.image_results import ImageResults

pytestmark = pytest.mark.training
MODELS = {"detect": TINY, "segment": TINY_SEGMENT, "pose": TINY_POSE, "obb": TINY_OBB}


def similarity_of(task, truth, preds):
    """The similarity that the task compares by, of labels and predictions as the validator prepares them."""
    if task == "segment":
        return mask_iou(truth["masks"].flatten(1), preds["masks"].flatten(1).float())
    if task == "pose":
        sides = truth["bboxes"][:, 2:] - truth["bboxes"][:, :2]
        return kpt_iou(truth["keypoints"], preds["keypoints"], sigma=[1.0], area=sides.prod(1) * 0.53)
    compare = batch_probiou if task == "obb" else box_iou
    return compare(truth["bboxes"], preds["bboxes"])


@pytest.fixture
def predicted(monkeypatch):
    """The labels, and the predictions that are made of them, by validation and file."""
    random = torch.Generator().manual_seed(0)

    def make(truth):
        boxes = truth["bboxes"] + 4 * (torch.rand(truth["bboxes"].shape, generator=random) - 0.5)
        made = {"bboxes": boxes, "cls": truth["cls"].clone(), "conf": torch.rand(len(boxes), generator=random)}
        if "masks" in truth:
            made["masks"] = truth["masks"].roll(1, dims=2)
        if "keypoints" in truth:
            made["keypoints"] = truth["keypoints"] + torch.rand(truth["keypoints"].shape, generator=random)
        return made

    return predict_from_labels(monkeypatch, make)


@pytest.mark.parametrize("task", MODELS)
def test_images_of_every_task(task, train, scenes, predicted, tmp_path):
    data = scenes if task == "detect" else as_task(scenes, tmp_path / task, "segment" if task == "obb" else task)
    results, found = ImageResults(lambda image: image), []
    model = YOLO(MODELS[task])
    model.add_callback("on_val_start", results.listen)
    model.add_callback("on_val_end", lambda validator: found.append(dict(results.found)))
    train(model, epochs=1, data=str(data))
    assert len(found) == len(predicted) == 2  # the epoch and the final evaluation
    for images, expected in zip(found, predicted, strict=True):
        assert sorted(images) == sorted(f"images/val/{file.rpartition('/')[2]}" for file in expected)
        for file, (truth, preds) in expected.items():
            image = images[f"images/val/{file.rpartition('/')[2]}"]
            order = np.argsort(-preds["conf"].numpy(), kind="stable")
            assert image.labels.tolist() == truth["cls"].int().tolist()
            assert image.classes.tolist() == preds["cls"].int().numpy()[order].tolist()
            assert image.confidences == pytest.approx(preds["conf"].numpy()[order])
            assert image.similarity == pytest.approx(similarity_of(task, truth, preds).numpy()[:, order], abs=1e-5)
            assert image.similarity.max() > 0.3
            assert image.boxes.shape == image.label_boxes.shape == (len(order), 4)
            assert ((image.boxes >= 0) & (image.boxes <= 1)).all()


def test_a_failure_is_logged_once_and_training_goes_on(train, messages):
    results, calls = ImageResults(lambda image: calls.append(image) or 1 / 0), []
    model = YOLO(TINY)
    model.add_callback("on_val_start", results.listen)
    train(model, epochs=2)
    assert len(calls) == 1
    assert [message for message in messages if "could not be compared" in message][1:] == []
    assert results.found == {}


def test_the_metrics_are_those_without_it(train):
    metrics = []
    for name in ("without", "with"):
        model = YOLO(TINY)
        if name == "with":
            model.add_callback("on_val_start", ImageResults(lambda image: None).listen)
        train(model, epochs=2, name=name)
        metrics.append(model.trainer.metrics)
    assert metrics[0] == metrics[1]
