"""Losses of batches, without a training and without W&B."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from wandb_session import NotedSession

from yolo_callbacks.loggers.wandb_parts.batch_losses import BatchLosses
from yolo_callbacks.trainer.training_run import TrainingRun


class Trainer(SimpleNamespace):
    """Has what is read of a trainer."""

    def label_loss_items(self, losses: Any, prefix: str) -> dict[str, Any]:
        return {f"{prefix}/loss": losses}


def train(collected: BatchLosses, session: NotedSession, epoch: int, losses: list[float]) -> None:
    collected.start_epoch()
    for loss in losses:
        collected.collect(Trainer(loss_items=loss))
    collected.log(session, TrainingRun(Trainer(epoch=epoch)))


@pytest.mark.parametrize(
    ("period", "steps"), [(0, []), (1, [1, 2, 3, 4, 5, 6, 7, 8]), (2, [1, 3, 5, 7]), (3, [1, 4, 5, 8]), (9, [1, 5])]
)
def test_every_batch_of_a_period_has_its_number_in_the_run(period, steps):
    session, collected = NotedSession(), BatchLosses(period)
    for epoch in (0, 1):
        train(collected, session, epoch, [1.0, 2.0, 3.0, 4.0])
    assert [row["batch/step"] for row in session.rows] == steps
    assert [row["batch/loss"] for row in session.rows] == [float((step - 1) % 4 + 1) for step in steps]


def test_the_axis_is_defined_once_and_only_if_there_are_losses():
    session, collected = NotedSession(), BatchLosses(1)
    train(collected, session, 0, [])
    assert session.definitions == []
    for epoch in (0, 1):
        train(collected, session, epoch, [1.0])
    assert session.definitions == [("batch/*", "batch/step", None)]


def test_a_pass_that_is_repeated_is_not_logged():
    session, collected = NotedSession(), BatchLosses(1)
    collected.start_epoch()
    collected.collect(Trainer(loss_items=float("nan")))
    train(collected, session, 0, [1.0, 2.0])
    assert [(row["batch/step"], row["batch/loss"]) for row in session.rows] == [(1, 1.0), (2, 2.0)]


def test_losses_are_logged_once():
    session, collected = NotedSession(), BatchLosses(1)
    train(collected, session, 0, [1.0])
    collected.log(session, TrainingRun(Trainer(epoch=0)))
    assert len(session.rows) == 1


def test_losses_are_not_read_before_the_end_of_the_epoch():
    """Reading one makes the accelerator wait."""

    class Unread:
        reads = 0

        def __float__(self) -> float:
            Unread.reads += 1
            return 1.0

    session, collected = NotedSession(), BatchLosses(1)
    collected.start_epoch()
    collected.collect(Trainer(loss_items=Unread()))
    assert Unread.reads == 0
    collected.log(session, TrainingRun(Trainer(epoch=0)))
    assert (Unread.reads, session.rows[0]["batch/loss"]) == (1, 1.0)
