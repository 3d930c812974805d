"""Attaching callbacks to a model, and detaching them."""

from __future__ import annotations

import gc
import inspect
import json
import pickle
import re
import weakref
from pathlib import Path
from typing import Any

import pytest
from state_mutations import StandIn
from trainings import TINY, interrupted, results_csv
from ultralytics import YOLO

from yolo_callbacks import (
    Callback,
    EarlyStopping,
    Event,
    FailingImages,
    JsonlLogger,
    LambdaCallback,
    MemoryCleanup,
    SaveBest,
    Suite,
    attach,
    detach,
    extend,
)
from yolo_callbacks.report.snapshot import ValidationSnapshot
from yolo_callbacks.suite.handlers import is_attached
from yolo_callbacks.suite.run_session import RunSession
from yolo_callbacks.utils.unknown_arguments import UnknownArgumentError


class Counter(Callback):
    """Counts the epochs and the ends of runs."""

    def __init__(self) -> None:
        self.epochs = self.ends = 0

    def on_epoch(self, run: Any, record: Any) -> None:
        self.epochs += 1

    def finalize(self, run: Any) -> None:
        self.ends += 1


# One by one, or as one list -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", [list, tuple, iter, lambda given: (each for each in given)])
def test_one_list_is_the_same_as_one_by_one(container):
    saved, stopping, logger = SaveBest(), EarlyStopping(), JsonlLogger()
    suite = attach(YOLO(TINY), container([logger, saved, stopping]))
    assert suite.callbacks == (saved, stopping, logger)


@pytest.mark.parametrize("given", [[[Counter()], Counter()], [Counter(), [Counter()]], [[[Counter()]]]])
def test_lists_among_callbacks_are_refused(given):
    with pytest.raises(TypeError, match=r"attach takes callbacks, received \[Counter\(\)\]"):
        attach(YOLO(TINY), *given)


@pytest.mark.parametrize("given", [{Counter()}, {"a": Counter()}, "SaveBest", b"SaveBest"])
def test_what_is_no_list_of_callbacks_is_refused_whole(given):
    with pytest.raises(TypeError, match=re.escape(f"attach takes callbacks, received {given!r}")):
        attach(YOLO(TINY), given)


@pytest.mark.parametrize("given", [SaveBest, "SaveBest"])
def test_what_names_a_callback_gets_how_it_is_written(given):
    with pytest.raises(TypeError, match=r": write SaveBest\(\)$"):
        attach(YOLO(TINY), given)
    with pytest.raises(TypeError, match=r": write LambdaCallback\(on_epoch=…\) for a function$"):
        attach(YOLO(TINY), print)
    with pytest.raises(TypeError, match=r"received 'mAP50 \+ mAP50-95'$"):
        attach(YOLO(TINY), "mAP50 + mAP50-95")


def test_wrong_callbacks_leave_the_model_as_it_was():
    model = YOLO(TINY)
    suite = attach(model, SaveBest())
    with pytest.raises(ValueError, match="would both write"):
        attach(model, SaveBest(), SaveBest())
    assert detach(model) is suite


# Detaching ------------------------------------------------------------------------------------------------------------


def functions_of_ours(model):
    """The functions of a model by event, without those of Ultralytics: some versions add integrations in a training."""
    return {
        event: [each for each in functions if not getattr(each, "__module__", "").startswith("ultralytics.")]
        for event, functions in model.callbacks.items()
    }


@pytest.mark.training
def test_a_training_after_detach_runs_without_the_suite(train, scripted, messages):
    scripted([0.3, 0.2, 0.1])
    model, stopping, counter, own = YOLO(TINY), EarlyStopping(patience=1), Counter(), []
    model.add_callback("on_fit_epoch_end", lambda trainer: own.append(trainer.epoch))
    before = functions_of_ours(model)
    suite = attach(model, stopping, counter)
    folder = train(model, epochs=3, name="with")
    assert (stopping.stopped_epoch, counter.epochs, counter.ends) == (2, 2, 1)
    assert (folder / "callbacks.json").is_file()
    called = len(own)

    assert detach(model) is suite
    assert functions_of_ours(model) == before
    assert detach(model) is None
    messages.clear()
    scripted([0.3, 0.2, 0.1])
    folder = train(model, epochs=3, name="without")
    assert len(results_csv(folder)) == 3
    assert not list(folder.glob("callbacks*"))
    assert (stopping.stopped_epoch, counter.epochs, counter.ends, messages) == (2, 2, 1, [])
    assert len(own) > called  # a function of the user stays

    scripted([0.3, 0.2, 0.1])
    attach(model, *suite.callbacks)
    folder = train(model, epochs=3, name="again")
    assert (len(results_csv(folder)), counter.epochs, counter.ends) == (2, 4, 2)


