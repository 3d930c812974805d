"""Read the arguments of a short training from the command line; all examples use this module."""

from __future__ import annotations

import argparse
from typing import Any

from yolo_callbacks.utils.demo_data import trees


def training(description: str, **defaults: Any) -> dict[str, Any]:
    """Return the arguments for `model.train()`: by default fifteen epochs on the data set of the package."""
    # nbs=8: with the default of 64 a set this small gets two optimizer steps an epoch
    defaults = {"data": str(trees()), "epochs": 15, "imgsz": 256, "batch": 8, "nbs": 8, "project": None, **defaults}
    parser = argparse.ArgumentParser(description=description)
    for name, default in defaults.items():
        kind = type(default) if isinstance(default, int) else str
        parser.add_argument(f"--{name}", type=kind, default=default, help=f"default: {default}")
    return vars(parser.parse_args())
