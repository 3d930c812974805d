"""Real trainings with `FailingImages`: its counts beside an independent count, its file, a resume."""

import json
from pathlib import Path

import digits
import pytest
import torch
from scripted_predictions import predict_from_labels
from trainings import FAST, TINY, TINY_CLASSIFY, interrupted
from ultralytics import YOLO
from ultralytics.models.yolo.detect import DetectionTrainer, DetectionValidator
from ultralytics.utils.metrics import box_iou

from yolo_callbacks import EarlyStopping, FailingImages, SaveBest, attach
from yolo_callbacks.callbacks import failing_images
from yolo_callbacks.decisions.matching import Counts

pytestmark = pytest.mark.training
COUNTS = ("tp", "fp", "fn")


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "failures.jsonl").read_text().splitlines()]


def by_hand(boxes, classes, confidences, true_boxes, true_classes, confidence):
    """Count in plain loops, in the order of confidence."""
    chosen = sorted((i for i in range(len(classes)) if confidences[i] >= confidence), key=lambda i: -confidences[i])
    iou = box_iou(torch.as_tensor(true_boxes), torch.as_tensor(boxes)).numpy()
    taken: set[int] = set()
    for i in chosen:
        rows = [row for row in range(len(true_classes)) if row not in taken and true_classes[row] == classes[i]]
        rows = [row for row in rows if iou[row, i] >= 0.5]
        if rows:
            taken.add(max(rows, key=lambda row: iou[row, i]))
    return len(taken), len(chosen) - len(taken), len(true_classes) - len(taken)


@pytest.fixture
def detections(monkeypatch):
    """The labels, and the predictions that are made of them with errors of each kind, by validation and file."""
    random = torch.Generator().manual_seed(0)

    def noise(*shape):
        return torch.rand(*shape, generator=random)

    def make(truth):
        boxes, classes = truth["bboxes"].repeat(3, 1), truth["cls"].repeat(3)
        boxes = boxes + 6 * (noise(len(boxes), 4) - 0.5)
        wrong = noise(len(classes)) < 0.4
        classes, confidences = torch.where(wrong, (classes + 1) % 3, classes), noise(len(boxes)) * (1 - 0.5 * wrong)
        return {"bboxes": boxes, "cls": classes, "conf": confidences}

    return predict_from_labels(monkeypatch, make)


def test_counts_are_those_of_an_independent_count(train, detections):
    model = YOLO(TINY)
    attach(model, FailingImages(top=2))
    written = lines(train(model, epochs=2))
    assert [line.get("epoch") for line in written] == [1, 2, None]
    for line, seen in zip(written, detections, strict=True):
        assert set(line["images"]) == {f"images/val/{Path(file).name}" for file in seen}
        assert 0 < line["confidence"] < 1
        for file, (truth, preds) in seen.items():
            counts = tuple(line["images"][f"images/val/{Path(file).name}"][key] for key in COUNTS)
            arrays = (preds["bboxes"], preds["cls"], preds["conf"], truth["bboxes"], truth["cls"])
            assert counts == by_hand(*arrays, line["confidence"])
        assert sum(image["tp"] for image in line["images"].values())
        wrong = {name: image for name, image in line["images"].items() if image["fp"] or image["fn"]}
        worst = sorted(wrong, key=lambda name: (wrong[name]["f1"], -wrong[name]["fp"] - wrong[name]["fn"], name))
        assert [image["image"] for image in line["worst"]] == worst[:2]
        assert all(len(image["wrong"]) == image["fp"] + image["fn"] for image in line["worst"])


def test_a_run_without_detections_has_no_confidence(train):
    model = YOLO(TINY)
    attach(model, FailingImages())
    for line in lines(train(model, epochs=1)):
        assert line["confidence"] is None
        assert all((image["tp"], image["fp"]) == (0, 0) and image["fn"] for image in line["images"].values())
        assert line["suspects"] == line["flips"] == []


def test_images_of_a_classification(tmp_path):
    crops = digits.classification(tmp_path / "data")
    model, failing = YOLO(TINY_CLASSIFY), FailingImages()
    attach(model, failing)
    arguments = {**FAST, "data": str(crops), "epochs": 2, "project": str(tmp_path), "name": "run"}
    model.train(**arguments)
    validated = sorted(path.relative_to(crops).as_posix() for path in (crops / "val").rglob("*.png"))
    written = lines(tmp_path / "run")
    for line in written:
        assert sorted(line["images"]) == validated
        right = sum(image["tp"] for image in line["images"].values())
        assert all(image["tp"] + image["fn"] == 1 and image["fp"] == image["fn"] for image in line["images"].values())
    top1 = json.loads((tmp_path / "run" / "callbacks.json").read_text())["published"]["failing/f1"]
    assert top1 == pytest.approx(sum(image["tp"] for image in written[1]["images"].values()) / len(validated))
    assert right == round(model.trainer.metrics["metrics/accuracy_top1"] * len(validated))


class ByEpoch:
    """A metric that is the best in epoch 2."""

    def bind(self, metric_names):
        return True

    def value(self, record):
        return {1: 0.1, 2: 0.3}.get(record.epoch, 0.2)


RIGHT, WRONG = Counts(1, 0, 0), Counts(0, 0, 1)
EPOCHS = (
    [RIGHT, RIGHT, WRONG, WRONG],
    [RIGHT, WRONG, WRONG, RIGHT],
    [WRONG, RIGHT, WRONG, RIGHT],
    [RIGHT, WRONG, WRONG, WRONG],
)


