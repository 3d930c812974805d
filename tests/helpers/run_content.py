"""Provide the content of the files in the folder of a small run."""

from __future__ import annotations

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
