"""Train YOLO11n on the photographs that are installed with the package: `yolo-callbacks demo`.

It takes about three minutes on two CPU cores. It needs no download: without a connection, it starts from random
weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yolo_callbacks import EarlyStopping, MemoryCleanup, MemoryMonitor, SaveBest, attach
from yolo_callbacks.cli.parser import Parser
from yolo_callbacks.utils.demo_data import trees

__all__ = ["main", "run"]


def run(folder: Path, *, epochs: int = 15) -> Path:
    """Train with callbacks in a new folder below `folder`, and return the new folder."""
    import torch

    model = _model()
    attach(
        model,
        SaveBest("mAP50", top_k=3),
        SaveBest("recall"),
        EarlyStopping("mAP50", patience=5),
        MemoryMonitor(),
        MemoryCleanup(),
        report=True,
    )
    model.train(
        data=str(trees()),
        epochs=epochs,
        imgsz=256,
        batch=8,
        nbs=8,  # with the default of 64, such a small data set has only two optimizer steps per epoch
        device=0 if torch.cuda.is_available() else "cpu",
        project=str(folder.resolve()),
        name="demo",
        patience=0,  # only EarlyStopping stops the run
    )
    return Path(model.trainer.save_dir)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line of the demo."""
    parser = Parser("demo", __doc__.splitlines()[0], "yolo-callbacks demo --epochs 5")
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="the folder of the run (default: runs)")
    parser.add_argument("--epochs", type=int, default=15, help="the number of epochs (default: 15)")
    parsed = parser.parse_args(arguments)
    folder = run(parsed.folder, epochs=parsed.epochs)
    print(f"\nOpen {folder / 'report.html'} in a browser. The checkpoints are in {folder / 'weights'};")
    print(f"{folder / 'callbacks.json'} says what the callbacks did.")


def _model() -> Any:
    from ultralytics import YOLO

    try:
        return YOLO("yolo11n.pt")
    except OSError as error:  # no connection, and no such file in the working directory
        print(f"yolo11n.pt cannot be downloaded ({error}): training from random weights")
        return YOLO("yolo11n.yaml")