@pytest.fixture
def images(monkeypatch):
    """Replace the counts of the four images of each validation."""

    def script(epochs):
        following = iter(epochs)
        monkeypatch.setattr(
            failing_images, "_counts", lambda found, *_: dict(zip(sorted(found), next(following), strict=True))
        )

    monkeypatch.setattr(failing_images, "Monitor", ByEpoch)
    monkeypatch.setattr(failing_images, "mean_f1_confidence", lambda *_: 0.25)
    return script


@pytest.mark.parametrize("history", [True, False])
def test_a_resumed_run_goes_on_as_if_never_stopped(train, images, history):
    images([*EPOCHS, EPOCHS[3]])
    whole, killed = YOLO(TINY), YOLO(TINY)
    attach(whole, FailingImages(history=history))
    expected = lines(train(whole, epochs=4, name="whole"))
    images(EPOCHS[:2])
    attach(killed, FailingImages(history=history))
    folder = interrupted(train, killed, 2, epochs=4, name="killed")
    images([*EPOCHS[2:], EPOCHS[3]])
    resumed = YOLO(folder / "weights" / "last.pt")
    attach(resumed, FailingImages(history=history))
    resumed.train(resume=True)
    assert [without_boxes(line) for line in lines(folder)] == [without_boxes(line) for line in expected]
    if history:
        assert [line.get("flips") for line in expected[:4]] == [[], names(1), names(0), names(1, 3)]
        assert [line.get("flips_since_best") for line in expected[:4]] == [[], names(1), names(0), names(3)]
        assert expected[3]["forgotten"] == dict.fromkeys(names(1), 2) | dict.fromkeys(names(0, 3), 1)
        assert expected[3]["never_learned"] == names(2)
    else:
        assert [line.get("epoch") for line in expected] == [2, None]


def without_boxes(line):
    """A line without what the weights decide: a resumed training starts from half precision."""
    return {key: value for key, value in line.items() if key not in ("worst", "suspects")}


def names(*positions):
    return [f"images/val/{position:03d}.png" for position in positions]


def test_a_scalar_of_it_is_a_monitor(train, images):
    images([*EPOCHS, EPOCHS[3]])
    model, stopping = YOLO(TINY), EarlyStopping("failing/images", "min", patience=1)
    attach(model, FailingImages(), stopping)
    train(model, epochs=4)
    assert (stopping.best_epoch, stopping.stopped_epoch) == (1, 2)


def test_a_scalar_of_a_later_callback_is_none(train):
    model = YOLO(TINY)
    attach(model, EarlyStopping("failing/images", "min"), FailingImages())
    with pytest.raises(ValueError, match="monitor 'failing/images' does not exist in this run"):
        train(model, epochs=1)


def test_every_and_the_last_epoch(train):
    model = YOLO(TINY)
    attach(model, FailingImages(every=2))
    assert [line.get("epoch") for line in lines(train(model, epochs=3))] == [2, 3, None]


def test_the_validator_gets_its_methods_back(train):
    model = YOLO(TINY)
    attach(model, FailingImages())
    kept: list = []
    model.add_callback("on_train_end", lambda trainer: kept.append(trainer.validator))
    train(model, epochs=1)
    assert not {"match_predictions", "_process_batch", "gather_stats"} & vars(kept[0]).keys()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"top": 0}, ValueError, "top must be at least 1"),
        ({"top": "many"}, TypeError, "top must be an integer"),
        ({"iou": 1.0}, ValueError, "iou must be between 0 and 1, received 1.0"),
        ({"iou": "0.5"}, TypeError, "iou must be a number"),
        ({"every": 0}, ValueError, "every must be at least 1"),
        ({"history": 1}, TypeError, "history must be"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        FailingImages(**arguments)


def test_a_task_without_objects_has_nothing_to_compare(train, scripted):
    class OtherValidator(DetectionValidator):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            self.args.task = "depth"

    class OtherTrainer(DetectionTrainer):
        def get_validator(self):
            super().get_validator()
            self.args.task = "depth"
            return OtherValidator(self.test_loader, save_dir=self.save_dir, args=self.args, _callbacks=self.callbacks)

    scripted([0.1, 0.2])
    model, failing = YOLO(TINY), FailingImages()
    attach(model, failing, strict=True)
    folder = train(model, epochs=1, trainer=OtherTrainer)
    assert failing.outcome() == "nothing: the validation of the task 'depth' compares no objects"
    assert not (folder / "failures.jsonl").exists()


def test_all_suspects_are_counted_and_the_final_evaluation_is_judged_alone(train, detections):
    model, failing = YOLO(TINY), FailingImages(top=1)
    attach(model, failing)
    *epochs, final = lines(train(model, epochs=2))
    assert [len(line["suspects"]) for line in epochs] == [min(line["suspected"], 1) for line in epochs]
    assert max(line["suspected"] for line in epochs) > 1
    assert f"{epochs[-1]['suspected']} suspected labels" in failing.outcome()
    assert {name: image["right"] for name, image in final["images"].items()} == {
        name: image["f1"] >= 0.5 for name, image in final["images"].items()
    }


@pytest.mark.training
@pytest.mark.parametrize("above", [False, True], ids=["plain", "through the folder above"])
def test_paths_are_those_in_the_data_set_beside_a_monitor_of_sizes(train, scenes, above):
    """A monitor of sizes listens before the first validation, when the validator has no data yet."""
    model = YOLO(TINY)
    attach(model, FailingImages(), SaveBest("mAP50/small", skip_untrained=False), strict=True)
    data = scenes.parent / ".." / scenes.parent.name / scenes.name if above else scenes
    folder = train(model, epochs=1, data=str(data))
    for text in (folder / "failures.jsonl").read_text().splitlines():
        line = json.loads(text)
        assert line["root"] == str(scenes.parent)
        assert sorted(line["images"]) == [f"images/val/{number:03}.png" for number in range(4)]
