"""`Callback.in_epochs` in real trainings: which events a callback gets, in a suite and alone, and after a resume."""

from __future__ import annotations

from typing import Any

import pytest
from trainings import TINY, interrupted
from ultralytics import YOLO

from yolo_callbacks import Callback, EarlyStopping, JsonlLogger, ReduceLROnPlateau, SaveBest, attach
from yolo_callbacks.callbacks.events import EPOCH_EVENTS, Event
from yolo_callbacks.suite.guarded_callback import GuardedCallback
from yolo_callbacks.utils.files import parse_json

OF_EPOCH = (*sorted(EPOCH_EVENTS), "on_val_start", "on_val_batch_end", "on_val_end")


class Noting(Callback):
    """Notes the epoch of each event."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.seen: dict[str, list[int]] = {}
        self.trainer: Any = None

    def note(self, event: str) -> None:
        self.seen.setdefault(event, []).append(self.trainer.epoch + 1)

    def on_pretrain_routine_end(self, trainer: Any) -> None:
        self.trainer = trainer
        self.seen["on_pretrain_routine_end"] = [0]

    def on_final_evaluation(self, run: Any, record: Any) -> None:
        self.seen["on_final_evaluation"] = [record.epoch]

    def on_epoch(self, run: Any, record: Any) -> None:
        self.note("on_epoch")

    def finalize(self, run: Any) -> None:
        self.trainer = None


def _noting(event: str) -> Any:
    def method(self: Noting, source: Any) -> None:
        self.note(event)

    return method


Everything = type(
    "Everything",
    (Noting,),
    {event: _noting(event) for event in (*OF_EPOCH, "on_train_end") if event != Event.FIT_EPOCH_END.value},
)


@pytest.mark.training
def test_the_events_of_other_epochs_do_not_arrive(train):
    model, some, every = YOLO(TINY), Everything().in_epochs("2:3"), Everything()
    attach(model, some, every, strict=True)
    train(model, epochs=4)
    for event in set(OF_EPOCH) - {"on_fit_epoch_end"}:
        of_all = every.seen[event]
        last = of_all[-1:] if event.startswith("on_val") else []  # the final evaluation is in no epoch
        assert some.seen[event] == [epoch for epoch in of_all if epoch in (2, 3)] + last, event
        assert {1, 2, 3, 4} <= set(of_all), event
    assert (some.seen["on_epoch"], every.seen["on_epoch"]) == ([2, 3], [1, 2, 3, 4])
    for event in ("on_pretrain_routine_end", "on_final_evaluation", "on_train_end"):
        assert some.seen[event] == every.seen[event], event


@pytest.mark.training
def test_deciders_decide_in_their_epochs_only(train, scripted):
    scripted([0.9, 0.2, 0.5, 0.4, 0.3, 0.2])
    saved, stopping = SaveBest("mAP50").in_epochs("2:"), EarlyStopping("mAP50", patience=2).in_epochs("-4:")
    reduced = ReduceLROnPlateau("mAP50", patience=0).in_epochs(":2")
    model = YOLO(TINY)
    attach(model, saved, stopping, reduced, JsonlLogger().in_epochs("2:3"), strict=True)
    folder = train(model, epochs=6)
    assert (saved.best_epoch, saved.best_score) == (3, 0.5)
    assert stopping.stopped_epoch == 5
    assert "epoch 2" in reduced.outcome()
    lines = [parse_json(line) for line in (folder / "callbacks.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if "epoch" in line] == [2, 3]


@pytest.mark.training
def test_as_a_plain_function_without_a_suite(train, scripted):
    scripted([0.9, 0.2, 0.5])
    model, saved = YOLO(TINY), SaveBest("mAP50").in_epochs("2:")
    model.add_callback("on_fit_epoch_end", saved.on_fit_epoch_end)
    train(model, epochs=3)
    assert saved.best_epoch == 3


@pytest.mark.training
def test_a_resume_decides_in_the_same_epochs(train, scripted):
    scripted([0.9, 0.2, 0.5, 0.6])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50").in_epochs("2:3"), strict=True)
    folder = interrupted(train, model, after=2, epochs=4)
    model, again = YOLO(folder / "weights" / "last.pt"), SaveBest("mAP50").in_epochs("2:3")
    scripted([0.5, 0.6])
    attach(model, again, strict=True)
    model.train(resume=True)
    assert (again.best_epoch, again.best_score) == (3, 0.5)


@pytest.mark.training
def test_a_choice_without_an_epoch_gives_a_warning(train, messages):
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50").in_epochs("9:"), strict=True)
    train(model, epochs=2)
    assert messages[0] == "SaveBest does nothing in this run: it runs in epochs 9:, and 2 epochs are planned"


def test_it_returns_the_callback_and_shows_the_epochs():
    stopping = EarlyStopping("mAP50", patience=3)
    assert stopping.epoch_filter is None
    assert stopping.in_epochs(" 10:") is stopping
    assert stopping.epoch_filter.text == "10:"
    assert GuardedCallback(stopping, "", frozenset(EPOCH_EVENTS)).title() == "EarlyStopping by mAP50 in epochs 10:"
    assert repr(stopping) == "EarlyStopping(monitor='mAP50', patience=3).in_epochs('10:')"
