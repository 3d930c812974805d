"""Train with a mirror, kill the process at a step of the store, and go on in another folder, many times over.

    python tests/helpers/mirrored_runs.py FOLDER DATA [STEP …]

A whole training runs in `FOLDER/whole`, unless it is there. `FOLDER/whole/steps.txt` lists the steps of its store:
before, within and after each file that is written, and each other call. For each number of a step that is given, a
training runs in `FOLDER/<number>/here`, is killed at that step (SIGKILL), and goes on in `FOLDER/<number>/there` from
the store alone. Each epoch waits for its copy, so that the steps come in one order.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from faulty_store import FaultyFileSystem
from killed_runs import at_once, forked, validate
from killed_values import EPOCHS
from trainings import FAST, TINY
from ultralytics import YOLO
from ultralytics.engine.validator import BaseValidator

from yolo_callbacks import (
    EarlyStopping,
    JsonlLogger,
    Mirror,
    ReduceLROnPlateau,
    SaveBest,
    WandbLogger,
    attach,
    resume_or_train,
)


def watch(steps: Path, kill_at: int | None) -> None:
    """Note each step of the store, or kill the process at one."""
    count = 0

    def at_step(name: str) -> None:
        nonlocal count
        if kill_at is None:
            with steps.open("a") as file:
                file.write(f"{count} {name}\n")
        elif count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    FaultyFileSystem.at_step = staticmethod(at_step)


def train(project: Path, store: Path, data: Path) -> None:
    """Train, or go on."""
    torch.set_num_threads(1)
    BaseValidator.__call__ = validate
    model, mirror = YOLO(TINY, task="detect"), Mirror(f"faulty://{store}")
    attach(
        model,
        SaveBest("mAP50"),
        SaveBest("recall", top_k=2),
        SaveBest("mAP50-95/one"),
        EarlyStopping("mAP50-95", patience=3),
        ReduceLROnPlateau("val/box_loss", factor=0.5, patience=0),
        JsonlLogger(),
        WandbLogger(images=0, log_model=False, batch_period=0),
        mirror,
    )

    def wait(trainer: Any) -> None:
        uploader = mirror._uploader
        if uploader is not None and not uploader.wait(60):
            raise TimeoutError

    model.add_callback("on_train_epoch_start", wait)
    given = {**FAST, "batch": 8, "nbs": 8, "data": str(data), "epochs": EPOCHS, "patience": 0}
    resume_or_train(model, **given, project=str(project), name="run")


def killed_and_continued(folder: Path, data: Path, step: int) -> None:
    """One step; `FOLDER/<step>/failed` appears where something else happened than a kill and an end."""
    folder.mkdir()

    def here() -> None:
        watch(folder / "steps.txt", step)
        train(folder / "here", folder / "store", data)

    killed = forked(here, folder / "killed.log")
    shutil.move(folder / "here", folder / "lost")
    continued = forked(lambda: train(folder / "there", folder / "store", data), folder / "continued.log")
    if continued or killed != -signal.SIGKILL:
        (folder / "failed").write_text(f"killed: {killed}, continued: {continued}")


def main() -> None:
    """Run what the arguments say."""
    folder, data = Path(sys.argv[1]), Path(sys.argv[2])
    whole = folder / "whole"

    def uninterrupted() -> None:
        watch(whole / "steps.txt", None)
        train(whole / "here", whole / "store", data)

    if not whole.exists():
        whole.mkdir(parents=True)
        if status := forked(uninterrupted, whole / "run.log"):
            raise SystemExit(status)
    total = len((whole / "steps.txt").read_text().splitlines())
    works = []
    for step in sys.argv[3:]:
        number = total * int(step.removesuffix("%")) // 100 if step.endswith("%") else int(step)
        works.append(partial(killed_and_continued, folder / step.removesuffix("%"), data, number))
    at_once(works)


if __name__ == "__main__":
    main()
