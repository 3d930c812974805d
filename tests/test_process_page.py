"""The page on what the library changes in a process, against what is changed in a training with every callback."""

from __future__ import annotations

import fnmatch
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stand_in_trial import made
from trainings import TINY
from ultralytics import YOLO

import _yolo_callbacks_boot
import yolo_callbacks
from yolo_callbacks import Callback, LambdaCallback, MonitorCallback, WandbLogger, attach
from yolo_callbacks.trainer.installation import installed_version

PACKAGE = Path(yolo_callbacks.__file__).parent
SOURCES = [*sorted(PACKAGE.rglob("*.py")), Path(_yolo_callbacks_boot.__file__)]
PAGE = PACKAGE.parent / "docs" / "process.md"
END_OF_PROCESS = "the end of the process"


def rows(heading: str) -> list[list[str]]:
    """The rows of the table below a heading, without its header."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return cells[2:]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def is_of_the_package(function: Any) -> bool:
    """Return whether the library defines a function or a callable object, even if `functools.wraps` has renamed it."""
    if callable(function) and type(function).__module__.startswith("yolo_callbacks"):
        return True
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return code is not None and Path(code.co_filename) in SOURCES


def wrapped(where: str, owner: Any) -> Iterator[tuple[str, str]]:
    """The methods of an object, and of its class, that the library has replaced."""
    for namespace in (vars(owner), vars(type(owner))):
        yield from ((where, name) for name, value in list(namespace.items()) if is_of_the_package(value))


def wrapped_in_modules() -> Iterator[tuple[str, str]]:
    limited = "mlflow.environment_variables"
    for variable in vars(sys.modules.get(limited, object)).values():
        yield from (
            (limited, name)
            for name, value in getattr(variable, "__dict__", {}).items()
            if name == "get" and is_of_the_package(value)
        )
    for name, module in list(sys.modules.items()):
        if name.startswith("ultralytics") or name == "subprocess":
            yield from wrapped(name, module)
            for owner in [value for value in list(vars(module).values()) if isinstance(value, type)]:
                if owner.__module__ == name:
                    found = [method for method, value in vars(owner).items() if is_of_the_package(value)]
                    yield from ((f"{name}.{owner.__name__}", method) for method in found)


def wrapped_now(trainer: Any, model: Any) -> set[tuple[str, str]]:
    parts = ("validator", "scheduler", "optimizer", "model", "ema", "train_loader", "test_loader", "stopper")
    owners = {"the trainer": trainer, "the model": model}
    owners |= {f"the {part}": owner for part in parts if hasattr(owner := getattr(trainer, part, None), "__dict__")}
    found = {each for where, owner in owners.items() for each in wrapped(where, owner)}
    return {each for each in found if each[1] != "__reduce_ex__"} | set(wrapped_in_modules())


def documented(until: str) -> set[tuple[str, str]]:
    """Return the methods in the table of wrapped methods, without those of other versions and of YOLO_CALLBACKS."""
    found = set()
    workers_get_callbacks = installed_version() >= (8, 4, 140)
    for where, names, why, last in rows("Methods that are wrapped"):
        owners = quoted(where) or [where]
        of_other_version = "before 8.4.140" in where and workers_get_callbacks
        if last == until and not of_other_version and "YOLO_CALLBACKS" not in why:
            found |= {(owner, name) for owner in owners for name in quoted(names)}
    return found


def every_callback() -> list[Callback]:
    exported = [getattr(yolo_callbacks, name) for name in yolo_callbacks.__all__]
    classes = [each for each in exported if isinstance(each, type) and issubclass(each, Callback)]
    abstract = (Callback, MonitorCallback, LambdaCallback, WandbLogger)
    return [*(made(each) for each in classes if each not in abstract), WandbLogger(mode="offline", images=1)]


@pytest.mark.training
def test_a_training_wraps_what_the_page_names_and_writes_no_other_file(train, tmp_path):
    seen: set[tuple[str, str]] = set()
    handlers: list[str] = []
    model = YOLO(TINY)
    attach(model, every_callback(), report=True, strict=True)

    def look(source: Any) -> None:
        seen.update(wrapped_now(model.trainer, model))
        handlers.append(getattr(signal.getsignal(signal.SIGTERM), "__module__", ""))

    for event in ("on_train_epoch_end", "on_fit_epoch_end", "on_train_end"):
        model.add_callback(event, look)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    folder = train(model, epochs=1)
    # before 8.4 the module of the classification trainer has a name for the function of its own
    seen -= {("ultralytics.models.yolo.classify.train", "strip_optimizer")}
    assert seen == documented("the end of the run") | documented(END_OF_PROCESS)
    left = wrapped_now(model.trainer, model) - {("ultralytics.models.yolo.classify.train", "strip_optimizer")}
    assert left == documented(END_OF_PROCESS)
    assert "yolo_callbacks.utils.signals" in handlers
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before

    patterns = [pattern for file, _ in rows("Files") for pattern in quoted(file)]
    of_ultralytics = ["args.yaml", "results.csv", "weights/last.pt", "weights/best.pt", "*.jpg", "*.png"]
    written = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    unknown = [path for path in written if not any(fnmatch.fnmatch(path, each) for each in patterns + of_ultralytics)]
    assert unknown == []
    # plots, no memory, a damaged file, a rank that stands
    needs_more = {"callbacks.png", "oom-*.json", "*.corrupt", "stacks-rank*.txt"}
    assert {each for each in patterns if not fnmatch.filter(written, each)} <= needs_more


def test_the_page_names_what_only_the_variable_wraps():
    hooks = re.findall(r"base\.(\w+) = ", Path(_yolo_callbacks_boot.__file__).read_text(encoding="utf-8"))
    table = [
        (where, quoted(names))
        for where, names, why, _ in rows("Methods that are wrapped")
        if _yolo_callbacks_boot.VARIABLE in why
    ]
    assert table == [("`ultralytics.engine.tuner.Tuner`", ["__call__"]), ("`ultralytics.utils.callbacks.base`", hooks)]


@pytest.mark.parametrize(
    ("heading", "pattern"),
    [
        ("Threads and processes", r'Thread\([^)]*?name="([^"]+)"|thread_name_prefix="([^"]+)"'),
        ("Environment variables", r'"((?:WANDB|YOLO)_[A-Z_]+)"'),
        ("Signals", r"signal\.(SIG(?!_)[A-Z]+)"),
    ],
)
def test_the_page_names_every_thread_variable_and_signal(heading, pattern):
    used = {name for path in SOURCES for name in re.findall(pattern, path.read_text("utf-8"))}
    flat = {"".join(name) if isinstance(name, tuple) else name for name in used}
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert flat
    assert {name for name in flat if not re.search(rf"\b{name}\b", section)} == set()
