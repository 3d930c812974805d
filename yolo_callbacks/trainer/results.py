"""Read numbers from the results of Ultralytics."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["best_confidence", "mean_f1_confidence", "numbers", "per_class", "read_results", "thresholds", "transforms"]

_PRECISIONS = (0.8, 0.9, 0.95)
# Attribute of DetMetrics and its subclasses that holds the values, and the suffix of their keys.
_METRIC_GROUPS = {"box": "B", "seg": "M", "pose": "P"}


def numbers(values: Mapping[Any, Any]) -> dict[str, float]:
    """Return the values that are numbers; a trainer of the user may report others."""
    found: dict[str, float] = {}
    for name, value in values.items():
        with contextlib.suppress(Exception):  # objects of any kind
            found[str(name)] = float(value)
    return found


def read_results(path: Path) -> list[dict[str, float]]:
    """Return the rows of a `results.csv`, each as numbers by column.

    Leave out cells that are no numbers, and rows without an `epoch`. A row may have more or fewer cells than the
    header: Ultralytics writes the header once, and in each row the metrics of its epoch.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        reader = csv.reader(file, skipinitialspace=True)
        header: list[str] = []
        rows: list[dict[str, float]] = []
        with contextlib.suppress(csv.Error):  # keep the rows before the error
            header = [name.strip() for name in next(reader, [])]
            for cells in reader:
                row = numbers(dict(zip(header, _fitting(header, cells), strict=False)))
                if float(row.get("epoch", "nan")).is_integer():
                    rows.append(row)
    return rows


def _fitting(header: Sequence[str], cells: Sequence[str]) -> Sequence[str]:
    """Return the cells of a row whose columns are known, from the first column on."""
    surplus = len(cells) - len(header)
    if surplus > 0:
        # a metric that the first epoch did not have; it comes after the other metrics and before the learning rates
        rates = next((index for index, name in enumerate(header) if name.startswith("lr/")), len(header))
        return [*cells[:rates], *cells[rates + surplus :]]
    if surplus < 0:
        # an unknown metric is missing, or the row is incomplete and may end in the middle of a number
        known = [name for name in header if name in ("epoch", "time") or name.startswith("train/")]
        return cells[:-1][: len(known)]
    return cells


def transforms(transform: Any, name: str) -> Iterator[Any]:
    """Yield every transform of a class in a composition."""
    if type(transform).__name__ == name:
        yield transform
    for inner in getattr(transform, "transforms", None) or ():
        yield from transforms(inner, name)


def per_class(results: Any) -> dict[str, dict[int, float]]:
    """Return the values by class index. `maps` is not used: it gives classes without boxes the mean of the others."""
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
    """Return by class the confidence with the highest F1 of the boxes, without classes that were never predicted."""
    box = getattr(results, "box", None)
    if box is None or not hasattr(box, "f1_curve"):  # not a detection task, or nothing validated yet
        return {}
    return {
        int(index): float(box.px[curve.argmax()])
        for index, curve in zip(box.ap_class_index, box.f1_curve, strict=True)
        if curve.max() > 0
    }


def thresholds(results: Any) -> dict[str, dict[int, float]]:
    """Return the lowest confidence from which on the boxes of a class reach a precision, by precision and class."""
    box = getattr(results, "box", None)
    precision, recall = getattr(box, "p_curve", None), getattr(box, "r_curve", None)
    if box is None or precision is None or recall is None or not len(precision):  # no detection task, or no validation
        return {}
    found = {}
    for wanted in _PRECISIONS:
        # Where nothing is predicted, Ultralytics sets the precision to 1: such a confidence has a recall of 0.
        reached = (precision >= wanted) & (recall > 0)
        positions = zip(box.ap_class_index, reached.any(axis=1), reached.argmax(axis=1), strict=True)
        found[str(wanted)] = {int(index): float(box.px[at]) for index, ever, at in positions if ever}
    return found


def mean_f1_confidence(results: Any, task: str) -> float | None:
    """Return the confidence with the highest mean F1 over classes; None where nothing is right at any confidence."""
    group = {"segment": "seg", "pose": "pose"}.get(task, "box")
    metric = getattr(results, group, None)
    curves = getattr(metric, "f1_curve", None)
    if metric is None or curves is None or not len(curves):
        return None
    mean = curves.mean(0)
    return float(metric.px[mean.argmax()]) if mean.max() > 0 else None
