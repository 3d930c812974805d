"""Import everything that a training imports, before processes are forked: they need not import it again."""

# ruff: noqa: F401

from __future__ import annotations

import torch_imports
import trainings  # before ultralytics: it isolates it
import ultralytics.engine.trainer
import ultralytics.models.yolo
