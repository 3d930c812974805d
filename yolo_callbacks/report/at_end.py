"""Write the picture and the report of a run at its end. A failure is one warning and never ends the training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from time import perf_counter

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.callbacks.monitor_callback import MonitorCallback
from yolo_callbacks.loggers.jsonl_logger import JsonlLogger
from yolo_callbacks.utils.files import LOGGER

__all__ = ["ReportOutputs"]


class ReportOutputs:
    """Write `callbacks.png` and `report.html`. What they need is imported when they are written."""

    def recorders(self, callbacks: Iterable[Callback]) -> list[Callback]:
        """Return the callbacks that record what the report needs and `callbacks` do not record.

        These are the values of each class and the scalars of the callbacks, and the boxes of validation images.
        """
        from yolo_callbacks.report.snapshot import ValidationSnapshot

        recorded = any(isinstance(callback, JsonlLogger) for callback in callbacks)
        return [ValidationSnapshot()] if recorded else [JsonlLogger(), ValidationSnapshot()]

    def draw_picture(self, folder: Path, callbacks: Iterable[Callback]) -> None:
        """Draw `callbacks.png` of a run if one of its callbacks decides by a monitor."""
        if any(isinstance(callback, MonitorCallback) for callback in callbacks):
            _warn_on_failure("callbacks.png", lambda: _draw(folder))

    def write_report(self, folder: Path) -> None:
        """Write `report.html` of a run."""
        _warn_on_failure("report.html", lambda: _report(folder))


def _draw(folder: Path) -> None:
    from yolo_callbacks.report.timeline import draw_timeline

    draw_timeline(folder)


def _report(folder: Path) -> None:
    from yolo_callbacks.report import report

    started = perf_counter()
    path = report(folder)
    LOGGER.info(f"Callbacks: report in {path} ({perf_counter() - started:.1f} s)")


def _warn_on_failure(name: str, write: Callable[[], None]) -> None:
    try:
        write()
    except Exception as error:
        LOGGER.warning(f"Callbacks: no {name}: {type(error).__name__} {error}")
