"""Train a configuration in one of the ways that are compared: without a suite, with the default one, with all."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import pickle
import random
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from stand_in_export import stand_in
from trainings import FAST, TINY  # first: it isolates Ultralytics
from ultralytics import RTDETR, YOLO
from ultralytics.utils import LOGGER
from ultralytics.utils.callbacks.base import default_callbacks
from ultralytics.utils.torch_utils import init_seeds

from do_no_harm.comparison import Outcome, clean, is_of_the_machine, lines_of_errors
from do_no_harm.data import data_set, forget_caches

if TYPE_CHECKING:
    from do_no_harm.configurations import Configuration

SUITES = ("none", "default", "all")
MODELS = Path(__file__).parent / "models"
# What must still be there after a training, as it is without a suite.
KEPT = ("ema", "optimizer", "scheduler", "scaler", "train_loader", "test_loader", "validator", "stopper", "model")


class Arm:
    """One way to train a configuration.

    Args:
        configuration: What to train.
        suite: One of `SUITES`.
        folder: Where the runs go; with nothing else in it.
        data_folder: Where the data sets are, and what else the ways share.
    """

    def __init__(self, configuration: Configuration, suite: str, folder: Path, data_folder: Path) -> None:
        self.configuration, self.suite, self.folder, self.data_folder = configuration, suite, folder, data_folder
        self.events: list[Any] = []
        self.aftermath: dict[str, Any] = {}

    def data(self, name: str | None = None) -> str:
        """The `data` argument: of the configuration, or of a data set by its name."""
        return str(data_set(self.data_folder, name or self.configuration.data))

    def source(self) -> str:
        """Return the file that the model is made from: one of `models/`, or a name that Ultralytics knows."""
        name = self.configuration.model
        if name == "trained":
            return str(trained(self.data_folder))
        own = MODELS / f"{name}.yaml"
        return TINY if name == "tiny" else str(own) if own.exists() else name

    def arguments(self, **more: Any) -> dict[str, Any]:
        """The arguments of a training."""
        own = {"epochs": 3, "project": str(self.folder), "name": "run", **self.configuration.arguments}
        return {**FAST, **own, **({} if "data" in more else {"data": self.data()}), **more}

    def model(self, source: Path | None = None) -> Any:
        """A new model with the user's callbacks, and the suite if there is one."""
        kind = RTDETR if self.configuration.model == "rtdetr" else YOLO
        model = kind(str(source or self.source()))
        self.prepare(model)
        return model

    def prepare(self, model: Any) -> None:
        """Give a model or trainer what is the user's, then the suite."""
        if "events" in self.configuration.aspects:
            for event in default_callbacks:
                model.add_callback(event, functools.partial(self._note_event, event))
        if self.configuration.prepare:
            self.configuration.prepare(model)
        attach_suite(model, self.suite)

    def train(self, model: Any, **more: Any) -> None:
        """Train, and note what is left."""
        arguments = {"resume": True} if more.get("resume") else self.arguments(**more)
        try:
            model.train(trainer=self.configuration.trainer, **arguments)
        finally:
            self.note(model, model.trainer)

    def note(self, model: Any, trainer: Any) -> None:
        """Note what can be read of a model and its trainer after a training."""
        after: dict[str, Any] = {name: _kind(getattr(trainer, name, "absent")) for name in KEPT}
        for name in ("epoch", "epochs", "stop", "fitness", "best_fitness", "metrics", "loss_names", "batch_size", "lr"):
            after[name] = _plain(getattr(trainer, name, "absent"))
        ema, validator = getattr(trainer, "ema", None), getattr(trainer, "validator", None)
        after["ema.ema"] = _digest(getattr(ema, "ema", None))
        after["validator.dataloader"] = _kind(getattr(validator, "dataloader", "absent"))
        after["validator.metrics"] = _plain(getattr(getattr(validator, "metrics", None), "results_dict", "absent"))
        if model is not None:
            after["model"] = _digest(model.model)
            after["model.ckpt_path"] = str(model.ckpt_path)
            after["model.metrics"] = _plain(getattr(model.metrics, "results_dict", model.metrics))
        self.aftermath[f"training {len(self.aftermath) + 1}"] = after

    def _note_event(self, event: str, source: Any) -> None:
        if event.startswith(("on_val", "on_predict", "on_export")):
            self.events.append((event, getattr(source, "training", None)))
        else:
            seen = {name: getattr(source, name, None) for name in ("epoch", "stop", "fitness", "best_fitness")}
            self.events.append((event, _plain(seen)))


