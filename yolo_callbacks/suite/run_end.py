"""Summarize a run at its end, and write its picture and its report."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.suite.clock import Clock
from yolo_callbacks.suite.guarded_callback import GuardedCallback
from yolo_callbacks.trainer.training_run import TrainingRun

__all__ = [
    "PLUGIN_ATTRIBUTE",
    "NoOutputs",
    "RunOutputs",
    "can_be_resumed",
    "summarize",
    "write_picture",
    "write_report",
]

PLUGIN_ATTRIBUTE = "_yolo_callbacks_plugin"
"""The attribute of a trainer that holds the suite made from YOLO_CALLBACKS."""


class RunOutputs(Protocol):
    """What a suite writes of a run beside the files of its callbacks.

    The layer of the report implements it, which this layer does not import.
    """

    def recorders(self, callbacks: Iterable[Callback]) -> list[Callback]:
        """Return the callbacks that record what the report needs and `callbacks` do not record."""

    def draw_picture(self, folder: Path, callbacks: Iterable[Callback]) -> None:
        """Draw what `callbacks` did in the run of a folder. It must not raise."""

    def write_report(self, folder: Path) -> None:
        """Write the report of the run of a folder. It must not raise."""


class NoOutputs:
    """Write nothing."""

    def recorders(self, callbacks: Iterable[Callback]) -> list[Callback]:
        """Return no callback."""
        return []

    def draw_picture(self, folder: Path, callbacks: Iterable[Callback]) -> None:
        """Draw nothing."""

    def write_report(self, folder: Path) -> None:
        """Write nothing."""


def write_picture(run: TrainingRun, callbacks: Iterable[Callback], outputs: RunOutputs) -> None:
    """Draw the picture of a run that has finished, where Ultralytics draws plots too."""
    run.wait_for_background()  # for the files that the picture is drawn from
    if run.is_main and run.draws_plots:
        outputs.draw_picture(run.save_dir, callbacks)


def write_report(run: TrainingRun, outputs: RunOutputs) -> None:
    """Write the report of a run that has finished."""
    if run.is_main:
        run.wait_for_background()  # for the summary
        outputs.write_report(run.save_dir)


def summarize(
    run: TrainingRun, members: Iterable[GuardedCallback], clock: Clock, status: str, *, keep_resumable: bool = False
) -> dict[str, Any]:
    """Return what happened in a run, as `state.summary.render` takes it.

    Args:
        run: The training.
        members: Its callbacks.
        clock: How long the training and its callbacks took.
        status: `"finished"`, or how else the training ended.
        keep_resumable: Whether last.pt keeps its optimizer at the end.
    """
    return {
        "status": status,
        "epochs": run.last_epoch,
        "stopped_by": run.stopped_by if status == "finished" else "",
        "seconds": clock.total,
        "seconds_before": clock.earlier,
        "seconds_in_callbacks": clock.seconds_in_callbacks,
        "seconds_in_epochs": clock.epoch_share.seconds,
        "epochs_timed": clock.epoch_share.epochs,
        "folder": str(run.save_dir),
        "next_step": next_step(run, status, keep_resumable=keep_resumable),
        "callbacks": numbered([member.summary_row() for member in members]),
    }


def numbered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add a number to the names of callbacks of one class whose rows have no text that tells them apart."""
    kinds = Counter((row["name"], row["outcome"]) for row in rows)
    seen: Counter[str] = Counter()
    for row in rows:
        name = row["name"]
        if kinds[name, row["outcome"]] > 1:
            seen[name] += 1
            row["name"] = f"{name} {seen[name]}"
    return rows


def can_be_resumed(run: TrainingRun) -> bool:
    """Return whether the run has a checkpoint to resume from."""
    # An earlier run in the same folder may have left a last.pt (exist_ok=True).
    written = run.supervision.has_checkpoint or run.completed_epochs
    return bool(run.last_epoch and written and (run.weights_dir / "last.pt").is_file())


def next_step(run: TrainingRun, status: str, *, keep_resumable: bool) -> str:
    """Return what continues a run that has not trained all its epochs, or "" if nothing does."""
    planned, last = run.planned_epochs, run.weights_dir / "last.pt"
    callbacks = os.environ.get("YOLO_CALLBACKS")
    by_variable = callbacks and hasattr(run.trainer, PLUGIN_ATTRIBUTE)  # else the script has attached its own
    variable = f"YOLO_CALLBACKS={shlex.quote(callbacks)} " if callbacks and by_variable else ""
    if status == "finished":
        if not (keep_resumable and run.last_epoch < planned and run.single_process):
            return ""
        if not by_variable:  # without callbacks, the command would take the default ones
            return f"yolo_callbacks.extend({str(run.save_dir)!r}, …the same callbacks…, epochs={planned})"
        return f"{variable}yolo-callbacks extend {shlex.quote(str(run.save_dir))} epochs={planned}"
    if not can_be_resumed(run):
        return "start the training again, no checkpoint was written yet"
    if variable:
        return f"{variable}yolo train resume=True model={shlex.quote(str(last))}"
    return f"model = YOLO({str(last)!r}); attach(model, …the same callbacks…); model.train(resume=True)"
