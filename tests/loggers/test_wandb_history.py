"""Rows of W&B's history, without a training and without W&B."""

from __future__ import annotations

import pytest
from wandb_session import NotedSession

from yolo_callbacks.loggers.wandb_parts.history import History
from yolo_callbacks.metrics.epoch_record import EpochRecord


def record(epoch: int, **metrics: float) -> EpochRecord:
    named = {name.replace("_", "/", 1): value for name, value in metrics.items()}
    return EpochRecord(epoch=epoch, epochs=9, metrics=named, names={0: "cat"})


@pytest.fixture
def session() -> NotedSession:
    return NotedSession()


def test_a_row_has_the_scalars_and_the_epoch(session):
    first = record(1, train_loss=0.5)
    first.log("early_stopping/wait", 2)
    images = dict
    History(images=True).log_epoch(session, first, images)
    assert session.rows == [{"train/loss": 0.5, "early_stopping/wait": 2.0, "epoch": 1}]
    assert session.images == [images]


@pytest.mark.parametrize(
    ("key", "definition"),
    [
        ("train/loss", ("train/*", "epoch", "min,last")),
        ("val/loss", ("val/*", "epoch", "min,last")),
        ("metrics/mAP50(B)", ("metrics/*", "epoch", "max,last")),
        ("fitness", ("fitness", "epoch", "max,last")),
        ("lr/pg0", ("lr/*", "epoch", None)),
    ],
)
def test_each_prefix_has_an_axis_and_a_best_value(session, key, definition):
    History(images=False).log_epoch(session, EpochRecord(epoch=1, epochs=9, metrics={key: 1.0}), None)
    assert session.definitions == [definition]


def test_values_by_class_are_defined_as_metrics_are(session):
    by_class = EpochRecord(epoch=1, epochs=9, metrics={}, per_class={"mAP50(B)": {0: 0.5}}, names={0: "cat"})
    History(images=False).log_epoch(session, by_class, None)
    assert session.rows == [{"per_class/cat/mAP50": 0.5, "epoch": 1}]
    assert session.definitions == [("per_class/*", "epoch", "max,last")]


def test_a_prefix_is_defined_once_and_when_it_comes(session):
    history = History(images=True)
    history.log_epoch(session, record(1, train_loss=1.0), None)
    assert {name for name, *_ in session.definitions} == {"train/*", "validation/*"}
    history.log_epoch(session, record(2, train_loss=1.0, val_loss=1.0), None)
    assert [name for name, *_ in session.definitions][2:] == ["val/*"]


def test_an_epoch_that_is_trained_again_is_not_new(session):
    history = History(images=False)
    assert history.is_new(record(1))
    history.log_epoch(session, record(1), None)
    assert not history.is_new(record(1))
    assert history.is_new(record(2))
    assert history.last is not None
    assert (history.logged_epoch, history.last.epoch) == (1, 1)


def test_past_rows_are_returned_with_their_definitions_and_not_logged(session):
    history = History(images=False)
    history.logged_epoch = 1  # the state of epoch 2 was not written before the kill
    rows = history.past_rows(session, [record(1, train_loss=0.5), record(2, train_loss=0.4)])
    assert rows == [{"train/loss": 0.5, "epoch": 1}, {"train/loss": 0.4, "epoch": 2}]
    assert session.rows == []
    assert [name for name, *_ in session.definitions] == ["train/*"]
    assert (history.logged_epoch, history.is_new(record(2)), history.is_new(record(3))) == (2, False, True)


def test_without_a_journal_the_state_names_the_last_epoch(session):
    history = History(images=False)
    history.logged_epoch = 3
    assert history.past_rows(session, []) == []
    assert history.logged_epoch == 3


def test_the_final_evaluation_is_a_row_and_in_the_summary(session):
    images = dict
    final = {"final/metrics/mAP50": 0.7}
    History(images=True).log_final(session, record(9, metrics_mAP50=0.7), images)
    assert (session.rows, session.run.summary, session.images) == ([final], final, [images])
    assert session.definitions == []
