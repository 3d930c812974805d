"""Choose the charts of a page, and the lines in each chart."""

from __future__ import annotations

from collections.abc import Sequence

from yolo_callbacks.report.charts import COLORS, Chart, Line, Scale, draw
from yolo_callbacks.report.comparison import Labelled
from yolo_callbacks.report.run_data import RunData, Series, class_series
from yolo_callbacks.report.tables import class_table, metrics_of, plain, suffix_of
from yolo_callbacks.report.words import number

__all__ = [
    "class_charts",
    "compared_losses",
    "compared_quality",
    "logged",
    "losses",
    "memory",
    "quality",
    "rates",
    "scale_of",
]


# The first parts of the keys that other charts show, or that repeat what an event says.
_SHOWN_ELSEWHERE = ("metrics", "train", "val", "lr", "memory", "per_class", "best", "early_stopping")
_MAX_LOGGED = 24


def scale_of(run: RunData) -> Scale:
    """Return the settings that all charts of a run share."""
    stops = [event.epoch for event in run.events if event.kind == "stop"]
    reductions = {event.epoch for event in run.events if event.kind == "reduction"}
    return Scale(run.last_epoch, tuple(sorted(reductions)), max(stops, default=0))


def quality(run: RunData, scale: Scale) -> list[Chart]:
    """Return a chart for each metric; precision and recall share one."""
    metrics = metrics_of(run)
    charts = []
    for key, series in metrics.items():
        other = key.replace("/precision(", "/recall(")
        if other != key and other in metrics:
            lines = [Line("precision", series, 0), Line("recall", metrics[other], 1)]
            title = plain(key, metrics).replace("precision", "precision and recall")
            charts.append(draw(title, lines, scale, whole=True))
        elif "/recall(" not in key:
            title = plain(key, metrics)
            charts.append(draw(title, [Line(title, series)], scale, best="max", whole=True))
    return charts


def compared_quality(runs: Sequence[Labelled], scale: Scale) -> list[Chart]:
    """Return a chart for each metric, with a line for each run."""
    keys = dict.fromkeys(key for each in runs for key in metrics_of(each.run))
    return [draw(plain(key, keys), _line_of_each_run(runs, key), scale, whole=True) for key in keys]


def _line_of_each_run(runs: Sequence[Labelled], key: str) -> list[Line]:
    return [
        Line(each.label, each.run.series[key], each.index % COLORS, dashed=each.index >= COLORS)
        for each in runs
        if each.run.series.get(key)
    ]


def losses(run: RunData, scale: Scale) -> list[Chart]:
    """Return a chart for each loss, with the losses of validation and training."""
    names = dict.fromkeys(key.partition("/")[2] for key in run.starting_with("train/", "val/"))
    charts = []
    for name in names:
        parts = {"validation": ("val", 0), "training": ("train", 1)}
        lines = [
            Line(label, run.series[f"{split}/{name}"], color, quiet=split == "train")
            for label, (split, color) in parts.items()
            if run.series.get(f"{split}/{name}")
        ]
        if not any(any(line.series.values()) for line in lines):
            continue  # a loss of another variant of the model, such as `sem_loss`: always 0
        best = "min" if lines[0].label == "validation" and not run.has_detected_nothing else ""
        charts.append(draw(plain(f"/{name}"), lines, scale, best=best, best_among=run.detecting_epochs))
    return charts


def compared_losses(runs: Sequence[Labelled], scale: Scale) -> list[Chart]:
    """Return a chart for each loss, with a line for each run."""
    keys = dict.fromkeys(key for split in ("val/", "train/") for each in runs for key in each.run.starting_with(split))
    words = {"val": "validation", "train": "training"}
    # A loss of another variant of the model, such as `sem_loss`, is 0 in training too.
    used = {key.partition("/")[2] for key in keys if any(any(each.run.series.get(key, {}).values()) for each in runs)}
    return [
        draw(f"{plain(key)}, {words[split]}", _line_of_each_run(runs, key), scale)
        for key in keys
        if (split := key.partition("/")[0]) and key.partition("/")[2] in used
    ]


