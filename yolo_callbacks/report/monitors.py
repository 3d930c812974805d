"""Compute the values of the monitors of a run again, from the files that the run has left."""

from __future__ import annotations

from yolo_callbacks.metrics.epoch_record import EpochRecord, MetricNames
from yolo_callbacks.metrics.monitor import Monitor
from yolo_callbacks.metrics.sources import CLASS_METRICS
from yolo_callbacks.report.run_data import RunData, Series, class_series

__all__ = ["monitored"]


def monitored(run: RunData) -> dict[str, Series]:
    """Return the series of each monitor of the callbacks, except those that the name alone does not define."""
    found = {}
    for name, mode in run.monitors.items():
        try:
            found[name] = _series(run, Monitor(name, mode))
        except ValueError:  # a weighted sum, a function, a class without stored values
            continue
    return {name: series for name, series in found.items() if series}


def _series(run: RunData, monitor: Monitor) -> Series:
    by_class = {
        f"{metric}{suffix or '(B)'}": class_series(run.series, f"{metric}{suffix}")
        for metric in CLASS_METRICS
        for suffix in ("", "(M)", "(P)")
    }
    classes = dict.fromkeys(name for found in by_class.values() for name in found)
    indices = {name: index for index, name in enumerate(classes)}
    losses = dict.fromkeys(key.partition("/")[2] for key in run.starting_with("train/", "val/"))
    task = str(run.arguments.get("task", "detect"))
    keys = tuple(key for key in run.series if key.startswith(("metrics/", "lr/")))
    monitor.bind(MetricNames(task, keys, tuple(losses), {index: name for name, index in indices.items()}))
    series = {}
    for epoch in run.epochs:
        metrics = {key: values[epoch] for key, values in run.series.items() if epoch in values}
        per_class = {
            metric: {indices[name]: values[epoch] for name, values in found.items() if epoch in values}
            for metric, found in by_class.items()
        }
        value = monitor.value(EpochRecord(epoch, run.last_epoch, metrics, per_class))
        if value is not None:
            series[epoch] = value
    return series
