"""What loggers log of an epoch, and under which names: the same in every logger."""

from __future__ import annotations

from collections.abc import Iterator

from yolo_callbacks.metrics.epoch_record import EpochRecord

__all__ = ["MAX_CLASSES", "epoch_scalars", "final_scalars", "per_class_scalars"]

# Beyond this many classes, scalars by class would drown all others.
MAX_CLASSES = 100


def epoch_scalars(record: EpochRecord) -> dict[str, float]:
    """Everything of an epoch: metrics, losses and rates, values by class, and what callbacks published."""
    per_class = per_class_scalars(record) if len(record.names) <= MAX_CLASSES else {}
    return {**record.metrics, **per_class, **record.scalars}


def final_scalars(record: EpochRecord) -> dict[str, float]:
    """The same of the evaluation after training, which is no epoch: under `final/…`."""
    return {f"final/{name}": value for name, value in epoch_scalars(record).items()}


def per_class_scalars(record: EpochRecord) -> dict[str, float]:
    """`per_class/<class>/<metric>`; of boxes without a suffix, of masks and poses with `(M)` and `(P)`."""
    return dict(_per_class(record))


def _per_class(record: EpochRecord) -> Iterator[tuple[str, float]]:
    for metric, values in record.per_class.items():
        for index, value in values.items():
            yield f"per_class/{record.class_name(index)}/{metric.removesuffix('(B)')}", value
