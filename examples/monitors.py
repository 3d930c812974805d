"""Keep four best checkpoints of one training: by the worst class, a weighted sum, a function, and one class.

python examples/monitors.py
"""

from __future__ import annotations

from collections.abc import Mapping

from arguments import training
from ultralytics import YOLO

from yolo_callbacks import SaveBest, attach


def f1(metrics: Mapping[str, float]) -> float:
    """Return the harmonic mean of precision and recall."""
    precision, recall = metrics["metrics/precision(B)"], metrics["metrics/recall(B)"]
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def main() -> None:
    model = YOLO("yolo11n.yaml")
    bests = [
        SaveBest("min(mAP50-95)"),
        SaveBest({"recall": 0.3, "mAP50": 0.7}),
        SaveBest(f1, "max"),
        SaveBest("recall/0", top_k=2),
    ]
    attach(model, *bests)
    model.train(**training("Keep the best by several monitors."))
    for best in bests:
        print(f"{best.monitor_name}: {best.best_score} at epoch {best.best_epoch}, {best.best_model_path}")


if __name__ == "__main__":
    main()
