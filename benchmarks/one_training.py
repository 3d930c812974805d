"""Train one variant as often as the parent process asks: `python one_training.py VARIANT FOLDER`."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from workload import Stopwatch, answer, folder_bytes, isolate

VARIANTS = {
    "bare": "Ultralytics alone",
    "built-in": "Ultralytics with its own W&B integration",
    "default": "the default suite, `attach(model)`",
    "all": "all our callbacks, 16 validation images each epoch",
    "peer": "`add_wandb_callback(model)`, 16 validation images each epoch",
}


def main() -> None:
    """Answer jobs until the parent closes the pipe."""
    variant, folder = sys.argv[1], Path(sys.argv[2])
    isolate(folder, wandb=variant == "built-in")
    from ultralytics import YOLO

    start = folder / "start.pt"
    if not start.is_file():
        YOLO("yolo11n.yaml").save(start)
    for number, line in enumerate(sys.stdin):
        answer(run(variant, start, folder, number, json.loads(line)))


def run(variant: str, start: Path, folder: Path, number: int, job: dict[str, Any]) -> dict[str, Any]:
    """Train once; return seconds in total and by epoch, bytes on disk, and times of the suite's own clock."""
    from ultralytics import YOLO

    os.environ["WANDB_DIR"] = str(folder / f"wandb-{number}")
    Path(os.environ["WANDB_DIR"]).mkdir(parents=True)
    os.environ["WANDB_DATA_DIR"] = os.environ["WANDB_DIR"]  # the folder of artifacts, by default in the user's home
    model = YOLO(start)
    attached = time.perf_counter()
    suite = prepare(variant, model, folder)
    attached = time.perf_counter() - attached
    ends: list[float] = []  # the end of each epoch, after all other functions of its last event
    model.add_callback("on_fit_epoch_end", lambda _: ends.append(time.perf_counter()))
    started = time.perf_counter()
    with Stopwatch(suite) as watch:
        model.train(**{**job, "project": str(folder), "name": f"run{number}"})
    if variant == "peer":
        import wandb

        wandb.finish()
    seconds = time.perf_counter() - started
    save_dir = Path(model.trainer.save_dir)
    state = save_dir / "callbacks.json"
    summary = json.loads(state.read_text())["summary"] if state.is_file() else None
    return {
        "seconds": seconds,
        "attach": attached,
        # without the first epoch, which includes start-up, and the final evaluation, which has the same last event
        "epochs": [later - earlier for earlier, later in pairwise(ends[: job["epochs"]])],
        "bytes": folder_bytes(save_dir) + folder_bytes(Path(os.environ["WANDB_DIR"])),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "clock": summary["seconds_in_callbacks"] if summary else None,
        "clock_by_epoch": watch.by_epoch,
        "callbacks": summary["callbacks"] if summary else None,
    }


def prepare(variant: str, model: Any, folder: Path) -> Any:
    """Attach the callbacks of a variant to the model; return the suite if there is one."""
    import yolo_callbacks

    if variant == "default":
        return yolo_callbacks.attach(model)
    if variant == "all":
        return yolo_callbacks.attach(
            model,
            yolo_callbacks.SaveBest("mAP50", top_k=3),
            yolo_callbacks.EarlyStopping("val/loss", patience=1000),
            yolo_callbacks.ReduceLROnPlateau(patience=1000),
            yolo_callbacks.StopOnOverfit(ratio=100.0, patience=1000),
            yolo_callbacks.MemoryCleanup(),
            yolo_callbacks.MemoryMonitor(),
            yolo_callbacks.JsonlLogger(),
            yolo_callbacks.TensorBoardLogger(),
            yolo_callbacks.WandbLogger(images=16, image_period=1),
        )
    if variant == "peer":
        import wandb
        from wandb.integration.ultralytics import add_wandb_callback

        wandb.init(project="bench", dir=os.environ["WANDB_DIR"])
        add_wandb_callback(model)
    return None


if __name__ == "__main__":
    main()
