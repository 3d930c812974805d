"""What a suite draws and writes at the end of a run: never at the training's cost, a failure is one warning."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from time import perf_counter

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.callbacks.monitor_callback import MonitorCallback
from yolo_callbacks.loggers.jsonl_logger import JsonlLogger
from yolo_callbacks.utils.files import LOGGER

__all__ = ["draw_picture", "recorders", "write_report"]


def recorders(callbacks: Iterable[Callback]) -> list[Callback]:
    """What must be kept while training, for a report to have it: values by class and what is published, and boxes."""
    from yolo_callbacks.report.snapshot import ValidationSnapshot

    kept = any(isinstance(callback, JsonlLogger) for callback in callbacks)
    return [ValidationSnapshot()] if kept else [JsonlLogger(), ValidationSnapshot()]


def draw_picture(folder: Path, callbacks: Iterable[Callback]) -> None:
    """Draw `callbacks.png` where there is a callback that decides by a monitor."""
    if any(isinstance(callback, MonitorCallback) for callback in callbacks):

        def draw() -> object:
            from yolo_callbacks.report.timeline import draw_timeline

            return draw_timeline(folder)

        _guarded("callbacks.png", draw)


def write_report(folder: Path) -> None:
    """Write `report.html`."""

    def write() -> object:
        from yolo_callbacks.report import report

        started = perf_counter()
        path = report(folder)
        LOGGER.info(f"Callbacks: report in {path} ({perf_counter() - started:.1f} s)")
        return path

    _guarded("report.html", write)


def _guarded(name: str, make: Callable[[], object]) -> None:
    try:
        make()
    except Exception as error:
        LOGGER.warning(f"Callbacks: no {name}: {type(error).__name__} {error}")
