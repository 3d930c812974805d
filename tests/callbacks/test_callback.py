"""The base class of callbacks: when it resets, what is called once, old names, unknown arguments, and its repr."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from state_mutations import StandIn
from trainings import TINY
from ultralytics import YOLO

from yolo_callbacks import (
    Callback,
    EarlyStopping,
    EpochRecord,
    ExportBest,
    MemoryCleanup,
    MemoryMonitor,
    Monitor,
    MonitorCallback,
    ReduceLROnPlateau,
    SaveBest,
    StopOnOverfit,
    TrainingRun,
    WandbLogger,
    attach,
)
from yolo_callbacks.callbacks.events import TRAINER_EVENTS
from yolo_callbacks.utils.origins import Origins, remember_origins

OWN_EVENTS = [event for event in TRAINER_EVENTS if event != "on_fit_epoch_end"]


class Trainer:
    """As much of a trainer as an event needs that reads nothing of it."""


class Seen(Callback):
    """Keeps what was called."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def reset(self) -> None:
        self.seen.append("reset")


def listening_to(*events: str) -> Seen:
    """A callback of a class of its own, with a method for each event."""
    methods = {event: lambda self, trainer, event=event: self.seen.append(event) for event in events}
    return type("Listening", (Seen,), methods)()


# When it resets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", OWN_EVENTS)
def test_reset_runs_before_the_first_event_of_each_run(event):
    callback, first, second = listening_to(event), Trainer(), Trainer()
    for trainer in (first, first, second):
        getattr(callback, event)(trainer)
    assert callback.seen == ["reset", event, event, "reset", event]


@pytest.mark.parametrize("event", OWN_EVENTS)
def test_reset_runs_once_whichever_event_is_first(event):
    callback, trainer = listening_to(*OWN_EVENTS), Trainer()
    for each in (event, *OWN_EVENTS):
        getattr(callback, each)(trainer)
    assert callback.seen == ["reset", event, *OWN_EVENTS]


def test_an_inherited_method_resets_too_and_only_once():
    class Parent(Seen):
        def on_train_start(self, trainer: Any) -> None:
            self.seen.append("parent")

    class Child(Parent):
        def on_train_start(self, trainer: Any) -> None:
            super().on_train_start(trainer)
            self.seen.append("child")

    parent, child = type("Heir", (Parent,), {})(), Child()
    for callback in (parent, child):
        callback.on_train_start(Trainer())
    assert parent.seen == ["reset", "parent"]
    assert child.seen == ["reset", "parent", "child"]


class Mixin:
    """Brings an event along for callbacks, and is none itself."""

    seen: list[Any]

    def on_train_start(self, trainer: Any) -> None:
        self.seen.append("mixin")


class OtherMixin(Mixin):
    def on_train_start(self, trainer: Any) -> None:
        self.seen.append("other")
        super().on_train_start(trainer)


class Mixed(Mixin, Seen): ...


class MixedTwice(Mixed, OtherMixin): ...


@pytest.mark.parametrize(("kind", "seen"), [(Mixed, ["mixin"]), (MixedTwice, ["other", "mixin"])])
def test_a_method_of_a_class_that_is_no_callback_resets_too(kind, seen):
    callback = kind()
    callback.on_train_start(Trainer())
    assert callback.seen == ["reset", *seen]


@pytest.mark.parametrize("base", [Callback, MonitorCallback])
@pytest.mark.training
def test_private_names_of_a_user_do_not_meet_those_of_the_base_classes(train, base):
    """Such as `_run_id` of a logger: each event would reset it."""
    taken = ["run_id", "epochs", "origins", "task", "checked_epoch", "mosaic_closed", "untrained", "finish"]

    class Mine(base):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[int] = []
            vars(self).update({f"_{name}": object() for name in taken})

        def reset(self) -> None:
            super().reset()
            self.seen = []

        def on_train_start(self, trainer: Any) -> None:
            self._run_id, self._task = "mine", "mine"

        def on_epoch(self, run: Any, record: Any) -> None:
            super().on_epoch(run, record)
            self.seen.append(record.epoch)

        def decide(self, run: Any, record: Any, value: float) -> None: ...

    model, mine = YOLO(TINY), Mine()
    attach(model, mine, strict=True)
    train(model, epochs=2)
    assert mine.seen == [1, 2]
    assert mine.epoch_filter is None


