"""Keep the records of a training, and read its checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from yolo_callbacks import Callback, TrainingRun


class Recorder(Callback):
    """Keep each record that a training makes."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def on_fit_epoch_end(self, trainer: Any) -> None:
        self.records.append(TrainingRun.of(trainer).record())

    @property
    def epochs(self) -> list[int]:
        return [record.epoch for record in self.records if not record.final]


def load(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint."""
    return torch.load(path, map_location="cpu", weights_only=False)
