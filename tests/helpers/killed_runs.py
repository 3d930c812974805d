"""Train, kill and resume, many times over, in processes forked from one that has everything imported.

    python tests/helpers/killed_runs.py FOLDER DATA [MOMENT …]

A whole training runs in `FOLDER/whole`, unless it is there. `FOLDER/whole/moments.txt` lists its moments: each event
before and after the suite, and each step of each file that the library writes. For each of the moments, which are named
or numbered as in that list, a training runs in `FOLDER/<number>`, is killed there (SIGKILL), and is resumed. A moment
such as `SIGTERM@0.25` is a signal and a share of the time that the whole training took from its last epoch to its end.
A moment such as `SIGUSR1!12` or `SIGUSR1!epoch 5 before save_model` is a signal that comes there, with `Preemption` in
the suite; `SIGUSR1!12!0` gives a grace of 0 seconds.

Validation is scripted by epoch number, so that every training is fed the same values.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("WANDB_MODE", "offline")

import numpy as np
import torch
import training_imports  # noqa: F401
import wandb
import wandb.sdk.launch
from killed_values import EPOCHS, MAIN, RECALL, STOP
from trainings import FAST, TINY, detection_metrics
from ultralytics import YOLO
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.engine.validator import BaseValidator

from yolo_callbacks import (
    EarlyStopping,
    JsonlLogger,
    Preemption,
    ReduceLROnPlateau,
    RemoteControl,
    SaveBest,
    Unfreeze,
    ValidateEvery,
    WandbLogger,
    attach,
)
from yolo_callbacks.callbacks.events import Event

# values of a class are in no checkpoint
CLASS_ONE = (0.2, 0.1, 0.3, 0.4, 0.5, 0.2, 0.2, 0.9)
BY_STEPS = int(os.environ.get("KILLED_RUNS_AT_ONCE", "2"))


def validate(self: Any, trainer: Any = None, model: Any = None) -> dict[str, float]:
    """Return the scripted results of the validation of an epoch."""
    self.training = trainer is not None
    self.run_callbacks("on_val_start")
    index = trainer.epoch if trainer else 3
    metrics = detection_metrics(MAIN[index], **{"metrics/recall(B)": RECALL[index]})
    self.metrics.names, box = {0: "zero", 1: "one", 2: "two"}, self.metrics.box
    box.ap_class_index = [0, 1]
    box.p = box.r = np.array([0.5, CLASS_ONE[index]])
    box.all_ap = np.repeat([[0.5], [CLASS_ONE[index]]], 10, axis=1)
    box.px, box.f1_curve = np.linspace(0, 1, 5), np.array([[0.1, 0.2, 0.9, 0.1, 0.1]] * 2)
    self.run_callbacks("on_val_end")
    losses = {key: value for key, value in metrics.items() if key.startswith("val/") and self.training}
    measured = {key: value for key, value in metrics.items() if key.startswith("metrics/")}
    return {"fitness": MAIN[index], **measured, **losses}


class Moments:
    """Counts moments; notes them, or kills the process at one."""

    def __init__(self, log: Path, kill_at: int | None, name: str = "SIGKILL") -> None:
        self.log, self.kill_at, self.count = log, kill_at, 0
        self.signal = getattr(signal, name)
        self.where = "start"

    def __call__(self, label: str) -> None:
        if self.kill_at is None:
            with self.log.open("a") as file:
                file.write(f"{self.count} {self.where} {label}\n")
        elif self.count == self.kill_at:
            os.kill(os.getpid(), self.signal)
        self.count += 1

    def around(self, function: Callable[..., Any], label: Callable[..., str | None]) -> Callable[..., Any]:
        """A function with a moment before and after it, where `label` gives a name."""

        def called(*arguments: Any, **keywords: Any) -> Any:
            name = label(*arguments)
            if name:
                self(f"before {name}")
            result = function(*arguments, **keywords)
            if name:
                self(f"after {name}")
            return result

        return called


def ours(path: Any) -> bool:
    """Whether the library wrote a file or had it written, under its own name or a temporary one."""
    name = plain_name(path)
    return name.startswith(("callbacks", "best", "last")) and name != "callbacks.jsonl"


def plain_name(path: Any) -> str:
    """The name of a file, without what makes it a temporary one."""
    return re.sub(r"^\.(.+)\.[0-9a-f]{16}\.tmp$", r"\1", Path(path).name)


class Inline:
    """A thread that does its work at once, so that moments come in one order."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def submit(self, function: Callable[..., Any], *arguments: Any) -> None:
        function(*arguments)

    def shutdown(self) -> None: ...


