"""Test that `EventEdges` calls its functions first and last in an event."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from yolo_callbacks.trainer.event_edges import EventEdges


class Trainer:
    def __init__(self, said: list[str]) -> None:
        self.callbacks: dict[str, list[Any]] = {}
        self.said = said

    def run_callbacks(self, event: str) -> None:
        self.said.append(event)


def test_around_the_callbacks_of_an_event():
    said: list[str] = []
    trainer = Trainer(said)
    edges = EventEdges(
        trainer, before={"first": lambda: said.append("before")}, after={"second": lambda: said.append("after")}
    )
    for event in ("first", "second", "third"):
        trainer.run_callbacks(event)
    assert said == ["before", "first", "second", "after", "third"]
    edges.close()
    assert "run_callbacks" not in vars(trainer)


def test_a_trainer_without_callbacks():
    trainer = SimpleNamespace()
    EventEdges(trainer, before={}, after={}).close()
    assert vars(trainer) == {}