def rates(run: RunData, scale: Scale) -> list[Chart]:
    """Return a chart of the learning rates of the parameter groups; groups with the same rates share a line."""
    same: dict[tuple[tuple[int, float], ...], list[str]] = {}
    for key, series in run.starting_with("lr/pg").items():
        same.setdefault(tuple(sorted(series.items())), []).append(key.removeprefix("lr/pg"))
    lines = [
        Line(f"{'groups' if len(names) > 1 else 'group'} {', '.join(names)}", dict(series), index)
        for index, (series, names) in enumerate(same.items())
    ]
    title = "learning rate by parameter group" if len(lines) > 1 else "learning rate"
    if lines and (schedule := run.series.get("lr/schedule")):
        lines.append(Line("schedule", schedule, len(lines) % COLORS, dashed=True))
    return [draw(title, lines, scale)] if lines else []


def memory(run: RunData, scale: Scale) -> list[Chart]:
    """Return charts of the scalars of `MemoryMonitor`: memory in use by accelerator and host, and memory left."""
    phases = {"train": "training", "val": "validation"}
    charts = {
        f"accelerator memory, {word}, GiB": {what: f"{phase}/{what}" for what in ("allocated", "reserved", "peak")}
        for phase, word in phases.items()
    }
    charts["host memory, GiB"] = {
        f"{what}, {word}": f"{phase}/host_{what}" for what in ("process", "workers") for phase, word in phases.items()
    }
    charts["host memory left, GiB"] = {word: f"{phase}/host_available" for phase, word in phases.items()}
    found = []
    for title, keys in charts.items():
        series = {label: run.series.get(f"memory/{key}", {}) for label, key in keys.items()}
        lines = [
            Line(label, values, index) for index, (label, values) in enumerate(series.items()) if any(values.values())
        ]
        if lines:
            found.append(draw(title, lines, scale))
    return found


def logged(run: RunData, scale: Scale) -> list[Chart]:
    """Return a chart for each other scalar that callbacks have logged, such as those of a user's own callback."""
    shown = {key: series for key, series in _logged_series(run).items() if not _is_constant(series)}
    lines = [Line(key, series) for key, series in list(shown.items())[:_MAX_LOGGED]]
    return [draw(line.label, [line], scale, from_zero=False, whole=True) for line in lines]


def constants(run: RunData) -> list[str]:
    """Return the other scalars that callbacks have logged, whose value was the same in every epoch, in words."""
    same = {key: min(series.values()) for key, series in _logged_series(run).items() if _is_constant(series)}
    return [f"{key} {f'{value:g}' if value.is_integer() else number(value)}" for key, value in same.items()]


def _logged_series(run: RunData) -> dict[str, Series]:
    """Return the scalars of callbacks that no other chart shows."""
    of_others = ("time", "fitness")
    return {
        key: series
        for key, series in run.series.items()
        if key not in of_others and key.partition("/")[0] not in _SHOWN_ELSEWHERE
    }


def _is_constant(series: Series) -> bool:
    return len(series) > 1 and len(set(series.values())) == 1


def class_charts(run: RunData, scale: Scale) -> list[Chart]:
    """Return a chart of the main metric of each class; with many classes, only of the best and worst ones."""
    metric = f"mAP50-95{suffix_of(run).replace('(B)', '')}"
    found = class_series(run.series, metric)
    order = [name for name, *_ in class_table(run)["rows"] if name in found] if found else []
    shown = order if len(order) <= COLORS else [*order[: COLORS // 2], *order[-COLORS // 2 :]]
    if not shown:
        return []
    title = f"{metric} by class" + (f", the best and the worst {COLORS // 2}" if len(shown) < len(order) else "")
    return [draw(title, [Line(name, found[name], index) for index, name in enumerate(shown)], scale, whole=True)]