def watch(moments: Moments) -> None:
    """Make a moment of each step of each file."""

    def half_written(self: Path, text: str, *arguments: Any, **keywords: Any) -> int:
        if ours(self):
            written(self, text[: len(text) // 2], *arguments, **keywords)
            moments(f"half of {plain_name(self)}")
        return written(self, text, *arguments, **keywords)

    def half_of_a_checkpoint(self: Path, content: bytes) -> int:
        if ours(self):
            written_bytes(self, content[: len(content) // 2])
            moments(f"half of {plain_name(self)}")
        return written_bytes(self, content)

    def half_copied(source: Any, target: Any, *arguments: Any, **keywords: Any) -> Any:
        if ours(target):
            written_bytes(Path(target), Path(source).read_bytes()[:5000])
            moments(f"half of {plain_name(target)}")
        return copied(source, target, *arguments, **keywords)

    def half_saved(content: Any, file: Any, *arguments: Any, **keywords: Any) -> Any:
        result = saved(content, file, *arguments, **keywords)
        if isinstance(file, (str, Path)) and ours(file):  # a checkpoint that is stripped
            whole = Path(file).read_bytes()
            written_bytes(Path(file), whole[: len(whole) // 2])
            moments(f"half of the stripped {plain_name(file)}")
            written_bytes(Path(file), whole)
        return result

    def half_appended(path: Path, line: str) -> None:
        if not ours(path):
            return appended(path, line)
        size = path.stat().st_size if path.exists() else 0
        with path.open("a") as file:
            file.write(line[: len(line) // 2])
        moments(f"half of a line of {path.name}")
        os.truncate(path, size)
        appended(path, line)
        moments(f"after a line of {path.name}")
        return None

    import yolo_callbacks.state.journal as journal
    import yolo_callbacks.utils.background as background
    import yolo_callbacks.utils.files as files

    background.ThreadPoolExecutor = Inline  # type: ignore[misc,assignment]
    written, written_bytes, copied, appended = Path.write_text, Path.write_bytes, shutil.copyfile, files.append_line
    Path.write_text = half_written  # type: ignore[method-assign]
    Path.write_bytes = half_of_a_checkpoint  # type: ignore[method-assign,assignment]
    shutil.copyfile = half_copied  # type: ignore[assignment]
    saved, torch.save = torch.save, half_saved
    journal.append_line = half_appended
    named = lambda path, *_: Path(path).name if ours(path) else None  # noqa: E731
    Path.replace = moments.around(Path.replace, lambda path, to: f"rename to {to.name}" if ours(path) else None)
    Path.unlink = moments.around(Path.unlink, lambda path, *_: f"removing {plain_name(path)}" if named(path) else None)
    BaseTrainer.save_model = moments.around(BaseTrainer.save_model, lambda trainer: "save_model")
    BaseTrainer.save_metrics = moments.around(BaseTrainer.save_metrics, lambda *_: "save_metrics")


def signal_later(folder: Path, moment: str) -> None:
    """Send a signal to this process in a while."""
    name, _, share = moment.partition("@")
    seconds = float((folder.parent / "whole" / "end_seconds").read_text()) * float(share)
    timer = threading.Timer(seconds, os.kill, (os.getpid(), getattr(signal, name)))
    timer.daemon = True
    timer.start()


def train(folder: Path, data: Path, kill_at: int | str | None) -> None:
    """Train, or go on with what is there."""
    torch.set_num_threads(1)
    BaseValidator.__call__ = validate
    last = folder / "run" / "weights" / "last.pt"
    preemption, name = [], "SIGKILL"
    if isinstance(kill_at, str) and "!" in kill_at:
        name, number, *grace = kill_at.split("!")
        preemption, kill_at = [Preemption(grace=float(grace[0]) if grace else 30)], int(number)
    moments = Moments(folder / "moments.txt", -1 if isinstance(kill_at, str) else kill_at, name)
    ended: list[float] = []
    model = YOLO(last if last.exists() else TINY, task="detect")

    def moment(event: str, when: str) -> Callable[[Any], None]:
        def called(source: Any) -> None:
            if event == "on_train_epoch_start":
                moments.where = f"epoch {source.epoch + 1}"
            moments(f"{when} {event}")

        return called

    watched = [event.value for event in Event if not event.startswith(("on_predict", "on_export", "on_val_batch"))]
    for event in watched:
        model.add_callback(event, moment(event, "before"))
    attach(
        model,
        SaveBest("mAP50"),
        SaveBest("recall", top_k=2),
        SaveBest("mAP50-95/one"),
        EarlyStopping("mAP50-95", patience=3),
        ReduceLROnPlateau("val/box_loss", factor=0.5, patience=0),
        Unfreeze({0: "head", 2: "0", 4: "all"}, lr_scale=0.5),
        ValidateEvery(1),
        RemoteControl(),
        JsonlLogger(),
        WandbLogger(images=0, log_model=False, batch_period=0),
        *preemption,
    )
    for event in watched:
        model.add_callback(event, moment(event, "after"))

    def last_epoch(trainer: Any) -> None:
        if trainer.epoch + 1 == STOP and trainer.validator.training:
            ended.append(perf_counter())
            if isinstance(kill_at, str):
                signal_later(folder, kill_at)

    model.add_callback("on_fit_epoch_end", last_epoch)
    if not isinstance(kill_at, str):
        watch(moments)
    fresh = {**FAST, "batch": 8, "nbs": 8, "data": str(data), "epochs": EPOCHS, "project": str(folder), "name": "run"}
    arguments = {"resume": True} if last.exists() else {**fresh, "patience": 0, "exist_ok": True}
    model.train(**arguments)
    if kill_at is None:
        (folder / "end_seconds").write_text(str(perf_counter() - ended[0]))


def forked(function: Callable[[], None], log: Path) -> int:
    """Run a function in a process of its own; its exit status, the signal as a negative number."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    try:
        function()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    wandb.teardown()
    os._exit(0)


def killed_and_resumed(folder: Path, data: Path, moment: int | str) -> None:
    """One moment; `FOLDER/<moment>/failed` appears where something else happened than a kill and an end."""
    folder.mkdir()
    killed = forked(lambda: train(folder, data, moment), folder / "killed.log")
    resumed = forked(lambda: train(folder, data, -1), folder / "resumed.log")
    over = isinstance(moment, str) and "is of a run that is over" in (folder / "resumed.log").read_text()
    if over:  # the signal came after the last step of the run, or too late to end it
        (folder / "over").touch()
    elif resumed or (isinstance(moment, int) and killed != -signal.SIGKILL):
        (folder / "failed").write_text(f"killed: {killed}, resumed: {resumed}")


def at_once(works: Iterable[Callable[[], None]]) -> None:
    """Run functions in processes of their own, some at once."""
    running: set[int] = set()
    for work in works:
        if len(running) == BY_STEPS:
            running.discard(os.wait()[0])
        pid = os.fork()
        if not pid:
            work()
            os._exit(0)
        running.add(pid)
    while running:
        running.discard(os.wait()[0])


def numbered(moment: str, labels: list[str]) -> int | str:
    """Return a moment with its number in place of its name."""
    parts = moment.split("!")
    index = min(1, len(parts) - 1)
    number = int(parts[index]) if parts[index].isdigit() else labels.index(parts[index])
    parts[index] = str(number)
    return number if len(parts) == 1 else "!".join(parts)


def main() -> None:
    """Run what the arguments say."""
    folder, data = Path(sys.argv[1]), Path(sys.argv[2])
    whole = folder / "whole"
    if not whole.exists():
        whole.mkdir()
        if status := forked(lambda: train(whole, data, None), whole / "run.log"):
            raise SystemExit(status)
    labels = [line.split(" ", 1)[1] for line in (whole / "moments.txt").read_text().splitlines()]
    moments = [
        int(given) if given.isdigit() else given if "@" in given else numbered(given, labels) for given in sys.argv[3:]
    ]
    at_once(partial(killed_and_resumed, folder / str(moment), data, moment) for moment in moments)


if __name__ == "__main__":
    main()
