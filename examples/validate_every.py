"""Validate every fifth epoch and the last one, and keep the best of the epochs that are validated.

python examples/validate_every.py
"""

from __future__ import annotations

from arguments import training
from ultralytics import YOLO

from yolo_callbacks import SaveBest, ValidateEvery, attach


def main() -> None:
    model = YOLO("yolo11n.yaml")
    every, best = ValidateEvery(5), SaveBest("mAP50-95")
    attach(model, every, best)
    model.train(**training("Validate every fifth epoch.", epochs=10))
    print(f"Validated {every.validated} of {every.validated + every.skipped} epochs, kept {best.best_model_path}")


if __name__ == "__main__":
    main()
