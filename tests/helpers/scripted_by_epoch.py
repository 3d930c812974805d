"""Provide a callback for YAML files that scripts the validation by epoch, and holds the training at a batch."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from killed_runs import validate
from ultralytics.engine.validator import BaseValidator

from yolo_callbacks import Callback


class Scripted(Callback):
    """Script the validation. In the epoch `HOLD_AT`, make the file `HOLD_FILE` and wait until it is removed."""

    def __init__(self) -> None:
        BaseValidator.__call__ = validate

    def on_train_batch_end(self, trainer: Any) -> None:
        """Hold the training."""
        if str(trainer.epoch + 1) == os.environ.get("HOLD_AT"):
            file = Path(os.environ["HOLD_FILE"])
            file.touch()
            while file.exists():
                time.sleep(0.01)
