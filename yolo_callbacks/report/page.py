"""Compose the page: choose its sections and their content. The layout is in `templates`."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from yolo_callbacks.report import comparison, curves, tables
from yolo_callbacks.report.charts import COLORS, Scale
from yolo_callbacks.report.gallery import gallery
from yolo_callbacks.report.pictures import Album, boxed_pictures, plots, validation_batches
from yolo_callbacks.report.run_data import RunData
from yolo_callbacks.report.setup import setup
from yolo_callbacks.report.words import duration, number, percent
from yolo_callbacks.state.summary import split_cost

__all__ = ["comparison_page", "run_page"]

_TEMPLATES = Path(__file__).parent / "templates"
_LOWEST, _HIGHEST = 0.05, 0.95  # of the slider of the images; predictions below are not stored


def run_page(run: RunData) -> str:
    """Return the page of one run."""
    scale = curves.scale_of(run)
    album = Album()
    boxed = boxed_pictures(run, album)
    failing = gallery(run, album)
    return _render(
        "run.html",
        title=run.name,
        run=run,
        facts=_facts(run),
        tiles=_tiles(run),
        quality=curves.quality(run, scale),
        classes=tables.class_table(run),
        class_charts=curves.class_charts(run, scale),
        losses=curves.losses(run, scale),
        rates=curves.rates(run, scale),
        memory=curves.memory(run, scale),
        logged=curves.logged(run, scale),
        constants=curves.constants(run),
        final=tables.final(run),
        boxed=boxed,
        of_classes=any(picture.classes for picture in boxed),
        failing=failing,
        confidence=_confidence(run),
        colors_of_classes=list(enumerate(names)) if len(names := run.boxes.get("names", {}).values()) <= COLORS else [],
        batches=[] if boxed else validation_batches(run, album),
        plots=plots(run, album),
        cost=tables.cost(run),
        setup=setup(run),
        changed=tables.changed(run.arguments),
        arguments=tables.shown(run.arguments),
    )


def comparison_page(runs: Sequence[RunData]) -> str:
    """Return the page of several runs; runs of each task have tables and charts of their own."""
    labelled = comparison.labelled(runs)
    return _render(
        "comparison.html",
        title=" · ".join(each.label for each in labelled),
        runs=labelled,
        tasks=[_task(name, members) for name, members in comparison.by_task(labelled).items()],
        different=comparison.different(labelled),
    )


def _task(name: str, runs: Sequence[comparison.Labelled]) -> dict[str, Any]:
    scale = Scale(max(each.run.last_epoch for each in runs))
    repeated = comparison.repeats(runs)
    rows, classes = comparison.rows(runs, repeated), comparison.classes(runs, repeated)
    return {
        "name": name,
        "runs": runs,
        "repeats": repeated,
        "rows": rows,
        "has_best": any(cell.leading for row in (*rows, *classes) for cell in row.cells),
        "without_final": [each.label for each in runs if not each.run.final]
        if any(each.run.final for each in runs)
        else [],
        "without": [each.label for each in runs if each.run.has_detected_nothing],
        "quality": curves.compared_quality(runs, scale),
        "losses": curves.compared_losses(runs, scale),
        "classes": classes,
    }


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
    environment.filters.update(number=number, json=json.dumps, paths=_breaking_path)
    return environment


def _breaking_path(path: str) -> Markup:
    """Return a path that a browser may break after each slash."""
    return Markup("/<wbr>").join(path.split("/"))  # which escapes the parts


def _confidence(run: RunData) -> tuple[str, str]:
    """Return the confidence at which the slider of the images starts, and why."""
    if run.confidence is None:
        return "0.25", "0.25 is the default of Ultralytics for predictions."
    value, of = run.confidence
    start = f"{min(max(value, _LOWEST), _HIGHEST):.2f}"
    lower = f" Predictions below {_LOWEST} are not stored." if value < _LOWEST else ""
    return start, f"The F1 is best at confidence {value:.3g}, in {of}.{lower}"


# The top of the page -------------------------------------------------------------------------------------------------


def _facts(run: RunData) -> list[str]:
    """Return the line below the name of the run."""
    # the model of a resumed run is its own last.pt
    model = run.training.get("architecture") if run.arguments.get("resume") else run.arguments.get("model")
    named = [run.arguments.get("task"), model, run.arguments.get("data")]
    facts = [Path(str(value)).name for value in named if value]
    return [*facts, f"ultralytics {run.version}"] if run.version else facts


def _tiles(run: RunData) -> list[tuple[str, str, str]]:
    """Return the most important figures, each as a label, a figure and a remark that says what it is of."""
    return [*_metric_tiles(run), *_time_tiles(run)]


def _metric_tiles(run: RunData) -> list[tuple[str, str, str]]:
    best = run.best(run.main_metric) if run.main_metric else None
    if not run.main_metric or not best:
        return []
    epoch, value = best
    if not value:
        return [(f"Best {tables.plain(run.main_metric)}", "0", "in every validation: nothing was detected")]
    remark = f"validation at epoch {epoch}"
    tiles = [(f"Best {tables.plain(run.main_metric)}", number(value), remark)]
    for key, series in tables.metrics_of(run).items():
        if key != run.main_metric and epoch in series and key.endswith(tables.suffix_of(run)) and len(tiles) < 4:
            tiles.append((_capital(tables.plain(key)), number(series[epoch]), remark))
    return tiles


def _time_tiles(run: RunData) -> list[tuple[str, str, str]]:
    planned = run.arguments.get("epochs")
    remarks = [f"of {planned} planned" if planned else "", f"stopped by {run.stopped_by}" if run.stopped_by else ""]
    tiles = [("Epochs", str(run.last_epoch), ", ".join(filter(None, remarks)))]
    if run.seconds:
        tiles.append(("Time of all epochs", duration(run.seconds), f"{duration(run.seconds_per_epoch)} an epoch"))
    spent, total = run.summary.get("seconds_in_callbacks"), tables.measured_seconds(run.summary)
    if spent is not None and total:
        once, per_epoch = map(duration, split_cost(spent, run.summary, run.summary))
        remark = f"an epoch, and {once} once: {percent(spent / total)} of the training time"
        tiles.append(("Callbacks took", per_epoch, remark))
    return tiles


def _capital(text: str) -> str:
    return text if text.startswith("mAP") else text[:1].upper() + text[1:]