@pytest.mark.parametrize("in_class", [True, False])
@pytest.mark.parametrize("name", ["resume", "outcome", "state_key", "on_epoch"])
def test_an_attribute_that_hides_a_method_is_refused(name, in_class):
    kind = type("Mine", (Callback,), {name: True} if in_class else {})
    callback = kind()
    if not in_class:
        setattr(callback, name, True)
    with pytest.raises(TypeError, match=f"Mine.{name} hides the method {name} of Callback"):
        attach(YOLO(TINY), callback)
    callback = type("Mine", (Callback,), {})()
    callback.key = True  # the old name of a method
    attach(YOLO(TINY), callback)


def test_a_frozen_dataclass_is_reset_too():
    @dataclass(frozen=True)
    class Frozen(Callback):
        seen: list[str] = field(default_factory=list)

        def reset(self) -> None:
            self.seen.append("reset")

        def on_train_start(self, trainer: Any) -> None:
            self.seen.append("start")

    callback, trainer = Frozen(), Trainer()
    for each in (trainer, trainer, Trainer()):
        callback.on_train_start(each)
    assert callback.seen == ["reset", "start", "start", "reset", "start"]


class Epochs(Seen):
    """Stores something before the first epoch, and keeps the calls of an epoch."""

    def reset(self) -> None:
        super().reset()
        self.started_with = 0

    def on_train_start(self, trainer: Any) -> None:
        self.started_with = trainer.epochs

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        self.seen.append((record.epoch, record.validated, self.started_with))

    def on_final_evaluation(self, run: TrainingRun, record: EpochRecord) -> None:
        self.seen.append(("final", record.final, self.started_with))


@pytest.mark.training
@pytest.mark.parametrize("way", ["suite", "single methods"])
def test_each_epoch_and_the_final_evaluation_come_once_in_every_run(train, scripted, way):
    """The reset comes before `on_train_start`, so that `on_epoch` can read what `on_train_start` has stored."""
    model, callback = YOLO(TINY), Epochs()
    if way == "suite":
        attach(model, callback, strict=True)
    else:
        for event in ("on_train_start", "on_fit_epoch_end"):
            model.add_callback(event, getattr(callback, event))
    for epochs in (2, 1):
        scripted([0.2, 0.3])
        train(model, epochs=epochs, name=f"run{epochs}")
    assert callback.seen == [
        "reset", (1, True, 2), (2, True, 2), ("final", True, 2), "reset", (1, True, 1), ("final", True, 1)
    ]  # fmt: skip


@pytest.mark.training
def test_on_epoch_is_called_alone_without_on_train_start(train, scripted):
    scripted([0.2, 0.3])
    model, callback = YOLO(TINY), Epochs()
    model.add_callback("on_fit_epoch_end", callback.on_fit_epoch_end)
    train(model, epochs=2)
    assert callback.seen == ["reset", (1, True, 0), (2, True, 0), ("final", True, 0)]


@pytest.mark.parametrize("every_rank", [False, True])
def test_other_ranks_only_with_every_rank(monkeypatch, tmp_path, every_rank):
    callback = type("Ranked", (Epochs,), {"every_rank": every_rank})()
    monkeypatch.setattr("ultralytics.utils.RANK", 1)
    callback.on_fit_epoch_end(StandIn(tmp_path))
    assert [each for each in callback.seen if each != "reset"] == ([(3, False, 0)] if every_rank else [])


# Old names ------------------------------------------------------------------------------------------------------------

RENAMED = {
    "check": "validate",
    "claims": "output_files",
    "key": "state_key",
    "old_keys": "old_state_keys",
    "release": "finalize",
}


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_method_under_its_old_name_still_works(old, new):
    with pytest.warns(DeprecationWarning, match=f"^Old.{old} is called {new} now$"):
        made = type("Old", (Callback,), {old: lambda self, argument: (self, argument)})()
    assert getattr(made, new)("given") == (made, "given")
    with pytest.warns(DeprecationWarning, match=f"^Old.{old} is called {new} now$"):
        assert getattr(made, old)("given") == (made, "given")


def test_an_old_name_may_be_called_through_super():
    with pytest.warns(DeprecationWarning, match="Old.key is called state_key now"):

        class Old(EarlyStopping):
            def key(self, task: str) -> str:
                return f"{super().key(task)}, mine"  # type: ignore[misc]

    with pytest.warns(DeprecationWarning, match="MonitorCallback.key is called state_key now"):
        assert Old("mAP50").state_key("detect") == "Old(mAP50), mine"


def test_a_class_with_the_new_names_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class New(EarlyStopping):
            key = "an attribute of the user's own"

            def state_key(self, task: str) -> str:
                return "new"

    assert (New().state_key("detect"), New().key) == ("new", "an attribute of the user's own")


