"""One rank of a training on several CPU processes, over gloo: the real trainer, without an accelerator.

    python tests/helpers/rank_training.py FOLDER DATA CASE …

It forks both ranks, which write to `FOLDER/rank<N>.log`.
Validation is scripted, but not in the cases `REAL`. Each case is a training in `FOLDER/<case>`, where a rank leaves
what it saw, `rank<N>.json`.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch_imports  # noqa: F401 (before the fork: most of what both ranks import)

RANKS = 2


def fork_ranks(folder: Path) -> None:
    """Return in a process of each rank; this process ends when they have ended, with 1 if one has failed."""
    children = []
    for rank in range(RANKS):
        if not (child := os.fork()):
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(RANKS)}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
            log = os.open(folder / f"rank{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            return
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(int(any(statuses)))


if __name__ == "__main__":  # before Ultralytics, which reads the rank where it is imported
    fork_ranks(Path(sys.argv[1]))

# ruff: noqa: E402
import ultralytics.engine.trainer as engine
import ultralytics.engine.validator as validation
from shifted_predictions import predict_shifted_labels
from torch import distributed
from trainings import FAST, TINY, detection_metrics
from ultralytics import YOLO
from ultralytics.data.base import BaseDataset
from ultralytics.models.yolo.detect import DetectionTrainer

from yolo_callbacks import (
    Callback,
    Deadline,
    EarlyStopping,
    FailingImages,
    JsonlLogger,
    LearningRateSchedule,
    Preemption,
    RankWatchdog,
    ReduceLROnPlateau,
    SaveBest,
    SpeedMonitor,
    Unfreeze,
    ValidateEvery,
    attach,
)
from yolo_callbacks.trainer import launched_training

RANK, WORLD_SIZE = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
REAL_VALIDATION = validation.BaseValidator.__call__
REAL_LOADING = BaseDataset.__getitem__
REAL = ("images", "skips", "skips-by-time")  # the cases with a real validation
VALUES = (0.5, 0.6, 0.4, 0.3, 0.2, 0.1)


def without_accelerator() -> None:
    """Let the trainer run its multi-GPU path on the CPU."""
    init = engine.BaseTrainer.__init__

    def with_ranks(self: Any, *arguments: Any, **keywords: Any) -> None:
        init(self, *arguments, **keywords)
        self.world_size, self.ddp = WORLD_SIZE, False

    def set_up(self: Any) -> None:
        store = f"file://{Path(self.save_dir).parent}/store"
        distributed.init_process_group(
            "gloo", init_method=store, rank=RANK, world_size=WORLD_SIZE, timeout=timedelta(seconds=60)
        )

    parallel = torch.nn.parallel.DistributedDataParallel
    backend = validation.AutoBackend
    launched_training._check_plain_launch = lambda arguments: None  # as if there were a GPU for each rank
    engine.BaseTrainer.__init__ = with_ranks
    engine.BaseTrainer._setup_ddp = set_up
    engine.nn.parallel.DistributedDataParallel = lambda model, device_ids=None, **rest: parallel(model, **rest)
    validation.AutoBackend = lambda *arguments, **rest: backend(*arguments, **{**rest, "device": torch.device("cpu")})
    if hasattr(validation, "get_torch_device_backend"):
        validation.get_torch_device_backend = lambda kind: torch.cpu


def validate(self: Any, trainer: Any = None, model: Any = None) -> dict[str, float] | None:
    """Return the scripted results of a validation: metrics on rank 0."""
    self.training = trainer is not None
    self.run_callbacks("on_val_start")
    if RANK:
        return {} if model else None
    self.run_callbacks("on_val_end")
    value = VALUES[trainer.epoch] if trainer else max(VALUES)
    return {"fitness": value, **detection_metrics(value)}


class RecursiveTrainer(DetectionTrainer):
    """Has a scheduler that starts from the rate that is there."""

    def _setup_scheduler(self) -> None:
        super()._setup_scheduler()
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.9)


class ValidatingTrainer(DetectionTrainer):
    """Validates each epoch, and has no final evaluation, which would ask for an accelerator."""

    def final_eval(self) -> None: ...


class Witness(Callback):
    """Notes the rates of each epoch, on every rank."""

    every_rank = True

    def __init__(self) -> None:
        self.rates: list[list[float]] = []
        self.validated: list[int] = []

    def on_val_start(self, validator: Any) -> None:
        self.validated.append(len(self.rates))

    def on_train_epoch_end(self, trainer: Any) -> None:
        self.rates.append([group["lr"] for group in trainer.optimizer.param_groups])


class Layers(Witness):
    """Notes a digest of the weights of each layer too, and one of its running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[list[tuple[str, str]]] = []

    def on_train_epoch_end(self, trainer: Any) -> None:
        super().on_train_epoch_end(trainer)
        layers = trainer.model.module.model
        self.layers.append([(digest(layer.parameters()), digest(layer.buffers())) for layer in layers])


