"""Short real trainings for tests: importing this first isolates Ultralytics from the user's settings."""

from __future__ import annotations

import csv
import inspect
import shutil
import sys
from pathlib import Path
from typing import Any

import isolation  # noqa: F401 (before ultralytics)
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.utils import SETTINGS

# Before 8.3.253 or so save_model() raises where results.csv is missing or a row has more columns than the first one.
READS_ANY_CSV = "except" in inspect.getsource(BaseTrainer.read_results_csv)
# 8.4.103 and 8.4.104 at least load last.pt and repeat an epoch whose fitness has dropped to 0, not only one with NaN.
REPEATS_COLLAPSED = "(loss_nan or fitness_nan or fitness_collapse)" in inspect.getsource(BaseTrainer)
INTEGRATIONS = ("wandb", "tensorboard", "mlflow", "comet", "clearml", "dvc")
# Ultralytics imports Ray where it is installed: that takes two seconds, and changes the exit status after Ctrl-C. A
# worker of Ray has it already.
SETTINGS.update({name: False for name in INTEGRATIONS if name in SETTINGS} | {"raytune": "ray" in sys.modules})

# A detection model of some thousand weights, for what happens around a training; `yolo11n.yaml` for what is in it.
TINY = str(Path(__file__).with_name("tiny.yaml"))
# The same for other tasks: each takes a tenth of the time of YOLO11n.
TINY_CLASSIFY, TINY_SEGMENT, TINY_POSE, TINY_OBB = (
    str(Path(__file__).with_name(f"tiny-{task}.yaml")) for task in ("cls", "seg", "pose", "obb")
)
FAST = {"imgsz": 32, "batch": 4, "nbs": 4, "workers": 0, "device": "cpu", "plots": False, "verbose": False, "seed": 0}


def detection_metrics(value: float, **others: float) -> dict[str, float]:
    """Return the results of a detection model's validation: every metric is `value`, the losses are `1 - value`."""
    metrics = {f"metrics/{name}(B)": value for name in ("precision", "recall", "mAP50", "mAP50-95")}
    losses = {f"val/{name}_loss": 1.0 - value for name in ("box", "cls", "dfl")}
    return {**metrics, **losses, **others}


def results_csv(folder: Path) -> list[dict[str, float]]:
    """The rows of a run's results.csv, as numbers."""
    with (folder / "results.csv").open(newline="") as file:
        return [{key.strip(): float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def interrupted(train: Any, model: Any, after: int, **arguments: Any) -> Path:
    """Train until Ctrl-C after an epoch; the run's folder."""
    import pytest  # not above: where it is imported, Ultralytics switches its integrations off

    def interrupt(trainer: Any) -> None:
        if trainer.epoch + 1 == after and trainer.validator.training:
            raise KeyboardInterrupt

    model.add_callback("on_fit_epoch_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(model, **arguments)
    return Path(model.trainer.save_dir)


def as_task(data: Path, folder: Path, task: str) -> Path:
    """Copy a data set of boxes as one of another task: segments or poses of the same corners."""
    shutil.copytree(data.parent, folder, ignore=shutil.ignore_patterns("*.cache"))
    for path in (folder / "labels").rglob("*.txt"):
        lines = []
        for line in path.read_text().splitlines():
            index, x, y, w, h = (float(part) for part in line.split())
            corners = [(x - w / 2, y - h / 2), (x + w / 2, y - h / 2), (x + w / 2, y + h / 2), (x - w / 2, y + h / 2)]
            numbers = [n for corner in corners for n in corner] if task == "segment" else [x, y, w, h, x, y, 2]
            lines.append(" ".join([str(int(index)), *(f"{number:.6f}" for number in numbers)]))
        path.write_text("\n".join(lines))
    text = (folder / "data.yaml").read_text()
    (folder / "data.yaml").write_text(text + ("kpt_shape: [1, 3]\n" if task == "pose" else ""))
    return folder / "data.yaml"
