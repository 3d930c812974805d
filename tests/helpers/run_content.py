"""Provide the content of the files in the folder of a small run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

KEYS = "epoch,time,train/box_loss,metrics/mAP50(B),metrics/mAP50-95(B),val/box_loss,lr/pg0"
ROWS = "".join(f"{epoch},{epoch},{1 / epoch},0.{epoch},0.0{epoch},{2 / epoch},0.01\n" for epoch in range(1, 4))
SUMMARY: dict[str, Any] = {
    "status": "finished",
    "epochs": 3,
    "stopped_by": "",
    "seconds": 10.0,
    "seconds_in_callbacks": 1.0,
    "folder": "runs/train",
    "callbacks": [{"name": "SaveBest", "outcome": "ok", "seconds": 0.1, "failures": 0, "switched_off": False}],
}
STATE: dict[str, Any] = {
    "versions": {"ultralytics": "8.4.190"},
    "callbacks": {
        "SaveBest(mAP50)": {"monitor": "mAP50", "mode": "max", "kept": [[3, 0.3], [2, 0.2]]},
        "ReduceLROnPlateau(mAP50)": {"monitor": "mAP50", "mode": "max", "cuts": [2]},
        "EarlyStopping(fitness)": {"monitor": "fitness", "stopped_epoch": 3, "stopping_message": "enough"},
    },
    "summary": SUMMARY,
}


def failing_run(folder: Path) -> Path:
    """Write a run of three epochs with images that fail: a.png flips in epoch 2, b.png has a suspected label only."""
    import cv2
    import numpy as np

    box = [0.1, 0.2, 0.5, 0.6]
    run, data = folder / "run", folder / "data"
    run.mkdir()
    data.mkdir()
    (run / "results.csv").write_text(f"{KEYS}\n{ROWS}")
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(data / name), np.full((40, 60, 3), 128, np.uint8))
    wrong = [
        {"kind": "fp", "class": "car", "confidence": 0.8, "box": box},
        {"kind": "fn", "class": "van", "box": box},
    ]
    suspect = {"image": "b.png", "kind": "overlooked", "score": 0.9}
    suspect["prediction"] = {"class": "bus", "confidence": 0.9, "box": box}
    lines = [
        {
            **{"epoch": epoch, "confidence": 0.25, "root": str(data)},
            "images": {
                "a.png": {"tp": 1, "fp": 1, "fn": 1, "f1": value},
                "b.png": {"tp": 2, "fp": 0, "fn": 0, "f1": 1.0},
            },
            "worst": [{"image": "a.png", "tp": 1, "fp": 1, "fn": 1, "f1": value, "wrong": wrong}],
            "flips": ["a.png"] if epoch == 2 else [],
            "confusions": [
                {"label": "car", "predicted": "van", "count": 4},
                {"label": "van", "predicted": "car", "count": 1},
            ],
            "suspects": [suspect],
        }
        for epoch, value in ((1, 1.0), (2, 0.0), (3, 0.5))
    ]
    (run / "failures.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return run
