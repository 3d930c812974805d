"""Hold the data that a run left in its folder, for the report."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["EVENT_KINDS", "Event", "RunData", "Series", "best_of", "class_series"]

EVENT_KINDS = ("best", "change", "reduction", "stop")
"""The kinds of events, in the order of an epoch."""

Series = dict[int, float]
"""Values by epoch; epochs are counted from 1."""

# The most informative metric first. A run has only those of its task.
_MAIN_METRICS = (
    "metrics/mAP50-95(P)",
    "metrics/mAP50-95(M)",
    "metrics/mAP50-95(B)",
    "metrics/accuracy_top1",
)


_TASKS = {"(P)": "pose", "(M)": "segment", "accuracy": "classify"}


@dataclass(frozen=True)
class Event:
    """Something that a callback did in an epoch.

    Attributes:
        epoch: The epoch, counted from 1.
        kind: `"best"`, `"reduction"` (of the learning rate), `"change"` (from outside) or `"stop"`.
        who: The callback, with its monitor.
        what: A description.
        monitor: The name of the monitor, `""` if there is none.
        value: The value of the monitor, None if it is not known.
    """

    epoch: int
    kind: str
    who: str
    what: str
    monitor: str = ""
    value: float | None = None


@dataclass
class RunData:
    """The data of one run that were found in its folder.

    Attributes:
        folder: The run's folder.
        name: The name of the folder.
        series: The values of each key of `results.csv` and `callbacks.jsonl`, except `epoch`.
        final: The values of the evaluation after training, without the prefix `final/`.
        per_class: The values of each class by metric, in the epoch `per_class_epoch`.
        per_class_epoch: The epoch of `per_class`, 0 if there is none.
        events: What the callbacks did, in the order of the epochs.
        monitors: The mode of each monitor of the callbacks.
        summary: The summary in `callbacks.json`; empty if the run did not end, or ran without a suite.
        versions: The version of each package that is known.
        training: The hardware, data set and optimizer, as `callbacks.json` describes them; empty for an older run.
        confidence: The confidence with the highest F1, and the validation that it is of; None if it is not known.
        arguments: The content of `args.yaml`; secrets are masked.
        boxes: Validation images with their boxes: `names` of classes by index, and `images` with `path`, `size` and
            `boxes` (edges, class and confidence); empty if there are none.
        failures: The lines of `FailingImages`, in the order of the epochs.
        pictures: Ultralytics' pictures and plots, by file name without its ending.
    """

    folder: Path
    name: str
    series: dict[str, Series] = field(default_factory=dict)
    final: dict[str, float] = field(default_factory=dict)
    per_class: dict[str, dict[str, float]] = field(default_factory=dict)
    per_class_epoch: int = 0
    events: list[Event] = field(default_factory=list)
    monitors: dict[str, str] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    confidence: tuple[float, str] | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    boxes: dict[str, Any] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)
    pictures: dict[str, Path] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Ultralytics' version, `""` if it is not known."""
        return self.versions.get("ultralytics", "")

    @property
    def seconds(self) -> float:
        """The seconds of all epochs; 0 if they are not known. The column `time` starts at 0 again in a resumed run."""
        times = [time for _, time in sorted(self.series.get("time", {}).items()) if math.isfinite(time)]
        pairs = zip([0.0, *times[:-1]], times, strict=True)
        return max(sum(time - before if time >= before else time for before, time in pairs), 0.0)

    @property
    def seconds_per_epoch(self) -> float | None:
        """The mean seconds of an epoch; None if they are not known."""
        return self.seconds / len(self.series["time"]) if self.seconds else None

    @property
    def task(self) -> str:
        """The task, by the arguments or else by the main metric."""
        given = self.arguments.get("task")
        key = self.main_metric or ""
        found = next((task for part, task in _TASKS.items() if part in key), "detect")
        return given if isinstance(given, str) and given else found

    @property
    def epochs(self) -> list[int]:
        """The epochs for which `results.csv` or another source has values."""
        return sorted({epoch for series in self.series.values() for epoch in series})

    @property
    def last_epoch(self) -> int:
        """The last epoch."""
        return self.epochs[-1]

    @property
    def main_metric(self) -> str | None:
        """The key by which epochs are compared, or None for a run without validation."""
        metrics = [key for key in self.series if key.startswith("metrics/")]
        return next((key for key in (*_MAIN_METRICS, *metrics) if self.series.get(key)), None)

    @property
    def status(self) -> str:
        """The end of the run in one or two words, `""` if it is not known."""
        stopped = self.stopped_by or any(event.kind == "stop" for event in self.events)
        return "stopped early" if stopped else str(self.summary.get("status") or "")

    @property
    def stopped_by(self) -> str:
        """Who stopped the run, `""` if nobody did or it is not known."""
        return str(self.summary.get("stopped_by") or "")

    @property
    def end(self) -> str:
        """The reason why the run ended, `""` if it is not known."""
        stops = [event.what for event in self.events if event.kind == "stop"]
        by = self.stopped_by
        ended = f"Stopped by {by}" if by else str(self.summary.get("status") or "")
        return stops[-1] if stops else ended

    @property
    def has_detected_nothing(self) -> bool:
        """Whether every mAP is 0 in every epoch. A task without mAP is judged by its main metric."""
        found = self.starting_with("metrics/mAP") or {"": self.series.get(self.main_metric or "", {})}
        return any(found.values()) and not any(value for series in found.values() for value in series.values())

    @property
    def detecting_epochs(self) -> Collection[int] | None:
        """The epochs in which an mAP is above 0; None where there is none: then no epoch is left out."""
        found = self.starting_with("metrics/mAP")
        return {epoch for series in found.values() for epoch, value in series.items() if value > 0} or None

    @property
    def promoted_epoch(self) -> int | None:
        """The epoch that a callback has made best.pt; else that of the best fitness; None where neither is known."""
        for row in self.summary.get("callbacks", ()):
            if found := re.search(r" at epoch (\d+): .*; best\.pt is this epoch", str(row.get("outcome") or "")):
                return int(found[1])
        best = best_of(self.series.get("fitness", {}), "max")
        return best[0] if best and best[1] else None

    def best(self, key: str) -> tuple[int, float] | None:
        """Return epoch and value of the best value of a key, the earlier of equal ones; None if it has no value.

        An epoch that detects nothing is never the best by a validation loss, if another one detects something.
        """
        series, among = self.series.get(key, {}), self.detecting_epochs
        if key.startswith("val/") and among is not None:
            series = {epoch: value for epoch, value in series.items() if epoch in among}
        return best_of(series, "min" if "loss" in key else "max")

    def starting_with(self, *prefixes: str) -> dict[str, Series]:
        """Return the series whose keys start with one of the prefixes."""
        return {key: series for key, series in self.series.items() if key.startswith(prefixes)}


def best_of(series: Series, mode: str) -> tuple[int, float] | None:
    """Return epoch and value of the best finite value, the earlier of equal ones; None if there is no finite value."""
    finite = {epoch: value for epoch, value in series.items() if math.isfinite(value)}
    if not finite:
        return None
    sign = -1.0 if mode == "max" else 1.0
    epoch = min(finite, key=lambda epoch: (sign * finite[epoch], epoch))
    return epoch, finite[epoch]


def class_series(series: Mapping[str, Series], metric: str) -> dict[str, Series]:
    """Return the series of each class for a metric such as `"mAP50-95"`."""
    split = {key: key.removeprefix("per_class/").rpartition("/") for key in series if key.startswith("per_class/")}
    return {name: series[key] for key, (name, _, found) in split.items() if found == metric}