@pytest.mark.parametrize("model", [None, "yolo11n.pt", YOLO])
def test_what_has_no_callbacks_is_refused(model):
    message = f"detach needs a YOLO model or an Ultralytics trainer, received {model!r}"
    with pytest.raises(TypeError, match=re.escape(message)):
        detach(model)


@pytest.mark.training
def test_detached_in_the_middle_of_a_run(train):
    """From 8.4.140 on the running training has its own copy of the callbacks; before that they end there."""
    model, counter = YOLO(TINY), Counter()
    attach(model, counter)
    model.add_callback("on_train_epoch_start", lambda trainer: detach(model) if trainer.epoch == 1 else None)
    folder = train(model, epochs=3)
    assert len(results_csv(folder)) == 3
    assert counter.ends == 1
    assert not is_attached(model)


@pytest.mark.training
@pytest.mark.parametrize("event", [Event.PRETRAIN_ROUTINE_START, Event.TRAIN_START, Event.FIT_EPOCH_END])
def test_a_suite_that_replaces_another_one_in_its_training_ends_it(train, event):
    model, first, second, suites = YOLO(TINY), Counter(), Counter(), []

    def replace(trainer: Any) -> None:
        if not suites:
            suites.append(attach(trainer, second))

    attach(model, first, LambdaCallback(**{event.value: replace}))
    with pytest.warns(UserWarning, match="attach replaces the callbacks"):
        folder = train(model, epochs=2)
    state = json.loads((folder / "callbacks.json").read_text())
    assert state["summary"]["status"] == "finished"
    assert [row["name"] for row in state["summary"]["callbacks"]] == ["Counter"]
    assert first.epochs + second.epochs == 2
    assert (first.ends, second.ends) == (1, 1)
    assert not [each for each in vars(suites[0]).values() if isinstance(each, RunSession)]  # it holds the trainer
    assert not {"train", "save_model"} & vars(model.trainer).keys()  # the methods of the trainer are its own again


# Unknown arguments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"stric": True}, "attach has no argument 'stric', did you mean 'strict'?"),
        ({"Report": True}, "attach has no argument 'Report', did you mean 'report'?"),
        ({"resumable": True}, "attach has no argument 'resumable', did you mean 'keep_resumable'?"),
        (
            {"callbacks": []},
            "attach has no argument 'callbacks': give callbacks without a name, attach(model, *callbacks)",
        ),
        (
            {"callback": 1},
            "attach has no argument 'callback': give callbacks without a name, attach(model, *callbacks)",
        ),
        ({"strict": False, "zzz": 1}, "attach has no argument 'zzz' (it takes model, strict, report, keep_resumable)"),
    ],
)
def test_an_unknown_argument_of_attach_names_the_nearest(named, message):
    model = YOLO(TINY)
    with pytest.raises(UnknownArgumentError) as refused:
        attach(model, SaveBest(), **named)
    assert str(refused.value).startswith(message)
    assert not is_attached(model)


def test_editors_see_the_arguments_of_attach():
    parameters = inspect.signature(attach).parameters
    assert list(parameters) == ["model", "callbacks", "strict", "report", "keep_resumable"]
    assert parameters["strict"].default is False
    assert (attach.__name__, attach.__doc__.partition(",")[0]) == ("attach", "Attach callbacks to a model")


@pytest.mark.training
def test_a_misspelt_argument_of_extend_changes_nothing(train):
    folder = interrupted(train, YOLO(TINY), 2, epochs=3)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for name, nearest in (("stric", "strict"), ("keep_resumeable", "keep_resumable"), ("reports", "report")):
        with pytest.raises(UnknownArgumentError, match=f"extend has no argument '{name}', did you mean '{nearest}'"):
            extend(folder, SaveBest(), epochs=5, **{name: True})
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_arguments_of_a_training_pass_through_extend(tmp_path):
    """An argument of Ultralytics is passed on, with or without a default: the error here is about the folder."""
    arguments = {"patience": 3, "close_mosaic": 0, "trainer": object, "augmentations": [], "save_dir": "x", "boxes": 1}
    with pytest.raises(ValueError, match="cannot be extended"):
        extend(tmp_path, SaveBest(), epochs=5, **arguments)


# The suite ------------------------------------------------------------------------------------------------------------


