"""What a training imports, at its start and as it goes, for processes to be forked from: none of them does it again."""

# ruff: noqa: F401

from __future__ import annotations

import matplotlib.pyplot
import polars
import torch._inductor
import torchvision
import trainings  # before ultralytics: it isolates it
import ultralytics.engine.trainer
import ultralytics.models.yolo