def load_slowly(rank: int) -> None:
    """Let the loader of one rank wait before each image, until the next case begins."""

    def slow(self: Any, index: int) -> Any:
        time.sleep(0.05 if rank == RANK else 0.0)
        return REAL_LOADING(self, index)

    BaseDataset.__getitem__ = slow


def digest(tensors: Any) -> str:
    """Return a digest of the bits of some tensors."""
    joined = b"".join(tensor.detach().numpy().tobytes() for tensor in tensors)
    return hashlib.sha256(joined).hexdigest()


class Signalled(Callback):
    """Gets SIGUSR1 on one rank, in the second epoch."""

    every_rank = True

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def on_train_batch_end(self, trainer: Any) -> None:
        if (trainer.epoch, RANK) == (1, self.rank):
            os.kill(os.getpid(), signal.SIGUSR1)


class Stands(Callback):
    """Hangs on one rank in the second epoch, until the stacks of that rank are written."""

    every_rank = True

    def __init__(self, rank: int, where: str) -> None:
        self.rank, self.where = rank, where
        self.trainer: Any = None

    def on_train_start(self, trainer: Any) -> None:
        self.trainer = trainer
        if self.where == "loader":
            dataset = trainer.train_loader.dataset
            read = dataset.get_image_and_label

            def read_from_a_slow_disk(index: int) -> Any:
                self._stand("loader")
                return read(index)

            dataset.get_image_and_label = read_from_a_slow_disk

    def on_train_batch_end(self, trainer: Any) -> None:
        self._stand("callback")

    def on_model_save(self, trainer: Any) -> None:
        self._stand("save")

    def _stand(self, where: str) -> None:
        stacks = Path(self.trainer.save_dir) / f"stacks-rank{RANK}.txt"
        end = time.monotonic() + 30
        while (where, RANK, self.trainer.epoch) == (self.where, self.rank, 1) and time.monotonic() < end:
            if stacks.is_file() and stacks.stat().st_size:
                return
            time.sleep(0.01)

    def finalize(self, run: Any) -> None:
        self.trainer = None


class Slow(Callback):
    """Takes its time on one rank, in the second and the third epoch."""

    every_rank = True

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def on_train_batch_end(self, trainer: Any) -> None:
        time.sleep(1.2 * (self.rank == RANK and trainer.epoch in (1, 2)))


class Slowly(Callback):
    """Counts the batches, and takes its time after each of the second epoch, as a real one does."""

    every_rank = True
    batches = 0

    def on_train_batch_end(self, trainer: Any) -> None:
        Slowly.batches += 1
        time.sleep(0.4 * (trainer.epoch == 1))


