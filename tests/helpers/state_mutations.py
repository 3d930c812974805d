"""Real state of schema 1, changed in every way that a file can be; and a trainer to restore it on."""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from trainings import detection_metrics

import yolo_callbacks
from yolo_callbacks import (
    Callback,
    EarlyStopping,
    JsonlLogger,
    MemoryCleanup,
    MemoryMonitor,
    ReduceLROnPlateau,
    SaveBest,
    StopOnOverfit,
)

REAL = Path(__file__).with_name("state_of_schema_1")
EPOCH = 3
RATE = 0.001429
KINDS = ("callbacks.json", "callbacks.journal.jsonl", "weights/best-mAP50-epoch002.json", "callbacks.jsonl")
_HUGE = "<a number of 5000 digits>"
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, -3, 4, 10**9, 10**400, 2.5, -0.0, 1e308, float("inf"), float("-inf"), float("nan"),
    _HUGE, "", "text", "\ud800", "\x00", "x" * 10_000, [], [[]], {}, {"a": None}, [None], [[1, 2, 3]], [[9, 0.9]],
    [[2, 0.5], [2, 0.5]], {"0": "1"}, {"-1": 0.5}, ["3"],
)  # fmt: skip


class WandbLogger(yolo_callbacks.WandbLogger):
    """Its state is that of the real one; no run is opened."""

    def on_train_start(self, trainer: Any) -> None: ...


def callbacks() -> list[Callback]:
    """Those that wrote the real state."""
    return [
        SaveBest("mAP50", top_k=2),
        SaveBest("recall", guard={"precision": 0.5}),
        EarlyStopping("mAP50-95", patience=9),
        ReduceLROnPlateau("val/box_loss", factor=0.5, patience=0),
        StopOnOverfit(),
        MemoryCleanup(host=False),
        MemoryMonitor(),
        JsonlLogger(),
        WandbLogger(images=0, log_model=False),
    ]


def copy_of_real_state(folder: Path) -> Path:
    """A run's folder with the real state, and a file in the place of each checkpoint."""
    shutil.copytree(REAL, folder)
    for name in ("last", "best-mAP50-epoch002", "best-mAP50-epoch003", "best-recall"):
        (folder / "weights" / f"{name}.pt").write_text(name)
    return folder


# Mutations ------------------------------------------------------------------------------------------------------------


def mutate(path: Path, random_: random.Random) -> str:
    """Change a file of JSON, or of JSON lines, in one way; which."""
    if random_.random() < 0.25:
        change = random_.choice([_truncate, _flip, _insert, _replace_by_folder, _not_text])
        change(path, random_)
        return change.__name__
    lines = path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text("utf-8")]
    index = random_.randrange(len(lines))
    content = json.loads(lines[index])
    done = []
    for _ in range(random_.choice([1, 1, 1, 2, 5])):
        places = list(_places(content))
        holder, key = random_.choice(places)
        change = random_.choice([_remove, _rename, _replace, _replace, _replace, _double, _deepen, _add])
        change(holder, key, random_)
        done.append(f"{change.__name__} {key!r}")
    lines[index] = json.dumps(content).replace(json.dumps(_HUGE), "9" * 5000)
    if path.suffix == ".jsonl" and random_.random() < 0.2:
        lines.insert(random_.randrange(len(lines)), lines[random_.randrange(len(lines))])
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ", ".join(done)


