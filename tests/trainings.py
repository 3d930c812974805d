"""Short real trainings for tests: importing this first isolates Ultralytics from the user's settings."""

from __future__ import annotations

import csv
import os
import tempfile
from pathlib import Path
from typing import Any

# Before the first import of ultralytics: neither the user's settings nor their integrations take part in a test.
os.environ["YOLO_CONFIG_DIR"] = tempfile.mkdtemp(prefix="yolo-callbacks-tests-")
os.environ["YOLO_OFFLINE"] = "True"
os.environ.setdefault("WANDB_MODE", "disabled")

from ultralytics.utils import SETTINGS

INTEGRATIONS = ("wandb", "tensorboard", "mlflow", "comet", "clearml", "dvc")
SETTINGS.update({name: False for name in INTEGRATIONS if name in SETTINGS})

# A detection model of some thousand weights, for what happens around a training; `yolo11n.yaml` for what is in it.
TINY = str(Path(__file__).with_name("tiny.yaml"))
FAST = {"imgsz": 32, "batch": 4, "nbs": 4, "workers": 0, "device": "cpu", "plots": False, "verbose": False, "seed": 0}


def detection_metrics(value: float, **others: float) -> dict[str, float]:
    """What validation returns for a detection model; every metric is `value`, the losses are `1 - value`."""
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
