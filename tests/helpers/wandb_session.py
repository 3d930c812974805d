"""A stand-in for the session with W&B: it notes the calls, and makes those of a run at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class NotedRun:
    """Notes what the `wandb.Run` of a session would get."""

    def __init__(self) -> None:
        self.alerts: list[tuple[str, str, str]] = []
        self.summary: dict[str, Any] = {}

    def alert(self, *, title: str, text: str, level: str) -> None:
        self.alerts.append((title, text, level))


class NotedSession:
    """Has the methods of `WandbSession` by which the parts of the logger log."""

    def __init__(self) -> None:
        self.run = NotedRun()
        self.rows: list[dict[str, Any]] = []
        self.images: list[Any] = []
        self.definitions: list[tuple[str, str, str | None]] = []

    def log(self, row: Mapping[str, Any], media: Any = None) -> None:
        self.rows.append(dict(row))
        self.images.append(media)

    def define(self, name: str, step_metric: str, summary: str | None = None) -> None:
        self.definitions.append((name, step_metric, summary))

    def call(self, what: str, function: Callable[[Any], object]) -> None:
        function(self.run)
