"""Alerts of a W&B run, without a training and without W&B."""

from __future__ import annotations

import pytest
from wandb_session import NotedSession

from yolo_callbacks.loggers.wandb_parts.alerts import Alerts
from yolo_callbacks.metrics.epoch_record import EpochRecord

NAN = float("nan")


@pytest.fixture
def session() -> NotedSession:
    return NotedSession()


def record(epoch: int = 2, **metrics: float) -> EpochRecord:
    return EpochRecord(epoch=epoch, epochs=4, metrics=metrics)


def test_metrics_that_are_nan_are_named(session):
    Alerts(enabled=True).on_epoch(session, record(a=NAN, b=1.0, c=NAN, d=float("inf")), stopping=False)
    assert session.run.alerts == [("NaN", "epoch 2: a, c", "WARN")]


@pytest.mark.parametrize(("epoch", "stopping", "count"), [(2, True, 1), (2, False, 0), (4, True, 0)])
def test_an_early_stop(session, epoch, stopping, count):
    """The last epoch stops the training too, which is no news."""
    Alerts(enabled=True).on_epoch(session, record(epoch, a=1.0), stopping=stopping)
    assert session.run.alerts == [("Training stops", "with epoch 2 of 4", "INFO")] * count


def test_an_epoch_that_is_repeated_after_a_nan(session):
    alerts = Alerts(enabled=True)
    for epoch in (1, 2):
        alerts.on_epoch_start(session, epoch, 16)
        alerts.on_epoch_trained(epoch)
    assert session.run.alerts == []
    alerts.on_epoch_start(session, 2, 16)
    assert session.run.alerts == [("NaN", "epoch 2 is trained again, from the checkpoint before it", "WARN")]


def test_an_epoch_that_starts_again_with_smaller_batches(session):
    alerts = Alerts(enabled=True)
    for size in (16, 8, 8):  # the first pass did not end
        alerts.on_epoch_start(session, 1, size)
    assert session.run.alerts == [("Out of memory", "batch size 16 to 8, epoch 1 starts again", "WARN")]


@pytest.mark.parametrize(
    ("failure", "alert"),
    [
        (None, ("Training ended", "finished", "INFO")),
        (ValueError("broken\ndata"), ("Training ended", "failed: ValueError: broken data", "ERROR")),
        (KeyboardInterrupt(), ("Training ended", "failed: KeyboardInterrupt", "ERROR")),
        (RuntimeError("CUDA out of memory"), ("Out of memory", "failed: RuntimeError: CUDA out of memory", "ERROR")),
    ],
)
def test_the_end(session, failure, alert):
    Alerts(enabled=True).on_end(session, failure)
    assert session.run.alerts == [alert]


def test_none_is_sent_unless_asked_for(session):
    alerts = Alerts(enabled=False)
    for size in (16, 8):
        alerts.on_epoch_start(session, 1, size)
    alerts.on_epoch(session, record(a=NAN), stopping=True)
    alerts.on_end(session, ValueError())
    assert session.run.alerts == []
