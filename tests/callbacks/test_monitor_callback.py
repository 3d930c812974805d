"""Training phases and monitors by class, on real trainings."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from trainings import TINY, TINY_POSE, TINY_SEGMENT, as_task, results_csv
from ultralytics import YOLO

from yolo_callbacks import (
    Callback,
    EarlyStopping,
    ReduceLROnPlateau,
    SaveBest,
    TrainingRun,
    attach,
)


@pytest.mark.training
def test_training_phases(train, scripted, messages):
    """Eight epochs of two batches, warm-up in the first three, mosaic closed in the last three."""
    scripted([0.9, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
    model, checks = YOLO(TINY), []
    aware = EarlyStopping("mAP50", patience=3, training_phases=True)
    plateau = ReduceLROnPlateau("mAP50", patience=1, training_phases=True)
    plain = EarlyStopping("recall", patience=99)

    class Waits(Callback):
        def on_fit_epoch_end(self, trainer: Any) -> None:
            record = TrainingRun.of(trainer).record()
            if not record.final:
                checks.append((record.warming_up, record.mosaic_closed, aware.wait_count, plain.wait_count))

    attach(model, aware, plateau, plain, Waits())
    train(model, epochs=8, warmup_epochs=3.0, close_mosaic=3, patience=0)
    warming, closed, aware_waits, plain_waits = (list(column) for column in zip(*checks, strict=True))
    # up to 8.4.51 or so a warm-up has at least 100 iterations: all of this run
    if warming[-1]:
        assert all(warming)
        assert aware_waits == [0] * 8
    else:
        assert warming == [True] * 3 + [False] * 5
        # the first check is epoch 4, the best of what counts; then mosaic closes with epoch 6
        assert (aware_waits, aware.best_epoch) == ([0, 0, 0, 0, 1, 1, 2, 3], 4)
        assert (aware.stopped_epoch, plateau.reductions) == (8, [7])
    assert closed == [False] * 5 + [True] * 3
    assert plain_waits == list(range(8))
    line = re.compile("(EarlyStopping|ReduceLROnPlateau): mosaic closed with epoch 6, patience starts again")
    assert sum(bool(line.match(message)) for message in messages) == 2


@pytest.mark.training
@pytest.mark.parametrize(("task", "suffix"), [("segment", "M"), pytest.param("pose", "P", marks=pytest.mark.slow)])
def test_values_by_class_of_masks_and_poses(tmp_path, train, two_of_three, task, suffix):
    """Three classes, one of them without validation; polygons and points made of the boxes."""
    data = as_task(two_of_three, tmp_path / "data", task)
    model, worst = (
        YOLO(TINY_SEGMENT if task == "segment" else TINY_POSE),
        SaveBest(f"min(mAP50-95({suffix}))", skip_untrained=False),
    )
    one, main = SaveBest(f"mAP50({suffix})/one", skip_untrained=False), SaveBest()
    attach(model, worst, one, main, EarlyStopping(f"mAP50-95({suffix})/two", patience=1))
    folder = train(model, data=str(data), epochs=2)
    assert len(results_csv(folder)) == 2
    assert main.best_model_path.name == f"best-mAP50-95-{suffix}.pt"
    assert worst.best_model_path.name == f"best-min-mAP50-95-{suffix}.pt"
    per_class = json.loads(one.best_model_path.with_suffix(".json").read_text())["per_class"]
    assert set(per_class[f"mAP50({suffix})"]) == set(per_class["mAP50(B)"]) == {"zero", "one"}
    assert one.best_score == per_class[f"mAP50({suffix})"]["one"]
