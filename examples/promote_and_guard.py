"""Save the checkpoint with the best recall as best.pt, except epochs in which precision drops by more than 0.05.

python examples/promote_and_guard.py
"""

from __future__ import annotations

from arguments import training
from ultralytics import YOLO

from yolo_callbacks import SaveBest, attach


def main() -> None:
    model = YOLO("yolo11n.yaml")
    best = SaveBest("recall", promote=True, guard={"precision": 0.05})
    attach(model, best)
    model.train(**training("Use the best checkpoint by recall as best.pt."))
    # model.predict() and model.val() use this epoch from now on
    print(f"The model is that of epoch {best.best_epoch}, with a recall of {best.best_score or 0:g}")


if __name__ == "__main__":
    main()
