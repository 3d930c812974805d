"""The methods of a validator that the tap replaces: for whom, how often, and what is left of it afterwards."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trainings import TINY, results_csv
from ultralytics import YOLO
from ultralytics.models.yolo.detect import DetectionValidator

from yolo_callbacks import FailingImages, JsonlLogger, SaveBest, attach
from yolo_callbacks.trainer import validated_image
from yolo_callbacks.trainer.image_results import ImageResults
from yolo_callbacks.trainer.validation_images import AnnotatedImage, Box, ImageCapture
from yolo_callbacks.trainer.validation_tap import ValidationTap

REPLACED = {"update_metrics", "_process_batch", "match_predictions", "gather_stats", "_yolo_callbacks_tap"}


class Validator:
    """As much of a validator of detection as the tap knows."""

    def __init__(self, files: Any = ("a.png",), task: str = "detect") -> None:
        self.args = SimpleNamespace(task=task)
        self.dataloader = SimpleNamespace(dataset=SimpleNamespace(im_files=files))
        self.calls: list[Any] = []

    def _process_batch(self, preds: Any, batch: Any) -> str:
        self.calls.append((preds, batch))
        if isinstance(preds, dict):
            self.match_predictions(preds["cls"], batch["cls"], iou=torch.ones(len(batch["cls"]), len(preds["cls"])))
        return "result"

    def match_predictions(self, pred_classes: Any, true_classes: Any, iou: Any) -> None:
        self.calls.append(iou)


def image_of(file: str = "a.png") -> tuple[dict[str, Any], dict[str, Any]]:
    """The predictions and labels of an image of 48x32 pixels, resized to 24x16 between margins of 4."""
    edges = [[8, 4, 16, 8], [0, 0, 32, 16], [8, 4, 99, 8], [8, 4, 16, 8], [8, 4, 16, float("nan")]]
    preds = {
        "bboxes": torch.tensor(edges).half(),
        "conf": torch.tensor([0.25, 0.5, 0.75, 0.0625, 0.75]).half(),
        "cls": torch.arange(1.0, 6.0),
    }
    batch = {
        "im_file": file,
        "imgsz": (16, 32),
        "cls": torch.tensor([6.0]),
        "bboxes": torch.tensor([[8.0, 4.0, 24.0, 12.0]]),
        "ori_shape": (32, 48),
        "ratio_pad": ((0.5, 0.5), (4, 0)),
    }
    return preds, batch


def test_read_in_half_precision_and_without_what_is_not_finite(messages):
    validator, capture = Validator(["a.png"]), ImageCapture(4, min_confidence=0.1, max_boxes=2)
    capture.listen(validator)
    with torch.inference_mode():
        validator._process_batch(*image_of("b.png"))
        validator._process_batch(*image_of("a.png"))
    (image,) = capture.take()
    truth = Box(4 / 24, 0.25, 20 / 24, 0.75, label=6)
    predictions = (Box(4 / 24, 0.25, 1.0, 0.5, 3, 0.75), Box(0.0, 0.0, 1.0, 1.0, 2, 0.5))
    assert image == AnnotatedImage(image.path, (48, 32), (truth,), predictions)
    assert messages == []


def test_several_listeners_read_one_image_once(messages, monkeypatch):
    copies = []
    to_cpu = validated_image.to_cpu
    monkeypatch.setattr(validated_image, "to_cpu", lambda *columns: copies.append(len(columns)) or to_cpu(*columns))
    validator, capture = Validator(), ImageCapture(4)
    results = [ImageResults(lambda image: image.confidences.tolist()) for _ in range(2)]
    for listener in (capture, *results):
        listener.listen(validator)
    assert validator._process_batch(*image_of()) == "result"
    assert len(copies) == 2  # the predictions and the labels
    assert [each.found for each in results] == [{"a.png": [0.75, 0.75, 0.5, 0.25, 0.0625]}] * 2
    assert (len(capture.take()), messages) == (1, [])


def test_nothing_is_read_for_nobody(messages):
    validator, capture, results = Validator(), ImageCapture(4), ImageResults(lambda image: image)
    capture.active = False
    capture.listen(validator)
    results.listen(validator, collect=False)
    preds, batch = object(), object()  # neither can be looked into
    assert validator._process_batch(preds, batch=batch) == "result"
    assert validator.calls == [(preds, batch)]
    assert (capture.take(), results.found, messages) == ([], {}, [])


def test_similarities_are_kept_only_for_those_who_compare():
    validator = Validator()
    ImageCapture(4).listen(validator)
    assert "match_predictions" not in vars(validator)
    ImageResults(lambda image: image).listen(validator)
    assert "match_predictions" in vars(validator)


def test_replaced_once_and_restored():
    validator, capture, other = Validator(), ImageCapture(4), ImageCapture(4)
    capture.active = other.active = False
    capture.listen(validator)
    replaced = validator._process_batch
    capture.listen(validator)
    other.listen(validator)
    assert validator._process_batch is replaced
    capture.forget()
    validator._process_batch(1, 2)
    assert validator._process_batch is replaced
    other.forget()
    assert not REPLACED & vars(validator).keys()
    validator._process_batch(3, 4)
    assert validator.calls == [(1, 2), (3, 4)]

    alone = Validator()
    capture.listen(alone)
    capture.listen(validator)  # the next run, without a word at the end of the last
    assert not REPLACED & vars(alone).keys()
    capture.forget()
    gone = weakref.ref(alone)
    del alone
    gc.collect()
    assert gone() is None


def test_a_method_that_other_code_has_wrapped_since_works_on(messages):
    validator, capture = Validator(), ImageCapture(4)
    capture.listen(validator)
    of_tap = validator._process_batch

    def wrapped(*arguments: Any) -> Any:
        return of_tap(*arguments)

    validator._process_batch = wrapped
    capture.forget()
    assert validator._process_batch(1, 2) == "result"
    again = ImageCapture(4)
    again.listen(validator)
    validator._process_batch(*image_of())
    assert (len(again.take()), messages) == (1, [])


def test_a_data_set_without_files_is_logged_once(messages):
    validator, capture = Validator(files=None), ImageCapture(4)
    capture.listen(validator)
    capture.listen(validator)
    assert validator._process_batch(1, {}) == "result"
    assert (capture.take(), len(messages)) == ([], 1)
    another = Validator()
    capture.listen(another)  # another run, another chance
    assert not REPLACED & vars(validator).keys()
    another._process_batch(object(), {"im_file": "a.png"})
    assert len(messages) == 2


@pytest.mark.parametrize("listener", [ImageCapture(4), ImageResults(lambda image: image)])
def test_a_validator_whose_method_takes_something_else(listener, messages):
    class Other(Validator):
        def _process_batch(self, everything: Any, *, more: int = 0) -> int:
            return more

    validator = Other()
    listener.listen(validator)
    assert validator._process_batch(everything=1, more=2) == 2
    assert validator._process_batch(1, more=3) == 3
    assert len(messages) == 1


def test_no_image_replaces_nothing():
    validator = Validator()
    ImageCapture(0).listen(validator)
    assert not REPLACED & vars(validator).keys()


@pytest.mark.training
def test_one_tap_serves_every_callback_of_a_training(train, monkeypatch):
    made, compared = [], []
    of, process = ValidationTap.of, DetectionValidator._process_batch
    monkeypatch.setattr(ValidationTap, "of", lambda validator: made.append(tap := of(validator)) or tap)
    monkeypatch.setattr(
        DetectionValidator, "_process_batch", lambda *arguments: compared.append(1) or process(*arguments)
    )
    copied = []
    to_cpu = validated_image.to_cpu
    monkeypatch.setattr(validated_image, "to_cpu", lambda *columns: copied.append(1) or to_cpu(*columns))
    model = YOLO(TINY)
    attach(model, FailingImages(), JsonlLogger(), SaveBest("mAP50/small", skip_untrained=False), report=True)
    folder = train(model, epochs=2)
    assert len(results_csv(folder)) == 2
    assert len({id(tap) for tap in made}) == 1 < len(made)
    assert len(copied) == 2 * len(compared)  # of each image, the predictions and the labels
    assert not REPLACED & vars(model.trainer.validator).keys()
