"""Compose the tables of a page, and name the metrics in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from yolo_callbacks.metrics.sources import CLASS_METRICS
from yolo_callbacks.report.charts import NOTHING
from yolo_callbacks.report.run_data import RunData, Series

__all__ = [
    "best_values",
    "changed",
    "class_table",
    "compared",
    "compared_classes",
    "cost",
    "different",
    "final",
    "labels_of",
    "metrics_of",
    "plain",
    "shown",
    "suffix_of",
]

_GROUPS = {"(B)": "boxes", "(M)": "masks", "(P)": "pose"}
_MAX_CLASSES = 200
_ALWAYS_DIFFERENT = ("name", "project", "save_dir")


def metrics_of(run: RunData) -> dict[str, Series]:
    """Return the metrics of validation, the main metric first."""
    found = {key: series for key, series in run.starting_with("metrics/").items() if series}
    order = ("mAP50-95", "mAP50", "precision", "recall")

    def rank(key: str) -> tuple[bool, bool, int]:
        name = key.removeprefix("metrics/").removesuffix(suffix_of(run))
        return key != run.main_metric, not key.endswith(suffix_of(run)), (*order, name).index(name)

    return {key: found[key] for key in sorted(found, key=rank)}


def suffix_of(run: RunData) -> str:
    """Return the suffix of the main metric's key, `"(B)"`, `"(M)"` or `"(P)"`; `""` if it has none."""
    suffix = run.main_metric[-3:] if run.main_metric else ""
    return suffix if suffix in _GROUPS else ""


def plain(key: str) -> str:
    """Return the name of a metric or a loss for people."""
    name = key.partition("/")[2] or key
    suffix = name[-3:]
    named = name.removesuffix(suffix) if suffix in _GROUPS else name
    extra = f" {_GROUPS[suffix]}" if suffix in ("(M)", "(P)") else ""
    return named.replace("_", " ") + extra


def class_table(run: RunData) -> dict[str, Any]:
    """Return the values by class, the best class first."""
    suffix = suffix_of(run).replace("(B)", "")
    metrics = [metric for metric in CLASS_METRICS if run.per_class.get(f"{metric}{suffix}")]
    columns = [run.per_class[f"{metric}{suffix}"] for metric in metrics]
    if not columns:
        return {"epoch": 0, "metrics": [], "rows": [], "left_out": 0}
    order = sorted(columns[-1], key=lambda name: (-columns[-1][name], name))
    rows = [(name, [column.get(name) for column in columns]) for name in order]
    half = _MAX_CLASSES // 2
    shown = rows if len(rows) <= _MAX_CLASSES else [*rows[:half], *rows[-half:]]
    return {"epoch": run.per_class_epoch, "metrics": metrics, "rows": shown, "left_out": len(rows) - len(shown)}


def final(run: RunData) -> list[tuple[str, float, float | None]]:
    """Return each metric of the evaluation after training, with its best value over the epochs."""
    keys = [key for key in metrics_of(run) if key in run.final]
    return [(plain(key), run.final[key], best[1] if (best := run.best(key)) else None) for key in keys]


def cost(run: RunData) -> dict[str, Any]:
    """Return the time that each callback took, and the time of all of them."""
    total = run.summary.get("seconds") or 0.0
    rows = run.summary.get("callbacks") or []
    return {"rows": rows, "seconds": total, "spent": run.summary.get("seconds_in_callbacks") or 0.0}


def changed(arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the arguments that differ from Ultralytics' defaults."""
    from yolo_callbacks.trainer.installation import default_arguments

    defaults = default_arguments()
    return shown({name: value for name, value in arguments.items() if value != defaults.get(name)})


def shown(arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return arguments as text."""
    return [(name, _text(value)) for name, value in arguments.items()]


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# Several runs -------------------------------------------------------------------------------------------------------


def labels_of(runs: Sequence[RunData]) -> list[str]:
    """Return a name for each run; with the parent folder if several runs have the same name."""
    names = [run.name for run in runs]
    labels = [
        run.name if names.count(run.name) == 1 else f"{run.folder.resolve().parent.name}/{run.name}" for run in runs
    ]
    return [name if labels.count(name) == 1 else f"{name} #{index + 1}" for index, name in enumerate(labels)]


def compared(runs: Sequence[RunData]) -> list[str]:
    """Return the keys of the table of best values: metrics, then validation losses."""
    metrics = dict.fromkeys(key for run in runs for key in metrics_of(run))
    losses = dict.fromkeys(key for run in runs for key in run.starting_with("val/"))
    return [*metrics, *losses]


def best_values(runs: Sequence[RunData], keys: Iterable[str]) -> list[dict[str, Any]]:
    """Return epoch and value of the best of each key in each run, and the best of all runs."""
    rows = []
    for key in keys:
        values = [run.best(key) for run in runs]
        known = [best[1] for best in values if best]
        leading = (min(known) if "loss" in key else max(known)) if known else None
        rows.append({"key": plain(key), "values": values, "leading": leading, "loss": "loss" in key})
    return rows


def compared_classes(runs: Sequence[RunData]) -> list[tuple[str, list[float | None]]]:
    """Return the value of each class in the best epoch of each run."""
    tables = [run.per_class.get(f"mAP50-95{suffix_of(run).replace('(B)', '')}", {}) for run in runs]
    names = dict.fromkeys(name for table in tables for name in table)
    return [(name, [table.get(name) for table in tables]) for name in list(names)[:_MAX_CLASSES]]


def different(runs: Sequence[RunData]) -> list[tuple[str, list[str]]]:
    """Return the arguments that are not the same in all runs."""
    names = dict.fromkeys(name for run in runs for name in run.arguments if name not in _ALWAYS_DIFFERENT)
    missing = object()
    rows = [(name, [run.arguments.get(name, missing) for run in runs]) for name in names]
    return [
        (name, [NOTHING if value is missing else _text(value) for value in values])
        for name, values in rows
        if any(value != values[0] for value in values)
    ]
