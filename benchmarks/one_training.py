"""Train one variant as often as the parent process asks: `python one_training.py VARIANT FOLDER`.

The training waits before its first epoch, between two epochs and after its last one, so that the variants take turns.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from workload import Stopwatch, Turns, answer, folder_bytes, isolate

VARIANTS = {
    "bare": "Ultralytics alone",
    "init": "`wandb.init()` before it and `finish()` after it",
    "built-in": "Ultralytics with its own W&B integration",
    "local": "the default suite without `WandbLogger`",
    "default": "the default suite, `attach(model)`",
    "images": "`WandbLogger` with 16 validation images each epoch",
    "all": "all our callbacks, 16 validation images each epoch",
    "peer": "`add_wandb_callback(model)`, 16 validation images each epoch",
    "trial": "a trial with `OptunaPruning` and `SaveBest`",
    "logged trial": "the same with `WandbLogger`, offline, without images and model",
}


def main() -> None:
    """Answer jobs until the parent closes the pipe."""
    variant, folder = sys.argv[1], Path(sys.argv[2])
    isolate(folder, wandb=variant == "built-in")
    from ultralytics import YOLO

    start = folder / "start.pt"
    if not start.is_file():
        YOLO("yolo11n.yaml").save(start)
    for number, line in enumerate(iter(sys.stdin.readline, "")):
        answer(run(variant, start, folder, number, json.loads(line)))


def run(variant: str, start: Path, folder: Path, number: int, job: dict[str, Any]) -> dict[str, Any]:
    """Train once; return the seconds of each part, bytes on disk, and times of the suite's own clock."""
    from ultralytics import YOLO

    from yolo_callbacks.trainer.validation_tap import ValidationTap

    os.environ["WANDB_DIR"] = str(folder / f"wandb-{number}")
    Path(os.environ["WANDB_DIR"]).mkdir(parents=True)
    os.environ["WANDB_DATA_DIR"] = os.environ["WANDB_DIR"]  # the folder of artifacts, by default in the user's home
    model = YOLO(start)
    turns = Turns()
    model.add_callback("on_train_epoch_start", lambda _: turns.end_part())  # before those of the suite
    attached = time.perf_counter()
    suite = prepare(variant, model)
    attached = time.perf_counter() - attached

    def end_of_last_epoch(trainer: Any) -> None:
        if len(turns.parts) == job["epochs"]:  # the final evaluation has the same event
            turns.end_part()

    model.add_callback("on_fit_epoch_end", end_of_last_epoch)  # after those of the suite
    with Stopwatch(suite, also=[(ValidationTap, "_pass")]) as watch:
        model.train(**{**job, "project": str(folder), "name": f"run{number}"})
    if variant in ("peer", "init"):
        import wandb

        wandb.finish()
    turns.end_part(wait=False)
    save_dir = Path(model.trainer.save_dir)
    state = save_dir / "callbacks.json"
    summary = json.loads(state.read_text())["summary"] if state.is_file() else None
    return {
        "parts": turns.parts,
        "attach": attached,
        "bytes": folder_bytes(save_dir) + folder_bytes(Path(os.environ["WANDB_DIR"])),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "clock": summary["seconds_in_callbacks"] if summary else None,
        "clock_by_epoch": watch.by_epoch,
        "callbacks": summary["callbacks"] if summary else None,
    }


def prepare(variant: str, model: Any) -> Any:
    """Attach the callbacks of a variant to the model; return the suite if there is one."""
    import yolo_callbacks as ours

    if variant == "default":
        return ours.attach(model)
    if variant == "local":
        return ours.attach(model, ours.SaveBest(), ours.EarlyStopping(), ours.MemoryCleanup())
    if variant == "images":
        return ours.attach(model, ours.WandbLogger(images=16, image_period=1, log_model=False))
    if variant == "all":
        return ours.attach(
            model,
            ours.SaveBest("mAP50", top_k=3),
            ours.EarlyStopping("val/loss", patience=1000),
            ours.ReduceLROnPlateau(patience=1000),
            ours.StopOnOverfit(ratio=100.0, patience=1000),
            ours.MemoryCleanup(),
            ours.MemoryMonitor(),
            ours.SpeedMonitor(),
            ours.FailingImages(),
            ours.JsonlLogger(),
            *([ours.TensorBoardLogger()] if find_spec("tensorboard") else []),  # not on every machine with a GPU
            ours.WandbLogger(images=16, image_period=1),
        )
    if variant in ("trial", "logged trial"):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        trial = optuna.create_study(direction="maximize", pruner=optuna.pruners.NopPruner()).ask()
        logger = [ours.WandbLogger(images=0, batch_period=0, log_model=False)] if variant == "logged trial" else []
        return ours.attach(model, ours.OptunaPruning(trial), ours.SaveBest(), *logger)
    if variant in ("peer", "init"):
        import wandb

        wandb.init(project="bench", dir=os.environ["WANDB_DIR"])
    if variant == "peer":
        from wandb.integration.ultralytics import add_wandb_callback

        add_wandb_callback(model)
    return None


if __name__ == "__main__":
    main()
