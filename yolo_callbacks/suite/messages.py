"""Print what a run begins with, and show its summary as a table in a notebook."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from yolo_callbacks.state.summary import render_html
from yolo_callbacks.suite.guarded_callback import GuardedCallback
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.files import LOGGER

__all__ = ["log_start", "show_in_notebook"]


def log_start(members: Iterable[GuardedCallback], run: TrainingRun) -> None:
    """Log one line: which callbacks run, what they monitor, and where they write."""
    shown = ", ".join(member.title() for member in members if not (member.missed or member.of_report))
    if shown:
        LOGGER.info(f"Callbacks: {shown}; files in {run.save_dir}")


def show_in_notebook(summary: Mapping[str, Any]) -> None:
    """Show the summary as a table where the code runs in a notebook. IPython is used only if it is imported already."""
    ipython, display = sys.modules.get("IPython"), sys.modules.get("IPython.display")
    if ipython is None or display is None:
        return
    shell = ipython.get_ipython()
    if type(shell).__name__ == "ZMQInteractiveShell":
        display.display(display.HTML(render_html(summary)))
