"""Validation images with boxes, taken from validations that run anyway; and what they must not cost."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import cv2
import digits
import numpy as np
import pytest
import ultralytics
from trainings import FAST, TINY, TINY_CLASSIFY, TINY_OBB, TINY_POSE, TINY_SEGMENT, as_task, results_csv
from ultralytics import YOLO
from ultralytics.models.yolo.detect import DetectionValidator
from ultralytics.nn.tasks import BaseModel

from yolo_callbacks.trainer import validation_images as images
from yolo_callbacks.trainer.validation_images import AnnotatedImage, Box, ImageCapture

pytestmark = pytest.mark.training

ULTRALYTICS = tuple(int(part) for part in ultralytics.__version__.split(".")[:3])
SIZES = [(45, 20), (20, 45), (64, 40), (31, 32), (90, 33), (50, 50)]  # width, height


def write_shapes(folder: Path, *, polygons: bool = False) -> Path:
    """Six images of as many shapes for training and validation alike; the last one shows nothing."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for number, (width, height) in enumerate(SIZES):
            image = rng.integers(0, 60, (height, width, 3), dtype=np.uint8)
            lines = []
            for label in range(0 if number == len(SIZES) - 1 else 2):
                left, top = 0.05 + 0.45 * label, 0.1 + 0.3 * label
                right, bottom = left + 0.4, top + 0.5
                corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
                cv2.fillPoly(image, [np.int32([(x * width, y * height) for x, y in corners])], (255, 255, 255))
                centre = ((left + right) / 2, (top + bottom) / 2, 0.4, 0.5)
                values = [value for corner in corners for value in corner] if polygons else centre
                lines.append(" ".join(map(str, (label, *values))))
            cv2.imwrite(str(folder / "images" / split / f"{number}.png"), image)
            (folder / "labels" / split / f"{number}.txt").write_text("\n".join(lines))
    (folder / "data.yaml").write_text("train: images/train\nval: images/val\nnames: {0: a, 1: b}\n")
    return folder / "data.yaml"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("shapes"))


@pytest.fixture
def validate(scenes: Path, tmp_path: Path) -> Callable[..., Any]:
    """Validate an untrained model without a training."""

    def run(model: YOLO, **overrides: Any) -> Any:
        known = {key: FAST[key] for key in ("imgsz", "batch", "workers", "device", "plots", "verbose")}
        # untrained it is sure of nothing; without `conf` there would be no prediction
        return model.val(
            **{**known, "conf": 1e-7, "data": str(scenes), "project": str(tmp_path), "name": "val", **overrides}
        )

    return run


def listened(capture: ImageCapture, name: str = TINY) -> tuple[YOLO, list[list[AnnotatedImage]]]:
    """A model to which the capture listens, and what each of its validations will have given."""
    model, taken = YOLO(name), list[list[AnnotatedImage]]()
    model.add_callback("on_val_start", capture.listen)
    model.add_callback("on_val_end", lambda validator: taken.append(capture.take()))
    return model, taken


def labels(image: Path) -> list[list[float]]:
    """Class, left, top, right and bottom of the boxes in the label file of an image."""
    text = (image.parents[2] / "labels" / image.parent.name / f"{image.stem}.txt").read_text()
    rows = [[float(value) for value in line.split()] for line in text.splitlines()]
    return [[label, x - w / 2, y - h / 2, x + w / 2, y + h / 2] for label, x, y, w, h in rows]


def numbers(boxes: tuple[Box, ...]) -> list[list[float]]:
    return [[box.label, box.left, box.top, box.right, box.bottom] for box in boxes]


def centre(box: Box) -> tuple[float, ...]:
    return (box.left + box.right) / 2, (box.top + box.bottom) / 2, box.right - box.left, box.bottom - box.top


def check_truth(image: AnnotatedImage) -> None:
    found, expected = sorted(numbers(image.truth)), sorted(labels(image.path))
    assert np.array(found).shape == np.array(expected).shape
    assert np.allclose(found, expected, atol=1e-5)
    assert all(box.confidence is None for box in image.truth)


def check_predictions(image: AnnotatedImage, most: int) -> None:
    edges = np.array(numbers(image.predictions))[:, 1:]
    assert 0 < len(edges) <= most
    assert edges.min() >= 0
    assert edges.max() <= 1
    assert (edges[:, :2] <= edges[:, 2:]).all()
    confidences = [box.confidence for box in image.predictions]
    assert confidences == sorted(confidences, reverse=True)
    assert all(type(value) is float for box in image.predictions for value in (box.left, box.confidence))


