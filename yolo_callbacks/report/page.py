"""The page: which sections there are, and what stands in them. How they look is in `templates`."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from yolo_callbacks.report.charts import COLORS, NOTHING, Chart, Line, Scale, draw, number
from yolo_callbacks.report.pictures import Album, boxed_pictures, plots, validation_batches
from yolo_callbacks.report.run_data import RunData, Series, class_series

__all__ = ["comparison_page", "run_page"]

_GROUPS = {"(B)": "boxes", "(M)": "masks", "(P)": "pose"}
_CLASS_METRICS = ("precision", "recall", "mAP50", "mAP50-95")
_MAX_CLASSES = 200
_ALWAYS_DIFFERENT = ("name", "project", "save_dir")
_TEMPLATES = Path(__file__).parent / "templates"


def run_page(run: RunData) -> str:
    """The page of one run."""
    scale = _scale(run)
    album = Album()
    boxed = boxed_pictures(run, album)
    return _render(
        "run.html",
        title=run.name,
        run=run,
        facts=_facts(run),
        tiles=_tiles(run),
        quality=_quality(run, scale),
        classes=_class_table(run),
        class_charts=_class_charts(run, scale),
        losses=_losses(run, scale),
        rates=_rates(run, scale),
        memory=_memory(run, scale),
        final=_final(run),
        boxed=boxed,
        colors_of_classes=list(enumerate(names)) if len(names := run.boxes.get("names", {}).values()) <= COLORS else [],
        batches=[] if boxed else validation_batches(run, album),
        plots=plots(run, album),
        cost=_cost(run),
        changed=_changed(run.arguments),
        arguments=_shown(run.arguments),
    )


def comparison_page(runs: Sequence[RunData]) -> str:
    """The page of several runs."""
    labels = _labels(runs)
    scale = Scale(max(run.last_epoch for run in runs))
    return _render(
        "comparison.html",
        title=" · ".join(labels),
        runs=list(zip(labels, runs, strict=True)),
        columns=(columns := _compared(runs)),
        rows=_best_values(runs, columns),
        quality=_compared_quality(runs, labels, scale),
        losses=_compared_losses(runs, labels, scale),
        classes=_compared_classes(runs),
        different=_different(runs),
    )


def _render(template: str, **content: Any) -> str:
    environment = _environment()
    script = (_TEMPLATES / "script.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
    made = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    page = environment.get_template(template).render(
        **content, style=style, script=script, script_hash=digest, made=made, colors=COLORS
    )
    return str(page)


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, json=json.dumps)
    return environment


# What stands at the top ---------------------------------------------------------------------------------------------


def _facts(run: RunData) -> list[str]:
    """The line below the name."""
    named = [run.arguments.get(name) for name in ("task", "model", "data")]
    facts = [Path(str(value)).name for value in named if value]
    return [*facts, f"ultralytics {run.version}"] if run.version else facts


def _tiles(run: RunData) -> list[tuple[str, str, str]]:
    """The figures that matter most: a label, a figure, and what it is."""
    tiles = []
    best = run.best(run.main_metric) if run.main_metric else None
    if run.main_metric and best:
        tiles.append((f"Best {_plain(run.main_metric)}", number(best[1]), f"epoch {best[0]}"))
        for key, series in _metrics(run).items():
            if key != run.main_metric and best[0] in series and key[-3:] == run.main_metric[-3:] and len(tiles) < 4:
                tiles.append((_capital(_plain(key)), number(series[best[0]]), f"in epoch {best[0]}"))
    planned = run.arguments.get("epochs")
    tiles.append(("Epochs", str(run.last_epoch), f"of {planned} planned" if planned else ""))
    seconds = max(run.series.get("time", {0: 0.0}).values())
    if seconds:
        tiles.append(("Training time", _duration(seconds), f"{seconds / run.last_epoch:.1f} s an epoch"))
    spent, total = run.summary.get("seconds_in_callbacks"), run.summary.get("seconds")
    if spent is not None and total:
        tiles.append(("Callbacks", f"{100 * spent / total:.1f} %", f"{spent:.1f} s of training"))
    return tiles


def _capital(text: str) -> str:
    return text if text.startswith("mAP") else text[:1].upper() + text[1:]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


# Charts -------------------------------------------------------------------------------------------------------------


def _scale(run: RunData) -> Scale:
    stops = [event.epoch for event in run.events if event.kind == "stop"]
    cuts = {event.epoch for event in run.events if event.kind == "cut"}
    return Scale(run.last_epoch, tuple(sorted(cuts)), max(stops, default=0))


def _metrics(run: RunData) -> dict[str, Series]:
    """The metrics of validation, the main one first."""
    found = {key: series for key, series in run.starting_with("metrics/").items() if series}
    order = ("mAP50-95", "mAP50", "precision", "recall")

    def rank(key: str) -> tuple[bool, bool, int]:
        name = key.removeprefix("metrics/")[:-3]
        return key != run.main_metric, key[-3:] != _suffix(run), order.index(name) if name in order else len(order)

    return {key: found[key] for key in sorted(found, key=rank)}


def _suffix(run: RunData) -> str:
    return run.main_metric[-3:] if run.main_metric else ""


def _plain(key: str) -> str:
    """The name of a metric or a loss for people."""
    name = key.partition("/")[2] or key
    suffix = name[-3:]
    named = name.removesuffix(suffix) if suffix in _GROUPS else name
    extra = f" {_GROUPS[suffix]}" if suffix in ("(M)", "(P)") else ""
    return named.replace("_", " ") + extra


def _quality(run: RunData, scale: Scale) -> list[Chart]:
    """A chart for each metric; precision and recall, which are read together, in one."""
    metrics = _metrics(run)
    charts = []
    for key, series in metrics.items():
        other = key.replace("/precision(", "/recall(")
        if other != key and other in metrics:
            lines = [Line("precision", series, 0), Line("recall", metrics[other], 1)]
            charts.append(draw(_plain(key).replace("precision", "precision and recall"), lines, scale))
        elif "/recall(" not in key:
            charts.append(draw(_plain(key), [Line(_plain(key), series)], scale, best="max"))
    return charts


def _compared_quality(runs: Sequence[RunData], labels: Sequence[str], scale: Scale) -> list[Chart]:
    keys = dict.fromkeys(key for run in runs for key in _metrics(run))
    return [draw(_plain(key), _one_a_run(runs, labels, key), scale) for key in keys]


def _one_a_run(runs: Sequence[RunData], labels: Sequence[str], key: str) -> list[Line]:
    return [
        Line(label, run.series[key], index % COLORS)
        for index, (label, run) in enumerate(zip(labels, runs, strict=True))
        if run.series.get(key)
    ]


def _losses(run: RunData, scale: Scale) -> list[Chart]:
    names = dict.fromkeys(key.partition("/")[2] for key in run.starting_with("train/", "val/"))
    charts = []
    for name in names:
        parts = {"validation": ("val", 0), "training": ("train", 1)}
        lines = [
            Line(label, run.series[f"{split}/{name}"], color, quiet=split == "train")
            for label, (split, color) in parts.items()
            if run.series.get(f"{split}/{name}")
        ]
        charts.append(draw(_plain(f"/{name}"), lines, scale, best="min" if lines[0].label == "validation" else ""))
    return charts


def _compared_losses(runs: Sequence[RunData], labels: Sequence[str], scale: Scale) -> list[Chart]:
    keys = dict.fromkeys(key for split in ("val/", "train/") for run in runs for key in run.starting_with(split))
    words = {"val": "validation", "train": "training"}
    return [
        draw(f"{_plain(key)}, {words[key.partition('/')[0]]}", _one_a_run(runs, labels, key), scale) for key in keys
    ]


def _rates(run: RunData, scale: Scale) -> list[Chart]:
    """The rates of the parameter groups, those that are the same in one line."""
    same: dict[tuple[tuple[int, float], ...], list[str]] = {}
    for key, series in run.starting_with("lr/pg").items():
        same.setdefault(tuple(sorted(series.items())), []).append(key.removeprefix("lr/pg"))
    lines = [
        Line(f"{'groups' if len(names) > 1 else 'group'} {', '.join(names)}", dict(series), index)
        for index, (series, names) in enumerate(same.items())
    ]
    return [draw("rate of the parameter groups", lines, scale)] if lines else []


def _memory(run: RunData, scale: Scale) -> list[Chart]:
    """A chart for each of `memory/<where>/<what>`."""
    groups: dict[str, dict[str, Series]] = {}
    for key, series in run.starting_with("memory/").items():
        where, _, what = key.removeprefix("memory/").rpartition("/")
        groups.setdefault(where, {})[what] = series
    titles = {"train": "accelerator, training", "val": "accelerator, validation", "": "memory"}
    return [
        draw(
            titles.get(where, where),
            [Line(what.replace("_", " "), s, i) for i, (what, s) in enumerate(parts.items())],
            scale,
        )
        for where, parts in groups.items()
    ]


def _class_charts(run: RunData, scale: Scale) -> list[Chart]:
    """The main metric of each class over the epochs; of many classes the best and the worst ones."""
    metric = f"mAP50-95{_suffix(run).replace('(B)', '')}"
    found = class_series(run.series, metric)
    order = [name for name, *_ in _class_table(run)["rows"] if name in found] if found else []
    shown = order if len(order) <= COLORS else [*order[: COLORS // 2], *order[-COLORS // 2 :]]
    if not shown:
        return []
    title = f"{metric} by class" + (f", the best and the worst {COLORS // 2}" if len(shown) < len(order) else "")
    return [draw(title, [Line(name, found[name], index) for index, name in enumerate(shown)], scale)]


# Tables -------------------------------------------------------------------------------------------------------------


def _class_table(run: RunData) -> dict[str, Any]:
    """Values by class, the best class first."""
    suffix = _suffix(run).replace("(B)", "")
    metrics = [metric for metric in _CLASS_METRICS if run.per_class.get(f"{metric}{suffix}")]
    columns = [run.per_class[f"{metric}{suffix}"] for metric in metrics]
    if not columns:
        return {"epoch": 0, "metrics": [], "rows": [], "left_out": 0}
    order = sorted(columns[-1], key=lambda name: (-columns[-1][name], name))
    rows = [(name, [column.get(name) for column in columns]) for name in order]
    half = _MAX_CLASSES // 2
    shown = rows if len(rows) <= _MAX_CLASSES else [*rows[:half], *rows[-half:]]
    return {"epoch": run.per_class_epoch, "metrics": metrics, "rows": shown, "left_out": len(rows) - len(shown)}


def _final(run: RunData) -> list[tuple[str, float, float | None]]:
    """Each metric of the evaluation after training, beside its best over the epochs."""
    keys = [key for key in _metrics(run) if key in run.final]
    return [(_plain(key), run.final[key], best[1] if (best := run.best(key)) else None) for key in keys]


def _cost(run: RunData) -> dict[str, Any]:
    total = run.summary.get("seconds") or 0.0
    rows = run.summary.get("callbacks") or []
    return {"rows": rows, "seconds": total, "spent": run.summary.get("seconds_in_callbacks") or 0.0}


def _changed(arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The arguments that are not Ultralytics' defaults."""
    from yolo_callbacks.adaptor import default_arguments

    defaults = default_arguments()
    return _shown({name: value for name, value in arguments.items() if value != defaults.get(name)})


