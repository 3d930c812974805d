"""Import what Ultralytics imports for a training, but not Ultralytics: a process that is forked can choose its copy."""

# ruff: noqa: F401

from __future__ import annotations

import cv2
import matplotlib.pyplot
import polars
import torch._inductor
import torchvision