class Failing(Callback):
    """Raises on one rank, in the second epoch."""

    every_rank = True

    def __init__(self, rank: int, event: str) -> None:
        self.rank, self.event = rank, event
        self.epoch = -1

    def _fail(self, event: str, trainer: Any) -> None:
        if (event, RANK, trainer.epoch) == (self.event, self.rank, 1):
            raise ValueError(f"broken on rank {RANK}")

    def on_train_batch_end(self, trainer: Any) -> None:
        self._fail("on_train_batch_end", trainer)

    def on_fit_epoch_end(self, trainer: Any) -> None:
        self._fail("on_fit_epoch_end", trainer)
        self.epoch = trainer.epoch

    def state_dict(self) -> dict[str, Any]:
        # after the epoch: what is journalled before its checkpoint comes before `on_fit_epoch_end`
        if (self.event, self.rank, self.epoch) == ("state_dict", RANK, 1):
            raise ValueError(f"broken on rank {RANK}")
        return {}


def train(folder: Path, data: str, case: str) -> None:
    """Train this rank's part."""
    BaseDataset.__getitem__ = REAL_LOADING
    model = YOLO(TINY)
    witness = Layers() if case == "unfreeze" else Witness()
    validation.BaseValidator.__call__ = REAL_VALIDATION if case in REAL else validate
    monitor = "mAP5O" if case == "typo" else "mAP50"
    callbacks = [SaveBest(monitor), EarlyStopping(patience=3), ReduceLROnPlateau(patience=0), JsonlLogger(), witness]
    if case == "images":
        callbacks = [FailingImages(), witness]
        predict_shifted_labels()
    if case.startswith("skips"):
        callbacks = [ValidateEvery(2) if case == "skips" else ValidateEvery(share=0.01), JsonlLogger(), witness]
    if case == "schedule":
        callbacks += [LearningRateSchedule("step", every=2, gamma=0.5)]
    if case == "unfreeze":
        callbacks = [Unfreeze({0: "head", 2: "0", 3: "all", 4: "-head"}, lr_scale=0.5), witness]
    kind, _, failing = case.partition(" ")
    if kind == "waits":
        callbacks += [SpeedMonitor()]
        load_slowly(int(failing))
    if kind == "preempted":
        callbacks += [Preemption(), Signalled(int(failing))]
    if kind == "left-at-the-batch":
        callbacks = [witness, Slowly(), Signalled(int(failing)), Preemption(grace=0)]
    if case == "deadline":
        callbacks.append(Deadline(until="2020-01-01 00:00"))
    watchdog = RankWatchdog(timeout=1)
    if kind == "stands":
        where, rank = failing.split()
        callbacks = [JsonlLogger(), witness, watchdog, Stands(int(rank), where)]
    if kind == "slow":
        callbacks = [witness, RankWatchdog(timeout=6), Slow(int(failing))]
    if kind in ("strict", "lenient"):
        event, rank = failing.split()
        callbacks.append(Failing(int(rank), event))
    attach(model, *callbacks, strict=kind == "strict")
    seen: dict[str, Any] = {"error": None}
    try:
        arguments = {**FAST, "batch": 8, "nbs": 8, "optimizer": "SGD", "lr0": 0.01, "warmup_epochs": 0, "patience": 0}
        if kind == "left-at-the-batch":
            arguments |= {"batch": 2, "imgsz": 64}  # four batches an epoch
        if case == "unfreeze":
            arguments |= {"batch": 4, "patience": 100}  # two batches an epoch, on each rank
        if case in REAL:
            arguments |= {"batch": 2, "imgsz": 64}  # so that each rank has images to validate
        trainer = {"recursive": RecursiveTrainer, **dict.fromkeys(REAL, ValidatingTrainer)}.get(case)
        model.train(trainer=trainer, **arguments, data=data, epochs=6, project=str(folder), name="run", exist_ok=True)
    except (Exception, SystemExit) as error:
        seen["error"] = f"{type(error).__name__}: {error}"
    seen["batches"], Slowly.batches = Slowly.batches, 0
    distributed.destroy_process_group()
    (folder / f"rank{RANK}.json").write_text(json.dumps({**seen, **vars(witness)}))


def main() -> None:
    """One training after the other."""
    without_accelerator()
    for case in sys.argv[3:]:
        train(Path(sys.argv[1]) / case, sys.argv[2], case)


if __name__ == "__main__":
    main()
