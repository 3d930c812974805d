"""LambdaCallback: functions of the user at events, in a suite and alone."""

from __future__ import annotations

import functools
from typing import Any

import cloudpickle
import pytest
from state_mutations import StandIn
from trainings import TINY
from ultralytics import YOLO

from yolo_callbacks import Event, LambdaCallback, attach
from yolo_callbacks.callbacks.callback import Callback


@pytest.mark.training
def test_every_function_is_called_with_what_its_event_has(train, scripted):
    scripted([0.2, 0.3])
    seen: list[Any] = []
    model = YOLO(TINY)
    attach(
        model,
        LambdaCallback(
            on_epoch=lambda run, record: seen.append(("epoch", run.trainer is model.trainer, record.epoch)),
            on_final_evaluation=lambda run, record: seen.append(("final", record.final)),
            on_train_start=lambda trainer: seen.append(("start", trainer is model.trainer)),
            on_fit_epoch_end=lambda trainer: seen.append(("fit", trainer is model.trainer)),
            on_val_end=lambda validator: seen.append(("validated", validator is model.trainer.validator)),
            teardown=lambda trainer: seen.append(("teardown", trainer is model.trainer)),
        ),
        strict=True,
    )
    train(model, epochs=2)
    assert [each for each in seen if each[0] != "validated"] == [
        ("start", True),
        ("fit", True), ("epoch", True, 1),
        ("fit", True), ("epoch", True, 2),
        ("fit", True), ("final", True),
        ("teardown", True),
    ]  # fmt: skip
    assert [each for each in seen if each[0] == "validated"] == [("validated", True)] * 3


@pytest.mark.training
def test_a_suite_isolates_its_errors_and_switches_it_off(train, scripted, messages):
    scripted([0.1] * 5)
    calls: list[int] = []

    def fail(run: Any, record: Any) -> None:
        calls.append(record.epoch)
        raise ValueError("a mistake of the user's")

    model, others = YOLO(TINY), []
    attach(model, LambdaCallback(on_epoch=fail), LambdaCallback(on_epoch=lambda run, record: others.append(1)))
    train(model, epochs=5)
    assert calls == [1, 2, 3]
    assert len(others) == 5
    assert sum("Traceback" in message for message in messages) == 1
    assert "failed 3 times, the last time with ValueError: a mistake of the user's; switched off" in messages[-1]
    assert any("LambdaCallback failed 3 times in a row" in message for message in messages)


@pytest.mark.training
def test_strict_raises_its_errors(train, scripted):
    scripted([0.1])
    model = YOLO(TINY)
    attach(model, LambdaCallback(on_train_start=lambda trainer: {}["missing"]), strict=True)
    with pytest.raises(KeyError, match="missing"):
        train(model, epochs=1)


def test_a_method_of_it_works_alone(tmp_path):
    seen: list[Any] = []
    callback = LambdaCallback(on_epoch=lambda run, record: seen.append(record.epoch), on_train_start=seen.append)
    trainer = StandIn(tmp_path)
    callback.on_train_start(trainer)
    callback.on_fit_epoch_end(trainer)
    assert seen == [trainer, 3]


@pytest.mark.parametrize("event", [event.value for event in Event])
def test_it_listens_to_what_it_has_a_function_for(event):
    seen: list[Any] = []
    callback = LambdaCallback(**{event: seen.append})
    assert [each.value for each in Event if callback.listens_to(each.value)] == [event]
    if event != Event.FIT_EPOCH_END:  # that one reads the run too
        getattr(callback, event)("source")
        assert seen == ["source"]


@pytest.mark.parametrize("name", ["on_epoch", "on_final_evaluation"])
def test_it_listens_to_the_end_of_an_epoch_for_on_epoch(name):
    callback = LambdaCallback(**{name: lambda run, record: None})
    assert [each for each in Event if callback.listens_to(each.value)] == [Event.FIT_EPOCH_END]
    assert not any(LambdaCallback().listens_to(each.value) for each in Event)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"on_fit_epoch": print}, "LambdaCallback knows no event 'on_fit_epoch', did you mean 'on_fit_epoch_end'?"),
        ({"on_epochs": print}, "LambdaCallback knows no event 'on_epochs', did you mean 'on_epoch'?"),
        ({"on_train_start": 3}, "on_train_start must be a function, received 3"),
        ({"on_epoch": "print"}, "on_epoch must be a function, received 'print'"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(TypeError) as refused:
        LambdaCallback(**arguments)
    assert str(refused.value) == message


async def later(run: Any, record: Any) -> None: ...


def step_by_step(run: Any, record: Any) -> Any:
    yield


async def both(run: Any, record: Any) -> Any:
    yield


@pytest.mark.parametrize("function", [later, step_by_step, both, functools.partial(later), functools.partial(both)])
def test_a_function_that_a_call_does_not_run_is_refused(function):
    with pytest.raises(TypeError, match="on_epoch must be a function whose call runs it, received the async or gen"):
        LambdaCallback(on_epoch=function)


def test_an_event_of_no_name_that_is_similar_lists_them_all():
    with pytest.raises(TypeError, match=r"knows no event 'xyz' \(there are on_epoch, on_final_evaluation, on_pretrain"):
        LambdaCallback(xyz=print)


def test_pickled_with_its_functions(tmp_path):
    seen: list[int] = []
    callback = LambdaCallback(
        on_epoch=lambda run, record: run.trainer.seen.append(record.epoch),
        on_train_start=lambda trainer: setattr(trainer, "seen", seen),
    )
    restored = cloudpickle.loads(cloudpickle.dumps(callback))
    assert isinstance(restored, Callback)
    assert list(restored.functions) == list(callback.functions)
    trainer = StandIn(tmp_path)
    restored.on_train_start(trainer)
    restored.on_fit_epoch_end(trainer)
    assert trainer.seen == [3]  # type: ignore[attr-defined]
    assert seen == []  # the function has a list of its own


def test_repr_shows_its_functions_by_event():
    assert repr(LambdaCallback(on_epoch=print, teardown=len)) == "LambdaCallback(on_epoch=print, teardown=len)"
    assert repr(LambdaCallback()) == "LambdaCallback()"
