"""StopOnOverfit on real trainings."""

from __future__ import annotations

import pytest
from trainings import TINY, detection_metrics, results_csv
from ultralytics import YOLO

from yolo_callbacks import (
    StopOnOverfit,
    StoppingReason,
    TrainingRun,
    attach,
)


@pytest.mark.training
def test_stops_on_overfit_by_component_and_by_sum(train, scripted):
    """Validation losses far above the training's from epoch 2 on; cls_loss alone never."""
    low = {"val/box_loss": 0.0, "val/cls_loss": 0.0, "val/dfl_loss": 0.0}
    high = {**low, "val/box_loss": 999.0}
    scripted([detection_metrics(0.5, **(low if epoch < 2 else high)) for epoch in range(1, 7)])
    model, published = YOLO(TINY), []
    total, cls = StopOnOverfit(ratio=2.0, patience=3), StopOnOverfit("val/cls_loss", "train/cls_loss", patience=3)
    attach(model, total, cls)
    model.add_callback("on_fit_epoch_end", lambda t: published.append(dict(TrainingRun.of(t).record().scalars)))
    folder = train(model, epochs=6)
    assert (total.stopped_epoch, total.stopping_reason, total.wait_count) == (4, StoppingReason.OVERFITTING, 3)
    assert (cls.stopped_epoch, cls.wait_count) == (0, 0)
    row = results_csv(folder)[0]
    sums = [sum(row[f"{split}/{name}_loss"] for name in ("box", "cls", "dfl")) for split in ("val", "train")]
    assert published[0]["overfit/ratio"] == pytest.approx(sums[0] / sums[1], rel=1e-3)
    assert "overfit/ratio(val/cls_loss)" in published[0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"ratio": -1}, ValueError, "ratio must be greater than 0, received -1"),
        ({"ratio": None}, TypeError, "ratio must be a number, received None"),
        ({"patience": 0}, ValueError, "patience must be at least 1, received 0"),
        ({"against": 3}, TypeError, "monitor must be a name, a mapping"),
    ],
)
def test_wrong_overfit_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        StopOnOverfit(**arguments)


@pytest.mark.training
def test_an_unknown_second_monitor_raises_with_the_first_batch(train):
    model = YOLO(TINY)
    attach(model, StopOnOverfit(against="train/boxloss"))
    with pytest.raises(ValueError, match=r"'train/boxloss' does not exist in this run. Did you mean 'train/box_loss'"):
        train(model, epochs=1)
