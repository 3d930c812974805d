"""Summarize a run at its end, and write its picture and its report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.suite.clock import Clock
from yolo_callbacks.suite.guarded_callback import GuardedCallback
from yolo_callbacks.suite.next_step import next_step
from yolo_callbacks.trainer.search import current_search, note_iteration
from yolo_callbacks.trainer.training_run import TrainingRun

__all__ = [
    "NoOutputs",
    "RunOutputs",
    "note_in_search",
    "summarize",
    "write_picture",
    "write_report",
]


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


def note_in_search(run: TrainingRun, files: Iterable[Path]) -> None:
    """Note the files of the callbacks of a run that has ended, where it is an iteration of a search."""
    search = current_search()
    if search is not None and run.is_main:
        run.wait_for_background()  # for the checkpoints, and for their last change
        note_iteration(search, run.weights_dir, files)


def summarize(
    run: TrainingRun, members: Sequence[GuardedCallback], clock: Clock, status: str, *, options: Mapping[str, bool]
) -> dict[str, Any]:
    """Return what happened in a run, as `state.summary.render` takes it.

    Args:
        run: The training.
        members: Its callbacks.
        clock: How long the training and its callbacks took.
        status: `"finished"`, or how else the training ended.
        options: The options of the suite: `strict`, `report` and `keep_resumable`.
    """
    progress = run.supervision.progress  # an epoch that was cut off is no epoch of the run
    callbacks = [member.callback for member in members if not member.of_report]
    return {
        "status": status,
        "epochs": run.last_epoch - (progress.in_epoch and not progress.complete),
        "planned_epochs": run.planned_epochs,
        "stopped_by": run.stopped_by if status == "finished" or run.left is not None else "",
        "seconds": clock.total,
        "seconds_before": clock.earlier,
        "seconds_in_callbacks": clock.seconds_in_callbacks,
        "seconds_in_epochs": clock.epoch_share.seconds,
        "epochs_timed": clock.epoch_share.epochs,
        "folder": str(run.save_dir),
        "next_step": next_step(run, status, callbacks=callbacks, options=options),
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
