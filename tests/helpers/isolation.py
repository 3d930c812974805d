"""Isolate Ultralytics, W&B and MLflow from the user's settings. Import this before the first import of ultralytics."""

from __future__ import annotations

import os
import tempfile

os.environ["YOLO_CONFIG_DIR"] = tempfile.mkdtemp(prefix="yolo-callbacks-tests-")
os.environ["YOLO_OFFLINE"] = "True"
os.environ.setdefault("WANDB_MODE", "disabled")
# A store of files is made at once; a database takes seconds. MLflow allows it only with the second variable.
os.environ.setdefault("MLFLOW_TRACKING_URI", f"file:{os.environ['YOLO_CONFIG_DIR']}/mlruns")
os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
