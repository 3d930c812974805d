"""ValidateEvery in real trainings: what an epoch without validation leaves behind, and what others make of it."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import pytest
from trainings import TINY, TINY_CLASSIFY, TINY_SEGMENT, as_task, interrupted, results_csv
from ultralytics import YOLO

from yolo_callbacks import (
    EarlyStopping,
    FailingImages,
    JsonlLogger,
    ReduceLROnPlateau,
    SaveBest,
    ValidateEvery,
    WandbLogger,
    attach,
)
from yolo_callbacks.utils.files import parse_json

RISING = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"n": 0}, ValueError, "n must be at least 1, received 0"),
        ({"n": True}, TypeError, "n must be an integer, received True"),
        ({"n": 2.0}, TypeError, "n must be an integer, received 2.0"),
        ({"share": 0}, ValueError, "share must be between 0 and 1, received 0"),
        ({"share": 1.0}, ValueError, "share must be between 0 and 1, received 1.0"),
        ({"share": "10%"}, TypeError, "share must be a number, received '10%'"),
        ({"n": 2, "last": 1}, TypeError, "last must be True or False, received 1"),
        ({"n": 2, "after_mosaic": None}, TypeError, "after_mosaic must be True or False, received None"),
    ],
)
def test_wrong_arguments(arguments, error, said):
    with pytest.raises(error, match=said):
        ValidateEvery(**arguments)


class Seen:
    """Records the hash of best.pt after each epoch, and which epochs are validated."""

    def __init__(self, model: YOLO) -> None:
        self.best: list[str] = []
        self.validated: list[int] = []
        model.add_callback("on_val_start", self._on_val_start)
        model.add_callback("on_fit_epoch_end", self._on_fit_epoch_end)

    def _on_val_start(self, validator: Any) -> None:
        if validator.training:
            self.validated.append(len(self.best) + 1)

    def _on_fit_epoch_end(self, trainer: Any) -> None:
        if trainer.validator.training:
            best = Path(trainer.best)
            self.best.append(hashlib.sha256(best.read_bytes()).hexdigest() if best.is_file() else "")


def train_seen(train: Any, *callbacks: Any, model: YOLO | None = None, **arguments: Any) -> tuple[Path, Seen]:
    model = model or YOLO(TINY)
    seen = Seen(model)
    attach(model, *callbacks, strict=True)
    return train(model, **arguments), seen


@pytest.mark.training
@pytest.mark.parametrize(
    ("callback", "validated"),
    [
        (ValidateEvery(3), [3, 6, 8]),
        (ValidateEvery(3, last=False), [3, 6]),
        (ValidateEvery(5), [5, 8]),
        (ValidateEvery(5, after_mosaic=True), [5, 7, 8]),
        (ValidateEvery(1), [1, 2, 3, 4, 5, 6, 7, 8]),
    ],
    ids=repr,
)
def test_nothing_is_stale_in_an_epoch_without_validation(callback, validated, train, scripted):
    scripted(RISING[: len(validated)])
    folder, seen = train_seen(train, callback, JsonlLogger(), epochs=8, close_mosaic=2)
    assert seen.validated == validated
    rows = results_csv(folder)
    assert [int(row["epoch"]) for row in rows] == list(range(1, 9))
    columns = [key for key in rows[0] if key.startswith(("metrics/", "val/"))]
    assert len(columns) == 7
    for epoch, row in enumerate(rows, 1):
        assert all(math.isnan(row[key]) != (epoch in validated) for key in columns)
        assert row["train/box_loss"] >= 0
    written = [epoch for epoch in range(2, 9) if seen.best[epoch - 1] != seen.best[epoch - 2]]
    assert written == [epoch for epoch in validated if epoch > 1]
    lines = [parse_json(line) for line in (folder / "callbacks.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if "metrics/mAP50(B)" in line and "epoch" in line] == validated
    assert callback.outcome() == f"validated {len(validated)} of 8 epochs"


@pytest.mark.training
def test_the_plain_recipe_beside_it_repeats_old_values_and_writes_best_again(train, scripted):
    """The usual recipe, for comparison: a callback sets `trainer.args.val`."""
    scripted([0.3, 0.5])
    model = YOLO(TINY)
    seen = Seen(model)

    def toggle(trainer: Any) -> None:
        trainer.args.val = trainer.epoch % 2 == 1

    model.add_callback("on_train_epoch_end", toggle)
    rows = results_csv(train(model, epochs=4))
    assert seen.validated == [2, 4]
    assert rows[2]["metrics/mAP50(B)"] == rows[1]["metrics/mAP50(B)"] == 0.3
    assert seen.best[0] != ""
    assert seen.best[2] != seen.best[1]


@pytest.mark.training
def test_patience_counts_validations_and_ultralytics_counts_epochs(train, scripted):
    falling = [0.5, 0.4, 0.3, 0.2, 0.1]
    scripted(falling)
    stopping = EarlyStopping("mAP50", patience=2)
    folder, seen = train_seen(train, ValidateEvery(2), stopping, epochs=12, patience=0, name="ours")
    assert (stopping.stopped_epoch, seen.validated) == (6, [2, 4, 6])

    scripted(falling)
    folder, seen = train_seen(train, ValidateEvery(3), epochs=20, patience=4, name="theirs")
    # 4 epochs after the best one, epoch 3, are over in epoch 7; its stopper is asked in 9
    assert (len(results_csv(folder)), seen.validated) == (9, [3, 6, 9])


@pytest.mark.training
def test_checkpoints_and_rates_follow_the_validations(train, scripted):
    scripted([0.2, 0.5, 0.4, 0.3])
    saved, reduced = SaveBest("mAP50"), ReduceLROnPlateau("mAP50", patience=0)
    folder, _ = train_seen(train, ValidateEvery(2), saved, reduced, epochs=8)
    assert (saved.best_epoch, saved.best_score) == (4, 0.5)
    assert [path.name for path in (folder / "weights").glob("best-*.pt")] == ["best-mAP50.pt"]
    assert reduced.outcome().count("epoch") >= 1


@pytest.mark.training
@pytest.mark.parametrize("task", ["classify", "segment"])
def test_other_tasks(task, train, scenes, tmp_path):
    import digits

    if task == "classify":
        data, model = digits.classification(tmp_path / "data", train=8, val=4), YOLO(TINY_CLASSIFY)
    else:
        data, model = as_task(scenes, tmp_path / task, task), YOLO(TINY_SEGMENT)
    folder, seen = train_seen(train, ValidateEvery(2), FailingImages(), model=model, data=str(data), epochs=3)
    assert seen.validated == [2, 3]
    assert len(results_csv(folder)) == 3


@pytest.mark.training
def test_a_share_of_the_time(train):
    callback = ValidateEvery(share=0.001)
    folder, seen = train_seen(train, callback, epochs=6)
    assert seen.validated == [1, 6]
    assert callback.outcome() == "validated 2 of 6 epochs"
    assert len(results_csv(folder)) == 6


@pytest.mark.training
def test_the_image_epochs_move_to_the_next_validation(train, scenes):
    model = YOLO(TINY)
    failing = FailingImages(every=2)
    attach(model, ValidateEvery(3), failing, WandbLogger(images=1, image_period=2, log_model=False), strict=True)
    folder = train(model, epochs=9)
    lines = [parse_json(line) for line in (folder / "failures.jsonl").read_text().splitlines()]
    assert [line.get("epoch") for line in lines] == [3, 6, 9, None]


@pytest.mark.training
def test_a_resume_validates_the_same_epochs(train, scripted):
    scripted([0.1, 0.2, 0.3, 0.4])
    model = YOLO(TINY)
    callback = ValidateEvery(2)
    attach(model, callback, SaveBest("mAP50"), strict=True)
    folder = interrupted(train, model, after=3, epochs=6)
    model = YOLO(folder / "weights" / "last.pt")
    seen, again = Seen(model), ValidateEvery(2)
    saved = SaveBest("mAP50")
    attach(model, again, saved, strict=True)
    model.train(resume=True)
    assert [epoch + 3 for epoch in seen.validated] == [4, 6]
    assert (again.validated, again.skipped, saved.best_epoch) == (3, 3, 6)
    rows = results_csv(folder)
    assert [math.isnan(row["metrics/mAP50(B)"]) for row in rows] == [True, False] * 3


@pytest.mark.training
def test_as_a_plain_function_without_a_suite(train, scripted):
    scripted([0.1, 0.2])
    model, saved = YOLO(TINY), SaveBest("mAP50")
    seen = Seen(model)
    model.add_callback("on_train_epoch_end", ValidateEvery(2).on_train_epoch_end)
    model.add_callback("on_fit_epoch_end", saved.on_fit_epoch_end)
    folder = train(model, epochs=4)
    assert seen.validated == [2, 4]
    assert math.isnan(results_csv(folder)[2]["metrics/mAP50(B)"])
    assert saved.best_epoch == 4


@pytest.mark.training
def test_val_false_gives_a_warning(train, messages):
    model, callback = YOLO(TINY), ValidateEvery(2)
    attach(model, callback)
    train(model, epochs=3, val=False)
    assert [line for line in messages if "the training has val=False" in line]
    assert callback.outcome() == "validated 1 of 3 epochs"


@pytest.mark.training
def test_a_stop_by_the_user_is_validated(train, scripted):
    scripted([0.1, 0.2])

    def stop(trainer: Any) -> None:
        trainer.stop = trainer.epoch == 2

    model = YOLO(TINY)
    model.add_callback("on_train_epoch_end", stop)
    _, seen = train_seen(train, ValidateEvery(2), model=model, epochs=9)
    assert seen.validated == [2, 3]
