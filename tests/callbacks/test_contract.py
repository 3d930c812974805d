"""Check the rules that every exported callback follows."""

from __future__ import annotations

import copy
import inspect
import re
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from stand_in_trial import made
from trainings import TINY
from ultralytics import YOLO

import yolo_callbacks
from yolo_callbacks import (
    Callback,
    ExportBest,
    MemoryCleanup,
    RankWatchdog,
    RemoteControl,
    StopOnOverfit,
    attach,
)
from yolo_callbacks.callbacks.monitor_callback import MonitorCallback

CALLBACKS = [
    exported
    for exported in (getattr(yolo_callbacks, name) for name in yolo_callbacks.__all__)
    if isinstance(exported, type) and issubclass(exported, Callback) and exported is not Callback
]
COMMON = {"monitor": None, "mode": "auto"}


@pytest.mark.parametrize("callback_class", CALLBACKS)
def test_is_documented(callback_class):
    """Every argument with its default, every public attribute, the errors, an example, and what it logs and writes."""
    text = inspect.getdoc(callback_class)
    for name, parameter in inspect.signature(callback_class).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            assert f"**{name}:" in text
            continue
        entry = re.search(rf"^    {name}: (.+?)(?=^    \w+: |^\S|\n\n)", text, re.MULTILINE | re.DOTALL)
        assert entry, f"{name} is not documented"
        if parameter.default is inspect.Parameter.empty:
            continue
        default = parameter.default if isinstance(parameter.default, str) else repr(parameter.default)
        quoted = f'`"{default}"`' if isinstance(parameter.default, str) else f"`{default}`"
        assert re.search(rf"Defaults\s+to\s+{re.escape(quoted)}", entry[1]), f"{name}: {quoted} is not documented"
    for section in ("Attributes:", "Raises:", "Example:"):
        assert section in text
    assert re.search(r"\bWrites\b", text)


@pytest.mark.parametrize("callback_class", [found for found in CALLBACKS if issubclass(found, MonitorCallback)])
def test_defaults_are_the_same_everywhere(callback_class):
    required, parameters = [], list(inspect.signature(callback_class).parameters.values())
    while parameters[0].default is inspect.Parameter.empty:
        required.append(parameters.pop(0).name)
    assert required == (["trial"] if callback_class.__name__ == "OptunaPruning" else [])
    two = {"monitor": "val/loss", "against": "train/loss"} if callback_class is StopOnOverfit else COMMON
    assert {parameter.name: parameter.default for parameter in parameters[:2]} == two
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in parameters[2:])


# Each of these trains once with all callbacks, in a suite: a training for each would take a minute.


@pytest.mark.training
def test_pickled_in_the_middle_of_a_run(train):
    """State and arguments survive; no handle of the run goes along."""
    model, callbacks = YOLO(TINY), [made(kind) for kind in CALLBACKS]
    suite = attach(model, callbacks)
    copies: list[Any] = []

    def pickle_now(trainer: Any) -> None:
        copies.append((cloudpickle.loads(cloudpickle.dumps(suite)), [copy.deepcopy(each) for each in callbacks]))

    model.add_callback("on_train_epoch_end", pickle_now)
    train(model, epochs=2)
    restored = {type(each): each for each in copies[1][0].callbacks}
    assert set(restored) == set(CALLBACKS)
    for each in copies[1][1]:
        state = restored[type(each)].state_dict()
        assert state == each.state_dict(), each
        # nothing is freed, exported, asked for from outside or found, in the middle of this run
        if state and not isinstance(each, (ExportBest, MemoryCleanup, RankWatchdog, RemoteControl)):
            assert state != made(type(each)).state_dict(), each


@pytest.mark.training
def test_two_runs_start_alike_and_teardown_may_come_twice(train, scripted):
    model, callbacks = YOLO(TINY), [made(kind) for kind in CALLBACKS]
    attach(model, callbacks)
    model.add_callback("teardown", model.callbacks["teardown"][-1])
    states: list[dict[str, Any]] = []
    for name in ("first", "second"):
        scripted([0.2, 0.3])
        train(model, epochs=2, name=name)
        states.append({repr(each): each.state_dict() for each in callbacks})
        for state in states[-1].values():
            for own in ("run", "run_id", "folders", "freed", "seconds", "readings"):  # never the same twice
                state.pop(own, None)
    assert states[0] == states[1]
    assert len(states[0]) == len(CALLBACKS)


@pytest.mark.training
def test_silent_on_other_ranks(train, monkeypatch):
    """Rank 1 decides nothing, writes nothing and needs no metrics."""
    model, callbacks = YOLO(TINY), [made(kind) for kind in CALLBACKS]
    fresh = [each.state_dict() for each in callbacks]
    attach(model, callbacks, strict=True)
    handlers = {event: functions[-1] for event, functions in model.callbacks.items() if functions}
    model.callbacks.clear()

    def as_rank_one(event: str) -> Any:
        def call(trainer: Any) -> None:
            monkeypatch.setattr("ultralytics.utils.RANK", 1)
            metrics, trainer.metrics = trainer.metrics, None
            handlers[event](trainer)
            trainer.metrics = metrics
            monkeypatch.setattr("ultralytics.utils.RANK", -1)

        return call

    for event in ("on_pretrain_routine_end", "on_train_start", "on_train_batch_end", "on_train_epoch_end"):
        model.add_callback(event, as_rank_one(event))
    model.add_callback("on_fit_epoch_end", as_rank_one("on_fit_epoch_end"))
    model.add_callback("teardown", as_rank_one("teardown"))
    folder = train(model, epochs=2)
    for each, state in zip(callbacks, fresh, strict=True):
        assert each.every_rank or each.state_dict() == state, each  # memory is each process's own
    assert {path.name for path in folder.iterdir()} == {"args.yaml", "results.csv", "weights"}
    assert {path.name for path in (folder / "weights").iterdir()} == {"last.pt", "best.pt"}


@pytest.mark.training
def test_one_line_says_that_a_decider_has_no_check_without_validation(train, messages):
    """Not RayTuneReporter, which outside of a trial has nothing to check."""
    model, kinds = YOLO(TINY), [kind for kind in CALLBACKS if kind is not yolo_callbacks.RayTuneReporter]
    attach(model, [made(kind) for kind in kinds], strict=True)
    folder = train(model, epochs=3, val=False)
    assert len((folder / "results.csv").read_text().splitlines()) == 4
    *warnings, table = messages
    assert table.startswith("Callbacks: finished")
    deciders = [kind.__name__ for kind in kinds if issubclass(kind, MonitorCallback)]
    assert "ValidateEvery: the training has val=False, so only the last epoch is validated" in warnings
    warnings = [line for line in warnings if not line.startswith(("ExportBest", "ValidateEvery", "SpeedMonitor"))]
    assert sorted(line.partition(":")[0] for line in warnings) == sorted(deciders)
    assert all("epoch 1 is no check for" in line and "validation did not run" in line for line in warnings)


def test_examples_of_the_docstrings_run(monkeypatch):
    import doctest
    import importlib

    make = YOLO.__init__
    monkeypatch.setattr(YOLO, "__init__", lambda self, model: make(self, TINY))  # a YOLO11n takes 0.25 s each
    package = Path(yolo_callbacks.__file__).parent
    names = [
        ".".join(("yolo_callbacks", *path.relative_to(package).with_suffix("").parts)) for path in package.rglob("*.py")
    ]
    results = [doctest.testmod(importlib.import_module(name)) for name in sorted(names) if "__main__" not in name]
    assert sum(result.failed for result in results) == 0
    assert sum(result.attempted for result in results) >= 3 * len(CALLBACKS)
