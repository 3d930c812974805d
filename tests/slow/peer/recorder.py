"""Choose the tests that train, and record what came of each; a pytest plug-in for the process of Ultralytics' tests.

It imports nothing of the library that is tested. It changes three things: downloads fail at once; tests that
Ultralytics skips without a network are collected, since what they train on is made here; and plots are empty, which
halves the time.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import os
import random
import re
import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

# Beside test_engine.py, which is chosen whole, the tests whose source says that they train.
TRAINS = re.compile(r"\.(?:train|tune)\(\s*[^\s)]|yolo train")
WHOLE = "test_engine.py"
CHECKPOINTS = re.compile(r"(?:last|best|epoch\d+)\.pt")

_record = Path(os.environ["PEER_RECORD"])
_limit = int(os.environ["PEER_TIMEOUT"])
_current: dict[str, Any] = {}


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[Any]:
    """Collect as with a network, and remove what a killed run has left."""
    from ultralytics import YOLO, utils  # noqa: F401 (what reads ONLINE at its import has read the truth)
    from ultralytics.utils import downloads

    _check_imports()
    _clear(_folders(session.config))
    downloads.safe_download = _refuse
    utils.ONLINE = True
    try:
        return (yield)
    finally:
        utils.ONLINE = False


def pytest_configure(config: pytest.Config) -> None:
    """Save every plot as one black pixel, unless plots are wanted."""
    if os.environ.get("PEER_PLOTS"):
        return
    from matplotlib.figure import Figure

    draw = Figure.savefig

    def save(figure: Figure, name: Any, **keywords: Any) -> None:
        if isinstance(name, (str, Path)):
            Image.new("RGB", (1, 1)).save(name)
        else:
            draw(figure, name, **keywords)

    Figure.savefig = save
    Figure.tight_layout = lambda *_, **__: None


def _check_imports() -> None:
    """See that what is tested is the copy of Ultralytics, and the library of this working tree."""
    import ultralytics

    spec = importlib.util.find_spec("yolo_callbacks")  # not imported: without our callbacks nothing does
    found = (ultralytics.__file__, spec.origin if spec else None)
    for file, folder in zip(found, (os.environ["PEER_CHECKOUT"], os.environ["PEER_ROOT"]), strict=True):
        if file is None or Path(file).parents[1] != Path(folder):
            raise pytest.UsageError(f"not what is meant to be tested: {file}, expected below {folder}")


def _refuse(url: str, *_args: Any, **_named: Any) -> None:
    raise ConnectionError(f"needs a download, {url}")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Function]) -> None:
    """Keep the tests that train and have not started before in this way."""
    started = {line["test"] for line in map(json.loads, _record.read_text().splitlines()) if line["event"] == "start"}
    chosen = [item for item in items if _name(item) not in started and _trains(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def _trains(item: pytest.Function) -> bool:
    return item.path.name == WHOLE or bool(TRAINS.search(inspect.getsource(item.function)))


def _name(item: pytest.Item) -> str:
    return item.nodeid.rpartition("tests/")[2]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    """Start every test from the same random numbers, and end one that hangs."""
    _current.clear()
    _current.update(event="end", test=_name(item), outcome="passed", seconds=0.0, reason="")
    _write({"event": "start", "test": _name(item)})
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    signal.signal(signal.SIGALRM, _time_out)
    signal.alarm(_limit)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        _write(_current)
        _clear(_folders(item.config))


def _time_out(*_: Any) -> None:
    pytest.fail(f"took more than {_limit} s")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    """Note the outcome; after the test itself, what its trainings left."""
    report: pytest.TestReport = yield
    _current["seconds"] = round(_current["seconds"] + report.duration, 2)
    if report.outcome != "passed" and _current["outcome"] == "passed":
        _current.update(outcome=report.outcome, reason=_reason(report))
    if call.when == "call":
        _gather(_folders(item.config))
    return report


def _reason(report: pytest.TestReport) -> str:
    """Return the reason for which a test was skipped or failed, in one line."""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = (crash.message if crash else str(report.longrepr)).strip()
    message = text.partition("\n")[0]
    if "CalledProcessError" in message:  # the last line of the process says more
        errors = [line for line in report.capstderr.splitlines() if line.strip()]
        message = f"{errors[-1].strip()} (in {message.partition('Command ')[2]})" if errors else message
    return message[:400]


def _gather(folders: Mapping[str, Path]) -> None:
    """Record every results.csv and the weights of every checkpoint of Ultralytics."""
    results, weights, ours = {}, {}, 0
    for label, root in folders.items():
        for file in sorted(root.rglob("*")) if root.is_dir() else ():
            name = f"{label}/{file.relative_to(root)}"
            if file.name == "results.csv":
                results[name] = file.read_text()
            elif CHECKPOINTS.fullmatch(file.name):
                weights[name] = _digest(file)
            ours += file.name == "callbacks.json"
    _current.update(results=results, weights=weights, ours=ours)


def _folders(config: pytest.Config) -> dict[str, Path]:
    """Return the folders in which trainings of a test leave their runs."""
    runs = Path(os.environ["PEER_CHECKOUT"]) / "tests" / "tmp" / "runs"  # fixed in Ultralytics, in its own tests
    return {"runs": runs, "tmp": Path(config.getoption("basetemp"))}


def _clear(folders: Mapping[str, Path]) -> None:
    """Remove the runs of a test, so that those of the next have the same names in every way."""
    for folder in folders.values():
        for path in folder.iterdir() if folder.is_dir() else ():
            shutil.rmtree(path, ignore_errors=True)


def _digest(file: Path) -> str:
    """Return a digest of the weights of a checkpoint, with the epoch that it stands at."""
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=False)
        model = checkpoint.get("ema") or checkpoint["model"]
        tensors = model.state_dict()
    except Exception as error:
        return f"unreadable: {type(error).__name__}: {error}"[:200]
    digest = hashlib.sha256()
    for key, tensor in tensors.items():
        digest.update(key.encode())
        if isinstance(tensor, torch.Tensor):
            digest.update(tensor.detach().contiguous().float().numpy().tobytes())
    return f"epoch {checkpoint.get('epoch')}, {digest.hexdigest()[:16]}"


def _write(line: dict[str, Any]) -> None:
    with _record.open("a") as file:
        file.write(f"{json.dumps(line)}\n")
