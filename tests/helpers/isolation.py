"""Isolate Ultralytics, W&B and MLflow from the user's settings. Import this before the first import of ultralytics."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# Each worker of pytest has settings of its own. Its child processes take them over: in them the integrations are off,
# whose imports take seconds.
_PREFIX = f"yolo-callbacks-tests-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-"
if not Path(os.environ.get("YOLO_CONFIG_DIR", "")).name.startswith(_PREFIX):
    os.environ["YOLO_CONFIG_DIR"] = tempfile.mkdtemp(prefix=_PREFIX)
os.environ["YOLO_OFFLINE"] = "True"
os.environ.setdefault("WANDB_MODE", "disabled")
# A store of files is made at once; a database takes seconds. MLflow allows it only with the second variable.
os.environ.setdefault("MLFLOW_TRACKING_URI", f"file:{os.environ['YOLO_CONFIG_DIR']}/mlruns")
os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
