"""Isolate Ultralytics and W&B from the user's settings. Import this before the first import of ultralytics."""

from __future__ import annotations

import os
import tempfile

os.environ["YOLO_CONFIG_DIR"] = tempfile.mkdtemp(prefix="yolo-callbacks-tests-")
os.environ["YOLO_OFFLINE"] = "True"
os.environ.setdefault("WANDB_MODE", "disabled")
