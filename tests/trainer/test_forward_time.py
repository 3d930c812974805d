"""The forward passes of a rank, on the host's clock and by events of a device."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from yolo_callbacks.trainer import forward_time
from yolo_callbacks.trainer.forward_time import ForwardTime


class Clock:
    """Stands in for `perf_counter`: a forward pass takes as many seconds as its input says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Model(torch.nn.Module):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def forward(self, seconds: float) -> float:
        self.clock.now += seconds
        return seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(forward_time, "perf_counter", clock)
    return clock


def test_the_passes_in_training_are_counted(clock):
    model = Model(clock)
    found = ForwardTime(model, torch.device("cpu"))
    model(2.0)
    model(3.0)
    model.eval()
    model(100.0)
    assert found.take() == 5.0
    assert found.take() == 0.0
    found.close()
    model.train()
    model(2.0)
    assert found.take() == 0.0


def test_the_events_of_a_device_are_read_once_they_are_complete(clock, monkeypatch):
    class Event:
        complete_until = 0.0

        def __init__(self, enable_timing: bool) -> None:
            self.moment = -1.0

        def record(self) -> None:
            self.moment = clock.now

        def query(self) -> bool:
            return self.moment <= Event.complete_until

        def elapsed_time(self, other: Any) -> float:
            assert self.query()
            assert other.query()
            return 1000 * (other.moment - self.moment)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    model = Model(clock)
    found = ForwardTime(model, torch.device("cuda"))
    model(2.0)
    model(3.0)
    assert found.take() == 0.0  # the device has completed nothing: it is not waited for
    Event.complete_until = 2.0
    assert found.take() == 2.0
    Event.complete_until = 5.0
    assert found.take() == 3.0