def test_the_same_images_each_epoch_and_in_the_final_evaluation(train, shapes):
    capture = ImageCapture(5, max_boxes=7, min_confidence=0.0)
    model, taken = listened(capture, "yolo11n.yaml")
    copies, finals, files = [], [], []

    def look(validator: Any) -> None:
        finals.append(not validator.training)
        files.append([Path(file) for file in validator.dataloader.dataset.im_files])
        copies.extend((cloudpickle.loads(cloudpickle.dumps(capture)), copy.deepcopy(capture)))

    model.add_callback("on_val_start", look)
    train(model, data=str(shapes), epochs=2, batch=2)  # validated in two batches, rectangular and sorted by shape
    assert finals == [False, False, True]
    assert [[image.path for image in some] for some in taken] == [files[0][:5]] * 3
    for image in [image for some in taken for image in some]:
        assert image.size == SIZES[int(image.path.stem)]
        check_truth(image)
        check_predictions(image, 7)
    assert taken[0][0].predictions != taken[1][0].predictions
    assert capture.take() == []
    capture.forget()
    for item in (*copies, capture):
        assert item.take() == []
        assert len(cloudpickle.dumps(item)) < 500


def test_predictions_are_those_that_ultralytics_writes(validate, scenes, shapes, tmp_path):
    sets = {"square": scenes}
    if ULTRALYTICS >= (8, 4, 139):  # up to 8.4.104 at least its own scaling takes one gain for both axes
        sets["any"] = shapes
    for name, data in sets.items():
        capture = ImageCapture(10, max_boxes=1000, min_confidence=0.0)
        model, taken = listened(capture)
        validate(model, data=str(data), save_txt=True, save_conf=True, name=name)
        assert len(taken[0]) == (4 if name == "square" else 6)
        for image in taken[0]:
            lines = (tmp_path / name / "labels" / f"{image.path.stem}.txt").read_text().splitlines()
            written = np.array([[float(value) for value in line.split()] for line in lines])
            found = np.array([[box.label, *centre(box), box.confidence] for box in image.predictions])
            assert len(found) > 10
            assert np.allclose(found, written, atol=3e-6)


def test_the_first_images_of_four_and_only_confident_boxes(validate, scenes):
    everything, model = ImageCapture(3, min_confidence=0.0), YOLO(TINY)
    few = ImageCapture(3, min_confidence=1.0)
    model.add_callback("on_val_start", everything.listen)
    model.add_callback("on_val_start", few.listen)  # two on one validator
    validate(model, batch=1)
    both = list(zip(everything.take(), few.take(), strict=True))
    assert [image.path.name for image, _ in both] == ["000.png", "001.png", "002.png"]
    for image, bare in both:
        check_truth(image)
        check_predictions(image, 100)
        assert bare == AnnotatedImage(image.path, image.size, image.truth, ())


def test_no_forward_pass_and_the_same_metrics(train, monkeypatch):
    calls = []
    forward = BaseModel.forward
    monkeypatch.setattr(
        BaseModel, "forward", lambda self, *args, **named: calls.append(1) or forward(self, *args, **named)
    )
    costs, rows = [], []
    for capture in (None, ImageCapture(4, min_confidence=0.0)):
        calls.clear()
        model, taken = listened(capture) if capture else (YOLO(TINY), [])
        folder = train(model, epochs=2)
        costs.append(len(calls))
        rows.append([{key: value for key, value in row.items() if key != "time"} for row in results_csv(folder)])
    assert [len(some) for some in taken] == [4, 4, 4]
    assert costs[0] == costs[1] > 0
    assert np.array_equal(*([list(row.values()) for row in some] for some in rows), equal_nan=True)


def test_single_class_and_only_in_the_epochs_that_are_asked_for(train, messages):
    capture = ImageCapture(4, min_confidence=0.0)
    model, taken = listened(capture)
    model.add_callback("on_train_epoch_start", lambda trainer: setattr(capture, "active", trainer.epoch == 1))
    train(model, epochs=2, single_cls=True)
    assert [len(some) for some in taken] == [0, 4, 4]
    assert {box.label for image in taken[1] for box in (*image.truth, *image.predictions)} == {0}
    assert messages == []


def test_an_error_of_the_capture_is_logged_once_and_training_goes_on(train, messages, monkeypatch):
    def broken(*_: Any) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(images.ImageCapture, "_annotated", broken)
    capture = ImageCapture(4)
    model, taken = listened(capture)
    folder = train(model, epochs=2)
    assert len(results_csv(folder)) == 2
    assert taken == [[], [], []]
    assert len(messages) == 1
    assert messages[0].startswith("Validation images could not be collected, training goes on without them")
    assert "RuntimeError: ours" in messages[0]


def test_their_error_propagates(validate, messages, monkeypatch):
    def broken(*_: Any) -> None:
        raise RuntimeError("theirs")

    monkeypatch.setattr(DetectionValidator, "update_metrics", broken)
    capture = ImageCapture(4)
    model, _ = listened(capture)
    with pytest.raises(RuntimeError, match="theirs"):
        validate(model)
    assert messages == []
    assert len(cloudpickle.dumps(capture)) < 500