def test_a_suite_shows_its_callbacks_and_options():
    suite = attach(YOLO(TINY), JsonlLogger(), EarlyStopping("mAP50", "max", patience=2), Counter())
    stopping = "EarlyStopping(monitor='mAP50', mode='max', patience=2)"
    assert repr(suite) == f"Suite([{stopping}, Counter(), JsonlLogger()])"
    suite = attach(YOLO(TINY), Counter(), strict=True, keep_resumable=True)
    assert repr(suite) == "Suite([Counter()], strict=True, keep_resumable=True)"


def test_a_suite_listens_to_what_it_needs_and_what_its_callbacks_need():
    class Batches(Callback):
        def on_val_batch_end(self, validator: Any) -> None: ...

    without, with_batches = Suite([SaveBest()]).events, Suite([SaveBest(), Batches()]).events
    assert set(with_batches) - set(without) == {"on_val_batch_end"}
    assert {"on_pretrain_routine_start", "on_fit_epoch_end", "teardown"} <= set(without)
    assert [event.value for event in Event if event in with_batches] == list(with_batches)


def test_after_the_first_batch_a_suite_only_calls_who_listens(train, monkeypatch):
    handled, handle, seen = [], RunSession.handle, []

    def counted(self, event, source):
        handled.append(event)
        handle(self, event, source)

    monkeypatch.setattr(RunSession, "handle", counted)
    model = YOLO(TINY)
    attach(model, SaveBest(), LambdaCallback(on_train_batch_end=lambda trainer: seen.append(trainer.epoch)))
    train(model, epochs=3)
    assert handled.count("on_train_batch_end") == 1
    assert seen == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("make", [Suite, lambda callbacks, **options: attach(YOLO(TINY), callbacks, **options)])
def test_a_report_brings_what_it_needs(make):
    """The suite does not import the report, whoever makes the suite."""
    assert [type(callback) for callback in make([SaveBest()]).callbacks] == [SaveBest]
    kinds = [type(callback) for callback in make([SaveBest()], report=True).callbacks]
    assert kinds == [SaveBest, JsonlLogger, ValidationSnapshot]


def test_a_function_can_free_its_model(train):
    """Up to Python 3.12, reading the variables of a frame holds them until its function returns."""
    model = YOLO(TINY)
    suite = attach(model, SaveBest(), FailingImages(), MemoryCleanup(), JsonlLogger())
    train(model, epochs=1)
    trainer = weakref.ref(model.trainer)
    del model
    gc.collect()
    assert trainer() is None
    assert suite.callbacks


def test_only_attach_imports_the_report():
    import grimp  # not on every machine with a GPU

    graph = grimp.build_graph("yolo_callbacks")
    importers = {
        module
        for module in graph.modules
        if module.startswith("yolo_callbacks.suite")
        and any(each.startswith("yolo_callbacks.report") for each in graph.find_modules_directly_imported_by(module))
    }
    assert importers == {"yolo_callbacks.suite.attaching"}


def test_the_warning_of_a_second_attach_names_the_line_of_the_user():
    model = YOLO(TINY)
    attach(model, SaveBest())
    with pytest.warns(UserWarning, match="attach replaces the callbacks") as warned:
        attach(model, SaveBest())
    assert [Path(each.filename).name for each in warned] == [Path(__file__).name]


def test_a_pickled_suite_has_no_run(tmp_path):
    suite, trainer = started(tmp_path / "a")
    copy = pickle.loads(pickle.dumps(suite))
    assert repr(copy) == repr(suite)
    copy.handle("teardown", trainer)  # of a run that the copy does not know
    assert (suite.callbacks[0].ends, copy.callbacks[0].ends) == (0, 0)
    suite.handle("teardown", trainer)
    assert suite.callbacks[0].ends == 1


def started(folder: Path, suite: Suite | None = None) -> tuple[Suite, Any]:
    """Return a suite in a training that does nothing, and its trainer."""
    (folder / "weights").mkdir(parents=True)
    suite, trainer = suite or Suite([Counter()]), StandIn(folder)
    for event in ("on_pretrain_routine_start", "on_pretrain_routine_end", "on_train_start"):
        suite.handle(event, trainer)
    return suite, trainer


def test_the_end_of_a_run_leaves_the_next_run_alone(tmp_path):
    """One suite, whose second training starts before the first one has ended, as in two threads."""
    suite, first = started(tmp_path / "first")
    suite, second = started(tmp_path / "second", suite)
    suite.handle("teardown", first)  # a stray event: the first run is no longer the suite's
    suite.handle("teardown", second)
    assert suite.callbacks[0].ends == 1
    suite.handle("teardown", second)
    assert suite.callbacks[0].ends == 1


def test_an_empty_list_attaches_no_callback():
    assert attach(YOLO(TINY), []).callbacks == ()
    assert len(attach(YOLO(TINY)).callbacks) == 4
