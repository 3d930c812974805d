"""Train YOLO11n on the photographs that are installed with the package: `yolo-callbacks demo`.

It takes about three minutes on two CPU cores. It needs no download: without a connection, it starts from random
weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yolo_callbacks import EarlyStopping, MemoryCleanup, MemoryMonitor, SaveBest, attach
from yolo_callbacks.cli.parser import Parser, positive
from yolo_callbacks.utils.demo_data import copy_trees

__all__ = ["main", "parser", "run"]

_WEIGHTS = "yolo11n.pt"


def run(folder: Path, *, epochs: int = 15) -> Path:
    """Train with callbacks in a new folder below `folder`, and return the new folder.

    The photographs are copied into the new folder: Ultralytics writes a cache beside labels, which would stay behind
    when the package is uninstalled.
    """
    import torch
    from ultralytics.utils.files import increment_path

    from yolo_callbacks.trainer.integrations import drop_integrations

    new = Path(increment_path(folder.resolve() / "demo", mkdir=True))
    data = copy_trees(new / "data")
    model = _model(new)
    # Ultralytics logs to MLflow and others where they are installed, in files beside the folder.
    model.add_callback("on_pretrain_routine_start", drop_integrations)
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
        data=str(data),
        epochs=epochs,
        imgsz=256,
        batch=8,
        nbs=8,  # with the default of 64, such a small data set has only two optimizer steps per epoch
        device=0 if torch.cuda.is_available() else "cpu",
        project=str(new.parent),
        name=new.name,
        exist_ok=True,  # the folder has the data only
        patience=0,  # only EarlyStopping stops the run
    )
    return Path(model.trainer.save_dir)


def parser() -> Parser:
    """Return the parser of the demo."""
    made = Parser(
        "demo",
        f"{__doc__.splitlines()[0].partition(':')[0]}.\n"
        "Everything is written into a new folder: the photographs, the run, and the weights if they are downloaded.",
        "yolo-callbacks demo --epochs 5",
    )
    made.add_argument(
        "--folder",
        type=Path,
        default=Path("runs"),
        completed=("<folder>",),
        help="the folder in which `demo` is created (default: runs)",
    )
    made.add_argument("--epochs", type=positive, default=15, help="the number of epochs (default: 15)")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line of the demo."""
    parsed = parser().parse_args(arguments)
    folder = run(parsed.folder, epochs=parsed.epochs)
    print(f"\nOpen {folder / 'report.html'} in a browser. The checkpoints are in {folder / 'weights'};")
    print(f"{folder / 'callbacks.json'} says what the callbacks did.")


def _model(folder: Path) -> Any:
    from ultralytics import YOLO
    from ultralytics.utils import SETTINGS

    there = [path for path in (Path(_WEIGHTS), Path(SETTINGS["weights_dir"]) / _WEIGHTS) if path.is_file()]
    try:
        return YOLO(str((*there, folder / _WEIGHTS)[0]))  # Ultralytics downloads to the path that it is given
    except OSError as error:  # no connection, and no such file in the working directory
        print(f"{_WEIGHTS} cannot be downloaded ({error}): training from random weights")
        return YOLO("yolo11n.yaml")