@pytest.mark.parametrize("task", ["segment", "pose", pytest.param("obb", marks=pytest.mark.slow)])
def test_boxes_of_other_tasks(validate, tmp_path, messages, task):
    """The polygons, poses and rotated boxes are upright boxes: so are the boxes around them."""
    name = {"segment": TINY_SEGMENT, "pose": TINY_POSE, "obb": "yolo11n-obb.yaml"}[task]
    plain = digits.detection(tmp_path / "detect", train=2, val=2, size=64)
    data = as_task(plain, tmp_path / task, "segment" if task == "obb" else task)
    model, taken = listened(ImageCapture(2, min_confidence=0.0), name)
    validate(model, data=str(data), imgsz=64)
    assert messages == []
    assert len(taken[0]) == 2
    for image in taken[0]:
        beside = plain.parent / image.path.relative_to(data.parent)
        assert np.allclose(sorted(numbers(image.truth)), sorted(labels(beside)), atol=0.02)
        if task != "obb":  # an untrained model of rotated boxes predicts none
            check_predictions(image, 100)


@pytest.fixture
def captured(validate, tmp_path, messages) -> Callable[..., list[AnnotatedImage]]:
    """Capture two images of a validation of a task, whose labels are made of upright boxes."""

    def run(task: str, *, overlap_mask: bool = True, **capture: Any) -> list[AnnotatedImage]:
        plain = digits.detection(tmp_path / "detect", train=2, val=2, size=64)
        data = as_task(plain, tmp_path / task, "segment" if task == "obb" else task)
        name = {"segment": TINY_SEGMENT, "pose": TINY_POSE, "obb": TINY_OBB}[task]
        model, taken = listened(ImageCapture(2, **{"min_confidence": 0.0, **capture}), name)
        validate(model, data=str(data), imgsz=64, overlap_mask=overlap_mask)
        assert messages == []
        assert len(taken[0]) == 2
        return taken[0]

    return run


@pytest.mark.parametrize("overlap_mask", [True, False])
def test_the_masks_of_labels_and_predictions(captured, overlap_mask):
    for image in captured("segment", overlap_mask=overlap_mask, max_masks=3):
        completed = image.complete()
        assert completed.masks is None
        assert [bool(box.mask) for box in completed.truth] == [True] * 3 + [False] * (len(completed.truth) - 3)
        assert all(not box.mask for box in completed.predictions[3:])
        for box in completed.truth[:3]:  # the polygon is the box, in pixels of 4
            points = np.array([point for line in box.mask for point in line])
            edges = *points.min(axis=0), *points.max(axis=0)
            assert np.allclose(edges, (box.left, box.top, box.right, box.bottom), atol=0.06)


def test_the_keypoints_of_labels_and_predictions(captured):
    for image in captured("pose"):
        for box in image.truth:  # the keypoint is the centre
            ((x, y),) = box.points
            assert np.allclose((x, y), centre(box)[:2], atol=0.02)
        assert {len(box.points) for box in image.predictions} <= {0, 1}


@pytest.mark.parametrize("task", ["segment", "pose", "obb"])
def test_an_image_without_any_prediction(captured, task):
    images = captured(task, min_confidence=1.0)
    assert [image.complete().predictions for image in images] == [(), ()]
    assert all(image.truth for image in images)


def test_the_corners_of_rotated_boxes(captured):
    for image in captured("obb"):
        for box in (*image.truth, *image.predictions):
            x, y = np.array(box.corners).T
            if min(*x, *y) > 0 and max(*x, *y) < 1:  # the whole box is in the image
                assert np.allclose((x.min(), y.min(), x.max(), y.max()), (box.left, box.top, box.right, box.bottom))
        assert all(len(box.corners) == 4 for box in image.truth)


def test_a_classification_has_the_same_images_of_all_classes_with_their_classes(train, tmp_path, messages):
    data = digits.classification(tmp_path / "data", train=2, val=4)
    model, taken = listened(ImageCapture(5), TINY_CLASSIFY)
    names = {}
    model.add_callback("on_val_end", lambda validator: names.update(validator.names))
    train(model, data=str(data), epochs=2)
    assert messages == []
    assert [[image.path for image in some] for some in taken] == [[image.path for image in taken[0]]] * 3
    assert len(taken[0]) == 5
    assert len({image.path.parent.name for image in taken[0]}) >= 3
    for image in [image for some in taken for image in some]:
        assert names[image.classified.label] == image.path.parent.name
        assert image.classified.predicted in names
        assert 1 / len(names) <= image.classified.confidence <= 1
        assert (image.size, image.complete().size) == ((0, 0), cv2.imread(str(image.path)).shape[1::-1])
    own = model.predict(taken[2][0].path, imgsz=FAST["imgsz"], verbose=False)[0].probs
    assert (own.top1, float(own.top1conf)) == (
        taken[2][0].classified.predicted,
        pytest.approx(taken[2][0].classified.confidence, abs=0.02),
    )


def test_a_loader_of_classes_that_is_read_in_another_order_is_logged_once(validate, tmp_path, messages, monkeypatch):
    monkeypatch.setattr("yolo_callbacks.trainer.loader_order.passes", lambda loader: iter([[0] * 100] * 9))
    model, taken = listened(ImageCapture(4), TINY_CLASSIFY)
    validate(model, data=str(digits.classification(tmp_path / "data", train=2, val=2)))
    assert taken == [[]]
    assert len(messages) == 1
    assert "the loader reads the images in an order that is not known" in messages[0]