def _shown(arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, _text(value)) for name, value in arguments.items()]


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# Several runs -------------------------------------------------------------------------------------------------------


def _labels(runs: Sequence[RunData]) -> list[str]:
    """A name for each run, with the folder above where two have the same."""
    names = [run.name for run in runs]
    told = [
        run.name if names.count(run.name) == 1 else f"{run.folder.resolve().parent.name}/{run.name}" for run in runs
    ]
    return [name if told.count(name) == 1 else f"{name} #{index + 1}" for index, name in enumerate(told)]


def _compared(runs: Sequence[RunData]) -> list[str]:
    """The keys of the table of best values: metrics, then losses of validation."""
    metrics = dict.fromkeys(key for run in runs for key in _metrics(run))
    losses = dict.fromkeys(key for run in runs for key in run.starting_with("val/"))
    return [*metrics, *losses]


def _best_values(runs: Sequence[RunData], keys: Iterable[str]) -> list[dict[str, Any]]:
    rows = []
    for key in keys:
        values = [run.best(key) for run in runs]
        known = [best[1] for best in values if best]
        leading = (min(known) if "loss" in key else max(known)) if known else None
        rows.append({"key": _plain(key), "values": values, "leading": leading, "loss": "loss" in key})
    return rows


def _compared_classes(runs: Sequence[RunData]) -> list[tuple[str, list[float | None]]]:
    tables = [run.per_class.get(f"mAP50-95{_suffix(run).replace('(B)', '')}", {}) for run in runs]
    names = dict.fromkeys(name for table in tables for name in table)
    return [(name, [table.get(name) for table in tables]) for name in list(names)[:_MAX_CLASSES]]


def _different(runs: Sequence[RunData]) -> list[tuple[str, list[str]]]:
    names = dict.fromkeys(name for run in runs for name in run.arguments if name not in _ALWAYS_DIFFERENT)
    missing = object()
    rows = [(name, [run.arguments.get(name, missing) for run in runs]) for name in names]
    return [
        (name, [NOTHING if value is missing else _text(value) for value in values])
        for name, values in rows
        if any(value != values[0] for value in values)
    ]