def _places(content: Any) -> Any:
    """Every place of a value, those of a few levels most often."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield content, key
        yield from _places(value)


def _remove(holder: Any, key: Any, _: random.Random) -> None:
    del holder[key]


def _rename(holder: Any, key: Any, random_: random.Random) -> None:
    value = holder[key]
    del holder[key]
    if isinstance(holder, dict):
        holder[random_.choice([f"{key}2", "", "\ud800", "schema", "epoch"])] = value


def _replace(holder: Any, key: Any, random_: random.Random) -> None:
    holder[key] = copy.deepcopy(random_.choice(_VALUES))


def _double(holder: Any, key: Any, _: random.Random) -> None:
    if isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    else:
        holder[f"{key} again"] = copy.deepcopy(holder[key])


def _deepen(holder: Any, key: Any, random_: random.Random) -> None:
    for _ in range(random_.choice([1, 40, 200])):
        holder[key] = [holder[key]] if random_.random() < 0.5 else {"a": holder[key]}


def _add(holder: Any, key: Any, random_: random.Random) -> None:
    if isinstance(holder, dict):
        holder["of a newer version"] = {"a": [1, None]}
        if "schema" in holder and random_.random() < 0.5:
            holder["schema"] = 99
    else:
        holder.append(copy.deepcopy(random_.choice(_VALUES)))


def _truncate(path: Path, random_: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: random_.randrange(len(content))])


def _flip(path: Path, random_: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(random_.choice([1, 3, 20])):
        content[random_.randrange(len(content))] = random_.randrange(256)
    path.write_bytes(content)


def _insert(path: Path, random_: random.Random) -> None:
    content = path.read_bytes()
    place = random_.randrange(len(content))
    text = random_.choice([b"\n", b"\xff\xfe", b"[" * 100_000, b"1e400", b"null", b'"\\ud800"', b"NaN", b"-"])
    path.write_bytes(content[:place] + text + content[place:])


def _not_text(path: Path, random_: random.Random) -> None:
    path.write_bytes(random_.choice([b"", b"\x00" * 64, b"[]\n", b"3\n", b"null\n", random_.randbytes(200)]))


def _replace_by_folder(path: Path, _: random.Random) -> None:
    path.unlink()
    path.mkdir()


# A trainer ------------------------------------------------------------------------------------------------------------


class StandIn:
    """A resumed trainer as far as a suite reads it, after its set-up."""

    def __init__(self, folder: Path, checkpoint: Path | None = None) -> None:
        names = {"save": True, "plots": False, "patience": 100, "time": None, "close_mosaic": 0, "mosaic": 0.0}
        resume = str(checkpoint or folder / "weights" / "last.pt")
        self.args = SimpleNamespace(**names, task="detect", resume=resume, warmup_epochs=0, val=True)
        self.save_dir, self.wdir, self.csv = folder, folder / "weights", folder / "results.csv"
        self.last, self.best = self.wdir / "last.pt", self.wdir / "best.pt"
        self.resume, self.start_epoch, self.epochs, self.epoch = True, EPOCH, 9, EPOCH - 1
        self.batch_size, self.world_size, self.device = 4, 1, torch.device("cpu")
        self.metrics = dict.fromkeys(detection_metrics(0.0), 0.0)
        self.fitness = self.tloss = self.best_fitness = None
        self.loss_names = ("box_loss", "cls_loss", "dfl_loss")
        self.data, self.model, self.stop = {"names": {0: "a", 1: "b", 2: "c"}}, None, False
        groups = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(3)]
        self.optimizer = torch.optim.SGD(groups, lr=RATE)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda epoch: 1.0)
        self.train_loader: list[Any] = [None] * 4
        self.test_loader, self.stopper, self.ema, self.lr = None, None, None, {}
        self.callbacks: dict[str, list[Callable[..., None]]] = {}
        self.validator = SimpleNamespace(training=True, metrics=None, callbacks={})

    def nothing(self, *_: Any, **__: Any) -> None: ...

    _do_train = train = validate = final_eval = save_model = resume_training = preprocess_batch = nothing

    def end_epoch(self, handle: Callable[[str, Any], None], value: float) -> None:
        """Call the events of the next epoch on a suite."""
        self.epoch += 1
        handle("on_train_epoch_start", self)
        with_step = [group["lr"] for group in self.optimizer.param_groups]
        assert with_step
        self.optimizer.step()
        self.scheduler.step()
        self.lr = {f"lr/pg{index}": group["lr"] for index, group in enumerate(self.optimizer.param_groups)}
        handle("on_train_epoch_end", self)
        self.validate()
        self.metrics, self.fitness = detection_metrics(value), value
        self.last.write_text(f"epoch {self.epoch + 1}")
        handle("on_model_save", self)
        handle("on_fit_epoch_end", self)
