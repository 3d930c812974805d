"""Part of the adaptor: numbers out of what Ultralytics keeps as its results."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["best_confidence", "numbers", "per_class", "transforms"]

# Attribute of DetMetrics and its subclasses that holds the values, and the suffix of their keys.
_METRIC_GROUPS = {"box": "B", "seg": "M", "pose": "P"}


def numbers(values: Mapping[Any, Any]) -> dict[str, float]:
    """The values that are numbers; a trainer of the user's may report others."""
    found: dict[str, float] = {}
    for name, value in values.items():
        with contextlib.suppress(Exception):  # objects of any kind
            found[str(name)] = float(value)
    return found


def transforms(transform: Any, name: str) -> Iterator[Any]:
    """Every transform of a class in a composition."""
    if type(transform).__name__ == name:
        yield transform
    for inner in getattr(transform, "transforms", None) or ():
        yield from transforms(inner, name)


def per_class(results: Any) -> dict[str, dict[int, float]]:
    """Values by class index. Not from `maps`, which fills classes without boxes with the mean of the others."""
    values: dict[str, dict[int, float]] = {}
    for attribute, suffix in _METRIC_GROUPS.items():
        metric = getattr(results, attribute, None)
        index = [int(position) for position in getattr(metric, "ap_class_index", ())]
        if metric is None or not index:
            continue
        columns = {"precision": metric.p, "recall": metric.r, "mAP50": metric.ap50, "mAP50-95": metric.ap}
        for name, column in columns.items():
            values[f"{name}({suffix})"] = dict(zip(index, map(float, column), strict=True))
    return values


def best_confidence(results: Any) -> dict[int, float]:
    """The confidence at which F1 of the boxes is highest, by class; none for a class that was never predicted."""
    box = getattr(results, "box", None)
    if box is None or not hasattr(box, "f1_curve"):  # not a detection task, or nothing validated yet
        return {}
    return {
        int(index): float(box.px[curve.argmax()])
        for index, curve in zip(box.ap_class_index, box.f1_curve, strict=True)
        if curve.max() > 0
    }
