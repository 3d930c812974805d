"""Print what a run begins with and what it did; in a notebook, show the latter as a table."""

from __future__ import annotations

import atexit
import logging
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from yolo_callbacks.state.summary import render, render_html
from yolo_callbacks.suite.guarded_callback import GuardedCallback
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.console import console_width, display_html, listed, wrapped
from yolo_callbacks.utils.files import LOGGER

__all__ = ["log_start", "repeat_at_exit", "show_summary", "warn_of_no_epoch"]


def log_start(members: Iterable[GuardedCallback], run: TrainingRun) -> None:
    """Log one line: which callbacks run, what they monitor, and where they write."""
    titles = [member.title() for member in members if not (member.missed or member.of_report)]
    if titles:
        parts = ["Callbacks:", *listed(titles, ";"), f"files in {run.save_dir}"]
        LOGGER.info(wrapped(parts, console_width()))


def warn_of_no_epoch(members: Iterable[GuardedCallback], run: TrainingRun) -> None:
    """Warn of callbacks whose epochs this run does not have."""
    for member in members:
        chosen = member.callback.epoch_filter
        if chosen is not None and chosen.is_empty(run.planned_epochs):
            LOGGER.warning(
                f"{member.name} does nothing in this run: it runs in epochs {chosen.text}, and {run.planned_epochs} "
                "epochs are planned"
            )


def show_summary(summary: Mapping[str, Any]) -> None:
    """Log the summary as a table of text; show it as HTML instead where the code runs in a notebook."""
    if LOGGER.isEnabledFor(logging.INFO):
        text = render(summary, console_width())
        if not display_html(lambda: render_html(summary), text):
            LOGGER.info(text)


def repeat_at_exit(line: str) -> None:
    """Log a line again when the interpreter exits, if a traceback has moved it out of sight by then."""
    atexit.register(_after_traceback, line)


def _after_traceback(line: str) -> None:
    if getattr(sys, "last_value", None) is not None:  # Python has printed an exception that nothing caught
        LOGGER.info(line)
