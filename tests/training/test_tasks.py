"""Every task trains two real epochs with the default suite, and with monitors of its own."""

from __future__ import annotations

import json

import digits
import pytest
from trainings import FAST, TINY, results_csv
from ultralytics import YOLO

from yolo_callbacks import EarlyStopping, ReduceLROnPlateau, SaveBest, WandbLogger, attach

pytestmark = pytest.mark.training

# The model, what the default suite saves by, and monitors that only this task has.
TASKS = {
    "detect": (TINY, "mAP50-95", ("mAP50/one", "val/dfl_loss")),
    "segment": ("yolo11n-seg.yaml", "mAP50-95(M)", ("mAP50(M)/one", "val/seg_loss")),
    "pose": ("yolo11n-pose.yaml", "mAP50-95(P)", ("min(mAP50(P))", "val/pose_loss")),
    "obb": ("yolo11n-obb.yaml", "mAP50-95", ("recall/one", "val/loss")),
    "classify": ("yolo11n-cls.yaml", "top1", ({"top1": 0.5, "top5": 0.5}, "val/loss")),
}


@pytest.mark.parametrize(
    "task",
    [
        pytest.param("detect", marks=pytest.mark.smoke),
        *(pytest.param(task, marks=pytest.mark.slow) for task in TASKS if task != "detect"),
    ],
)
def test_two_epochs(tmp_path, task, messages):
    name, main, (metric, loss) = TASKS[task]
    data = digits.for_task(tmp_path / "data", task, train=4, val=4, size=32)
    arguments = {**FAST, "data": str(data), "epochs": 2, "project": str(tmp_path), "patience": 9}

    model = YOLO(name)
    suite = attach(model)
    model.train(**arguments, name="default")
    folder = tmp_path / "default"
    results = suite.load_results()
    assert (results["epoch"], results["summary"]["status"]) == (2, "finished")
    assert [row["failures"] for row in results["summary"]["callbacks"]] == [0] * len(suite.callbacks)
    rows = results_csv(folder)
    key = f"metrics/accuracy_{main}" if task == "classify" else f"metrics/{main}"
    best = max(row.get(key, row.get(f"{key}(B)")) for row in rows)
    (sidecar,) = (folder / "weights").glob("best-*.json")
    content = json.loads(sidecar.read_text())
    assert (content["monitor"], content["value"]) == (main, pytest.approx(best, abs=1e-5))
    assert sidecar.with_suffix(".pt").is_file()
    assert bool(content["per_class"]) == (task != "classify")

    model = YOLO(name)
    by_metric, by_loss = SaveBest(metric, filename="by-metric"), SaveBest(loss, filename="by-loss")
    attach(
        model, by_metric, by_loss, EarlyStopping(loss), ReduceLROnPlateau(metric), WandbLogger(images=0), strict=True
    )
    model.train(**arguments, name="own")
    assert by_loss.best_model_path.is_file()
    assert by_metric.best_model_path.is_file()
    assert not [message for message in messages if "Traceback" in message]
