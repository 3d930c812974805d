"""Train a model as users' scripts do: once, resumed, in threads."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from do_no_harm.arms import Arm

SUITE_OF_ALL = {
    "report": True,
    "callbacks": [
        {"SaveBest": {"top_k": 2}},
        "EarlyStopping",
        {"ReduceLROnPlateau": {"patience": 1000}},
        {"StopOnOverfit": {"ratio": 1e9, "patience": 1000}},
        "MemoryCleanup",
        "MemoryMonitor",
        "SpeedMonitor",
        {"WandbLogger": {"images": 2}},
        "TensorBoardLogger",
        "JsonlLogger",
    ],
}


class Interrupted(Exception):  # noqa: N818
    """Ends a training in its middle."""


def once(arm: Arm) -> None:
    """Train a model once."""
    arm.train(arm.model())


def twice(arm: Arm) -> None:
    """Train one model object twice, in folders of their own."""
    model = arm.model()
    arm.train(model, name="first")
    arm.train(model, name="second")


def same_folder(arm: Arm) -> None:
    """Train twice in one folder, the second time for fewer epochs."""
    arm.train(arm.model(), exist_ok=True, epochs=3)
    arm.train(arm.model(), exist_ok=True, epochs=2)


def resumed(arm: Arm) -> None:
    """Train until an exception in the third epoch, and resume it."""

    def interrupt(trainer: Any) -> None:
        if trainer.epoch == 2:
            raise Interrupted

    model = arm.model()
    model.add_callback("on_train_epoch_end", interrupt)
    try:
        arm.train(model)
    except Interrupted:
        pass
    else:
        raise AssertionError("the training was not interrupted")
    arm.train(arm.model(arm.folder / "run" / "weights" / "last.pt"), resume=True)


def stopped_and_resumed(arm: Arm) -> None:
    """Stop by a callback of the user's and keep the checkpoint as it was, to resume from."""

    def keep(trainer: Any) -> None:
        if trainer.epoch == 1 and not trainer.stop:
            trainer.stop = True
            (arm.folder / "kept.pt").write_bytes(trainer.last.read_bytes())

    model = arm.model()
    model.add_callback("on_fit_epoch_end", keep)
    arm.train(model)
    (arm.folder / "kept.pt").replace(arm.folder / "run" / "weights" / "last.pt")
    arm.train(arm.model(arm.folder / "run" / "weights" / "last.pt"), resume=True)


def validated_after(arm: Arm) -> None:
    """Validate and predict with the trained model, then train it again."""
    model = arm.model()
    arm.train(model, name="first")
    model.val(data=arm.data(), imgsz=32, workers=0, plots=False, project=str(arm.folder), name="val")
    arm.train(model, name="second")


def list_of_data(arm: Arm) -> None:
    """Train on two data sets, one after the other."""
    arm.train(arm.model(), data=[arm.data("detect"), arm.data("two of three")])


def tuned(arm: Arm) -> None:
    """Tune for one iteration, whose hyperparameters are the given ones."""
    model = arm.model()
    model.tune(iterations=1, use_ray=False, **arm.arguments(), save=True, val=True)


def in_threads(arm: Arm) -> None:
    """Train two models at once, each in a thread, on data sets of their own: Ultralytics caches labels beside them."""
    failed: list[Exception] = []

    def train(name: str, data: str) -> None:
        try:
            arm.train(arm.model(), name=name, data=data)
        except Exception as error:
            failed.append(error)

    pairs = (("first", arm.data("detect")), ("second", arm.data("two of three")))
    threads = [threading.Thread(target=train, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def spawned(arm: Arm) -> None:
    """Train in a process that multiprocessing has spawned."""
    process = multiprocessing.get_context("spawn").Process(
        target=_spawned, args=(arm.configuration.name, arm.suite, arm.folder, arm.data_folder)
    )
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"the process ended with {process.exitcode}")


def _spawned(name: str, suite: str, folder: Any, data_folder: Any) -> None:
    from do_no_harm.arms import Arm
    from do_no_harm.configurations import BY_NAME

    once(Arm(BY_NAME[name], suite, folder, data_folder))


def command(arm: Arm) -> None:
    """Train by the `yolo` command."""
    arguments = [f"{key}={value}" for key, value in arm.arguments().items()]
    words = [sys.executable, "-m", "ultralytics.cfg.__init__", "train", f"model={arm.source()}", *arguments]
    subprocess.run(words, check=True)


def with_variable(script: Any) -> Any:
    """Have a script's processes get the suite by the environment, where no object of this process reaches them."""

    def run(arm: Arm) -> None:
        suite, arm.suite = arm.suite, "none"
        if suite == "all":
            (arm.data_folder / "callbacks.yaml").write_text(yaml.safe_dump(SUITE_OF_ALL))
        value = {"none": None, "default": "default", "all": str(arm.data_folder / "callbacks.yaml")}[suite]
        try:
            if value:
                os.environ["YOLO_CALLBACKS"] = value
            script(arm)
        finally:
            os.environ.pop("YOLO_CALLBACKS", None)

    return run


def by_trainer(arm: Arm) -> None:
    """Use a trainer without a model: what `attach` takes as well."""
    from ultralytics.models.yolo.detect import DetectionTrainer

    trainer = DetectionTrainer(overrides={**arm.arguments(), "model": arm.source(), "task": "detect"})
    arm.prepare(trainer)
    try:
        trainer.train()
    finally:
        arm.note(None, trainer)