def test_enter_is_deprecated_and_resets():
    callback, trainer = Seen(), Trainer()
    with pytest.warns(DeprecationWarning, match=r"Callback.enter\(trainer\) is called TrainingRun.of\(trainer\) now"):
        run = callback.enter(trainer)
    assert run is TrainingRun.of(trainer)
    assert callback.seen == ["reset"]


@pytest.mark.parametrize(
    ("callback", "old", "new"),
    [
        (EarlyStopping, "wait", "wait_count"),
        (ReduceLROnPlateau, "wait", "wait_count"),
        (StopOnOverfit, "wait", "wait_count"),
        (ReduceLROnPlateau, "cuts", "reductions"),
        (EarlyStopping, "stopping_message", "stopping_reason_message"),
        (StopOnOverfit, "stopping_message", "stopping_reason_message"),
    ],
)
def test_an_attribute_under_its_old_name_still_works(callback, old, new):
    made = callback()
    with pytest.warns(DeprecationWarning, match=f"^{callback.__name__}.{old} is called {new} now$"):
        value = getattr(made, old)
    assert value == getattr(made, new)
    assert type(value) is type(getattr(made, new))


# Arguments ------------------------------------------------------------------------------------------------------------


class Bare(Callback):
    def __init__(self) -> None: ...


class Own(EarlyStopping):
    """Passes the arguments of its base class on."""

    def __init__(self, *, colour: str = "red", **options: Any) -> None:
        super().__init__(**options)
        self.colour = colour


@pytest.mark.parametrize(
    ("callback", "argument", "message"),
    [
        (EarlyStopping, "patiense", "EarlyStopping has no argument 'patiense', did you mean 'patience'?"),
        (SaveBest, "topk", "SaveBest has no argument 'topk', did you mean 'top_k'?"),
        (ReduceLROnPlateau, "cool_down", "ReduceLROnPlateau has no argument 'cool_down', did you mean 'cooldown'?"),
        (MemoryMonitor, "leak_windows", "MemoryMonitor has no argument 'leak_windows', did you mean 'leak_window'?"),
        (MonitorCallback, "monitr", "MonitorCallback has no argument 'monitr', did you mean 'monitor'?"),
        (Own, "patiense", "Own has no argument 'patiense', did you mean 'patience'?"),
        (Bare, "patience", "Bare has no argument 'patience' (it takes none)"),
    ],
)
def test_an_unknown_argument_names_the_nearest(callback, argument, message):
    with pytest.raises(TypeError) as refused:
        callback(**{argument: 3})
    assert str(refused.value).startswith(message)


class Keeping(Callback):
    """Keeps one argument, and another under another name; a method has the name of a third."""

    def __init__(self, value: Any = None, secret: str = "", title: str = "") -> None:
        self.value, self._secret, self._title = value, secret, title

    def title(self) -> str:
        return self._title


class Unready(Callback):
    """Has a property with the name of an argument, which has a value in a run only."""

    def __init__(self, other: int, value: int = 1) -> None:
        self.other = other

    @property
    def value(self) -> int:
        raise RuntimeError("no run yet")


@pytest.mark.parametrize(
    ("callback", "shown"),
    [
        (EarlyStopping(), "EarlyStopping()"),
        (EarlyStopping("fitness"), "EarlyStopping(monitor='fitness')"),
        (EarlyStopping("mAP50", patience=3), "EarlyStopping(monitor='mAP50', patience=3)"),
        (EarlyStopping("val/loss", "min", min_delta=0.0), "EarlyStopping(monitor='val/loss', mode='min')"),
        (SaveBest(), "SaveBest()"),
        (SaveBest({"recall": 1.0}, guard={"mAP50": 0.1}), "SaveBest(monitor={'recall': 1.0}, guard={'mAP50': 0.1})"),
        (ReduceLROnPlateau(factor=0.5), "ReduceLROnPlateau(factor=0.5)"),
        (StopOnOverfit(against="train/cls_loss"), "StopOnOverfit(against='train/cls_loss')"),
        (MemoryCleanup(release="end"), "MemoryCleanup(release='end')"),
        (Callback(), "Callback()"),
        (Own(colour="blue", patience=3), "Own(colour='blue')"),
        (Keeping(value=np.array([1, 2])), "Keeping(value=array([1, 2]))"),
        (Keeping(secret="s3cret", title="mine"), "Keeping()"),
        (Unready(3), "Unready(other=3)"),
        (ExportBest("onnx", dynamic=True, half=True), "ExportBest(dynamic=True, half=True)"),
        (WandbLogger("crowns", tags=("a",)), "WandbLogger(project='crowns', tags=('a',))"),
        (WandbLogger(config={"api_key": "s3cret"}), "WandbLogger(config={'api_key': '•••'})"),
        (WandbLogger(settings=Own(colour="s3cret", patience=3)), "WandbLogger(settings=Own(…))"),
    ],
)
def test_repr_shows_the_arguments(callback, shown):
    assert repr(callback) == shown


