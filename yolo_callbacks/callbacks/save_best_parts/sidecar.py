"""Describe a saved checkpoint in a JSON file beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.utils.version import versions

__all__ = ["describe_checkpoint"]


def describe_checkpoint(
    record: EpochRecord, *, monitor: str, mode: str, value: float | None, stand_in: bool
) -> dict[str, Any]:
    """Return the content of the JSON file beside the checkpoint of an epoch.

    Args:
        record: The epoch.
        monitor: The name of the monitor.
        mode: `"min"` or `"max"`.
        value: The value of the monitor, None if it has none.
        stand_in: Whether the epoch is kept as a stand-in.
    """

    def by_class_name(values: Mapping[int, float]) -> dict[str, float]:
        return {record.class_name(index): number for index, number in values.items()}

    return {
        "epoch": record.epoch,
        "monitor": monitor,
        "mode": mode,
        "value": value,
        "metrics": dict(record.metrics),
        "per_class": {metric: by_class_name(values) for metric, values in record.per_class.items()},
        "best_confidence": by_class_name(record.best_confidence),
        "thresholds": {precision: by_class_name(values) for precision, values in record.thresholds.items()},
        "versions": versions(),
        "stand_in": stand_in,
    }
