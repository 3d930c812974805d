"""Compose the tables of a page, and name the metrics in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from yolo_callbacks.metrics.sources import CLASS_METRICS
from yolo_callbacks.report.run_data import RunData, Series
from yolo_callbacks.report.words import duration, percent, value_text
from yolo_callbacks.state.summary import split_cost

__all__ = ["changed", "class_table", "cost", "final", "measured_seconds", "metrics_of", "plain", "shown", "suffix_of"]

_GROUPS = {"(B)": "boxes", "(M)": "masks", "(P)": "pose"}
_MAX_CLASSES = 200


def metrics_of(run: RunData) -> dict[str, Series]:
    """Return the metrics of validation, the main metric first."""
    found = {key: series for key, series in run.starting_with("metrics/").items() if series}
    order = ("mAP50-95", "mAP50", "precision", "recall")

    def rank(key: str) -> tuple[bool, bool, int]:
        name = key.removeprefix("metrics/")
        name = name[:-3] if name.endswith(tuple(_GROUPS)) else name
        return key != run.main_metric, not key.endswith(suffix_of(run)), (*order, name).index(name)

    return {key: found[key] for key in sorted(found, key=rank)}


def suffix_of(run: RunData) -> str:
    """Return the suffix of the main metric's key, `"(B)"`, `"(M)"` or `"(P)"`; `""` if it has none."""
    suffix = run.main_metric[-3:] if run.main_metric else ""
    return suffix if suffix in _GROUPS else ""


def plain(key: str, among: Iterable[str] = ()) -> str:
    """Return the name of a metric or a loss for people.

    Args:
        key: The key.
        among: The keys beside it: where some are of masks or poses, that of boxes says so too. Defaults to none.
    """
    name = key.partition("/")[2] or key
    suffix = name[-3:]
    named = name.removesuffix(suffix) if suffix in _GROUPS else name
    several = any(other.endswith(("(M)", "(P)")) for other in among)
    extra = f" {_GROUPS[suffix]}" if suffix in ("(M)", "(P)") or (suffix == "(B)" and several) else ""
    return named.replace("_", " ") + extra


def class_table(run: RunData) -> dict[str, Any]:
    """Return the values by class, the best class first."""
    suffix = suffix_of(run).replace("(B)", "")
    metrics = [metric for metric in CLASS_METRICS if run.per_class.get(f"{metric}{suffix}")]
    columns = [run.per_class[f"{metric}{suffix}"] for metric in metrics]
    if not columns:
        return {"epoch": 0, "metrics": [], "rows": [], "left_out": 0, "ordered": False}
    order = sorted(columns[-1], key=lambda name: (-columns[-1][name], name))
    rows = [(name, [column.get(name) for column in columns]) for name in order]
    half = _MAX_CLASSES // 2
    shown = rows if len(rows) <= _MAX_CLASSES else [*rows[:half], *rows[-half:]]
    return {
        "epoch": run.per_class_epoch,
        "metrics": metrics,
        "rows": shown,
        "left_out": len(rows) - len(shown),
        "ordered": len(set(columns[-1].values())) > 1,
    }


def final(run: RunData) -> list[tuple[str, float, tuple[int, float] | None]]:
    """Return each metric of the evaluation after training, with epoch and value of its best validation."""
    metrics = metrics_of(run)
    return [(plain(key, metrics), run.final[key], run.best(key)) for key in metrics if key in run.final]


def measured_seconds(summary: Mapping[str, Any]) -> float:
    """Return the seconds in which the callbacks were measured: those since the last resume."""
    return max((summary.get("seconds") or 0.0) - (summary.get("seconds_before") or 0.0), 0.0)


def cost(run: RunData) -> dict[str, Any]:
    """Return the time that each callback took, and the time of all of them, as text."""
    summary, total = run.summary, measured_seconds(run.summary)

    def texts(seconds: float, measured: Mapping[str, Any]) -> dict[str, str]:
        once, per_epoch = split_cost(seconds, measured, summary)
        share = percent(seconds / total) if total else ""
        return {"per_epoch": duration(per_epoch), "once": duration(once), "share": share}

    rows = [{**row, **texts(row["seconds"], row)} for row in summary.get("callbacks") or []]
    everything = texts(summary.get("seconds_in_callbacks") or 0.0, summary)
    return {"rows": rows, "total": duration(total), "all": everything}


def changed(arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the arguments that differ from Ultralytics' defaults."""
    from yolo_callbacks.trainer.installation import default_arguments

    defaults = default_arguments()
    return shown({name: value for name, value in arguments.items() if value != defaults.get(name)})


def shown(arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return arguments as text."""
    return [(name, value_text(value)) for name, value in arguments.items()]