@pytest.mark.training
def test_repr_stays_that_of_the_arguments_in_a_run(train, scripted):
    scripted([0.2])
    model, callback = YOLO(TINY), EarlyStopping("mAP50")
    attach(model, callback)
    train(model, epochs=1)
    assert callback.mode == "max"
    assert repr(callback) == "EarlyStopping(monitor='mAP50')"


def test_repr_hides_further_arguments_of_environment_variables():
    callback = WandbLogger(group="s3cret", notes="mine")
    remember_origins(callback, Origins("callbacks.yaml:1", {"group": ("GROUP",)}))
    assert repr(callback) == "WandbLogger(group=${GROUP}, notes='mine')"


def test_repr_hides_values_of_environment_variables():
    callback = SaveBest("recall/s3cret", top_k=3)
    remember_origins(callback, Origins("callbacks.yaml:1", {"monitor": ("METRIC", "CLASS")}))
    assert repr(callback) == "SaveBest(monitor=${METRIC}+${CLASS}, top_k=3)"
    assert isinstance(callback.monitor, Monitor)


# Methods that no event calls ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("on_epoch_end", "on_epoch"),
        ("on_validation_end", "on_val_end"),
        ("on_train_epoch_ends", "on_train_epoch_end"),
        ("on_fit_epoch", "on_fit_epoch_end"),
        ("on_final_eval", "on_final_evaluation"),
    ],
)
def test_a_method_that_is_almost_an_event_gives_a_warning(name, meant):
    with pytest.warns(UserWarning, match=f"Mine.{name} is never called") as warned:
        type("Mine", (Callback,), {name: lambda self, trainer: None})
    (message,) = map(str, (each.message for each in warned))
    assert message == f"Mine.{name} is never called: Ultralytics has no such event, did you mean {meant!r}?"
    assert warned[0].filename == __file__


@pytest.mark.parametrize("name", ["on_new_best", "on_epoch", "optimizer_step", "onward", "on_predict_end", "on_kill"])
def test_other_methods_give_none(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        type("Mine", (Callback,), {name: lambda self, *arguments: None})


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            {"on_epoch": lambda self, record: None},
            r"Mine.on_epoch must take \(self, run, record\), but it takes \(self, rec",
        ),
        (
            {"on_train_start": lambda self: None},
            r"Mine.on_train_start must take \(self, trainer\), but it takes \(self\)",
        ),
        ({"state_dict": lambda self, run: {}}, r"Mine.state_dict must take \(self\), but it takes \(self, run\)"),
    ],
)
def test_a_method_that_cannot_be_called_is_refused_with_its_class(method, message):
    with pytest.raises(TypeError, match=message):
        type("Mine", (Callback,), method)


def test_more_parameters_with_defaults_are_right():
    def on_epoch(self, run, record, *, more: int = 3) -> None: ...

    type("Mine", (Callback,), {"on_epoch": on_epoch})


def test_an_unknown_argument_that_is_passed_on_names_those_of_the_class_too():
    class Drops(MonitorCallback):
        def __init__(self, monitor: Any = None, *, limit: int = 5, **options: Any) -> None:
            super().__init__(monitor, **options)
            self.limit = limit

    assert Drops(limit=3, start_epoch=2).start_epoch == 2
    with pytest.raises(
        TypeError, match=r"Drops has no argument 'limits', did you mean 'limit'\? \(it takes monitor, limit, "
    ):
        Drops(limits=3)


def test_a_class_that_cannot_decide_is_refused():
    class NoDecide(MonitorCallback): ...

    class NoSuper(MonitorCallback):
        def __init__(self) -> None: ...

        def decide(self, run: Any, record: Any, value: float) -> None: ...

    with pytest.raises(TypeError, match=r"NoDecide must override decide\(self, run, record, value\)"):
        attach(YOLO(TINY), NoDecide())
    with pytest.raises(TypeError, match=r"NoSuper.__init__ must call super\(\).__init__\(monitor, mode\)"):
        attach(YOLO(TINY), NoSuper())