def run_arm(configuration: Configuration, suite: str, folder: Path, data_folder: Path) -> Outcome:
    """Train a configuration in one way, in this process.

    Args:
        configuration: What to train.
        suite: One of `SUITES`.
        folder: Where the runs go; emptied.
        data_folder: Where the data sets are.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    arm, outcome = Arm(configuration, suite, folder, data_folder), Outcome(folder)
    arm.source()  # what it has to train first
    forget_caches(data_folder)
    init_seeds(0)  # a model is made before its trainer sets the seed
    with _offline(data_folder), noted(outcome.errors):
        started = time.perf_counter()
        try:
            configuration.script(arm)
        except Exception as error:
            outcome.exit = f"{type(error).__name__}: {error}"
        outcome.seconds = time.perf_counter() - started
    outcome.events, outcome.aftermath = arm.events, arm.aftermath
    outcome.aftermath["process"] = process_state()
    return outcome


def run_forked(interpreter: Any, configuration: Configuration, suite: str, folder: Path, data_folder: Path) -> Outcome:
    """Train a configuration in one way, in a process of its own without pytest."""
    answer = folder.with_suffix(".pickle")
    answer.unlink(missing_ok=True)
    script = (
        "import pickle\nfrom pathlib import Path\n"
        "from do_no_harm.arms import run_arm\nfrom do_no_harm.configurations import BY_NAME\n"
        "outcome = run_arm(BY_NAME[name], suite, Path(folder), Path(data_folder))\n"
        "Path(answer).write_bytes(pickle.dumps(outcome))\n"
    )
    names = {"folder": str(folder), "data_folder": str(data_folder), "answer": str(answer)}
    ended = interpreter.run(script, name=configuration.name, suite=suite, **names)
    if not answer.exists():
        raise RuntimeError(f"the process ended with {ended.status}:\n{ended.said}")
    outcome: Outcome = pickle.loads(answer.read_bytes())
    outcome.errors += lines_of_errors(ended.said)
    if ended.status:
        outcome.exit += f", then status {ended.status}"
    return outcome


def attach_suite(model: Any, suite: str) -> None:
    """Attach one of the suites to a model or a trainer."""
    if suite == "none":
        return
    from yolo_callbacks import attach

    if suite == "default":
        attach(model)
        return
    from yolo_callbacks import (
        EarlyStopping,
        ExportBest,
        FailingImages,
        JsonlLogger,
        MemoryCleanup,
        MemoryMonitor,
        Mirror,
        MLflowLogger,
        Notify,
        RankWatchdog,
        ReduceLROnPlateau,
        RemoteControl,
        SaveBest,
        SpeedMonitor,
        StopOnOverfit,
        TensorBoardLogger,
        Unfreeze,
        ValidateEvery,
        WandbLogger,
    )

    attach(
        model,
        SaveBest(top_k=2),
        EarlyStopping(),
        ReduceLROnPlateau(patience=1000),
        StopOnOverfit(ratio=1e9, patience=1000),
        MemoryCleanup(),
        MemoryMonitor(),
        SpeedMonitor(),
        Unfreeze({0: "all"}),
        ValidateEvery(1),
        RemoteControl(),
        RankWatchdog(),
        FailingImages(),
        stand_in(ExportBest(when="best", trials=True)),  # a real export takes longer than most of these trainings
        Mirror("memory://mirror"),
        Notify("json://127.0.0.1:9/nobody-listens"),
        WandbLogger(images=2),
        MLflowLogger(images=2),
        TensorBoardLogger(),
        JsonlLogger(),
        report=True,
    )


def trained(folder: Path) -> Path:
    """A model that has learned something, trained where it is not there yet."""
    path = folder / "trained.pt"
    if not path.exists():
        data = data_set(folder, "learnable")
        arguments = {**FAST, "imgsz": 64, "batch": 8, "nbs": 8, "optimizer": "AdamW", "lr0": 0.01, "mosaic": 0.0}
        model = YOLO(str(MODELS / "learner.yaml"))
        model.train(**arguments, warmup_epochs=0, data=str(data), epochs=16, project=str(folder), name="trained")
        shutil.copyfile(model.trainer.last, path)
    return path


def process_state() -> dict[str, Any]:
    """Return the state of the process that a training must not change, and that of the random number generators."""
    states = (repr(random.getstate()), repr(np.random.get_state()[1].tolist()), repr(torch.get_rng_state().tolist()))
    return {
        "directory": str(Path.cwd()),
        "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        "level of the log": LOGGER.level,
        "gradients": torch.is_grad_enabled(),
        "threads of torch": torch.get_num_threads(),
        "environment": {key: value for key, value in os.environ.items() if not key.startswith(("WANDB", "PYTEST"))},
        "random numbers": [hashlib.sha256(state.encode()).hexdigest() for state in states],
    }


@contextlib.contextmanager
def noted(errors: list[str]) -> Iterator[None]:
    """Note what says in this process that something went wrong: log records, warnings, exceptions of threads."""

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if (record.levelno >= logging.WARNING or record.exc_info) and not is_of_the_machine(record.getMessage()):
                trace = f"\n{logging.Formatter().formatException(record.exc_info)}" if record.exc_info else ""
                errors.append(f"{record.levelname} of {record.name}: {clean(record.getMessage())}{trace}")

    handler, hook = Notes(), threading.excepthook
    threading.excepthook = lambda failed: errors.append(f"ERROR in a thread: {failed.exc_value!r}")
    loggers = [LOGGER, logging.getLogger("wandb"), logging.getLogger()]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            # of no consequence, by the garbage collector at any time
            warnings.simplefilter("ignore", ResourceWarning)
            # of wandb 0.31.0 on Python 3.14
            warnings.filterwarnings("ignore", r"codecs\.open\(\) is deprecated", DeprecationWarning)
            yield
    finally:
        threading.excepthook = hook
        for logger in loggers:
            logger.removeHandler(handler)
    errors += [f"WARNING as {warning.category.__name__}: {warning.message}" for warning in caught]


@contextlib.contextmanager
def _offline(folder: Path) -> Iterator[None]:
    """Keep W&B off the network, and what is its own out of the way."""
    kept = {key: value for key, value in os.environ.items() if key.startswith("WANDB")}
    for key in kept:
        del os.environ[key]
    places = {f"WANDB_{name}_DIR": str(folder / "wandb") for name in ("DATA", "CACHE", "CONFIG", "ARTIFACT")}
    os.environ.update({"WANDB_MODE": "offline", **places})
    try:
        yield
    finally:
        for key in [key for key in os.environ if key.startswith("WANDB") and key != "WANDB_SERVICE"]:
            del os.environ[key]
        os.environ.update(kept)


def _kind(value: Any) -> str:
    return value if isinstance(value, str) else type(value).__name__


def _plain(value: Any) -> Any:
    """Numbers, texts and what holds them; of anything else its kind."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)) and getattr(value, "size", 1) == 1:
        return float(value)
    return value if isinstance(value, (str, int, float, bool, type(None))) else _kind(value)


def _digest(model: Any) -> str:
    if not isinstance(model, torch.nn.Module):
        return _kind(model)
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
