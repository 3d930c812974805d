"""A training with `WandbLogger` against a server, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from interpreter import Interpreter

TRAINING = """
import time
from trainings import FAST, TINY
from ultralytics import YOLO
from yolo_callbacks import SaveBest, WandbLogger, attach

if plots:
    import matplotlib.figure
    from blank_figures import save_blank
    matplotlib.figure.Figure.savefig = save_blank
model = YOLO(TINY)
logger = WandbLogger(init_timeout=4, finish_timeout=finish_timeout, batch_period=1, **arguments)
attach(model, SaveBest(), logger)
model.add_callback("on_train_epoch_start", lambda trainer: print("EPOCH", trainer.epoch + 1, flush=True))
model.add_callback("on_train_epoch_start", lambda trainer: time.sleep(pause))
model.train(**{**FAST, "data": data, "epochs": 4, "project": folder, "name": "run", "plots": plots})
"""
PICTURES = {"images": 2, "image_period": 1}


def train(
    interpreter: Interpreter, folder: Path, data: Path, environment: dict[str, str],
    on_line: Callable[[str], object] = bool, *,
    arguments: dict[str, Any] = PICTURES, plots: bool = False, pause: float = 0, finish_timeout: float = 60,
) -> str:  # fmt: skip
    """Train with a server; `arguments` are those of `WandbLogger`. Returns what was printed."""
    isolated = {"WANDB_DATA_DIR": str(folder / "data"), "WANDB_CONFIG_DIR": str(folder / "config"), "HOME": str(folder)}
    ended = interpreter.run(
        TRAINING, environment={**isolated, **environment}, on_line=on_line, arguments=arguments, data=str(data),
        folder=str(folder), plots=plots, pause=pause, finish_timeout=finish_timeout,
    )  # fmt: skip
    assert ended.status == 0, ended.said
    return ended.said
