"""Collect the scalars of an epoch for the loggers. Every logger uses the same names."""

from __future__ import annotations

from yolo_callbacks.metrics.epoch_record import EpochRecord

__all__ = ["MAX_CLASSES", "epoch_scalars", "final_scalars"]

# With more classes than this, scalars by class are left out, since they would hide all others.
MAX_CLASSES = 100


def epoch_scalars(record: EpochRecord) -> dict[str, float]:
    """Return all scalars of an epoch: metrics, losses, learning rates, values by class, and scalars of callbacks."""
    per_class = _per_class_scalars(record) if len(record.names) <= MAX_CLASSES else {}
    return {**record.metrics, **per_class, **_size_scalars(record), **record.scalars}


def final_scalars(record: EpochRecord) -> dict[str, float]:
    """Return the same scalars of the evaluation after training, under `final/…`."""
    return {f"final/{name}": value for name, value in epoch_scalars(record).items()}


def _size_scalars(record: EpochRecord) -> dict[str, float]:
    """Return the values by size as `by_size/<size>/<metric>`."""
    return {
        f"by_size/{size}/{metric.removesuffix('(B)')}": value
        for metric, values in record.by_size.items()
        for size, value in values.items()
    }


def _per_class_scalars(record: EpochRecord) -> dict[str, float]:
    """Return the values by class as `per_class/<class>/<metric>`, with `(M)` for masks and `(P)` for poses."""
    return {
        f"per_class/{record.class_name(index)}/{metric.removesuffix('(B)')}": value
        for metric, values in record.per_class.items()
        for index, value in values.items()
    }
