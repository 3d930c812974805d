"""Compose the page: choose its sections and their content. The layout is in `templates`."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from yolo_callbacks.report import curves, tables
from yolo_callbacks.report.charts import COLORS, Scale, number
from yolo_callbacks.report.pictures import Album, boxed_pictures, plots, validation_batches
from yolo_callbacks.report.run_data import RunData

__all__ = ["comparison_page", "run_page"]

_TEMPLATES = Path(__file__).parent / "templates"


def run_page(run: RunData) -> str:
    """Return the page of one run."""
    scale = curves.scale_of(run)
    album = Album()
    boxed = boxed_pictures(run, album)
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
        final=tables.final(run),
        boxed=boxed,
        colors_of_classes=list(enumerate(names)) if len(names := run.boxes.get("names", {}).values()) <= COLORS else [],
        batches=[] if boxed else validation_batches(run, album),
        plots=plots(run, album),
        cost=tables.cost(run),
        changed=tables.changed(run.arguments),
        arguments=tables.shown(run.arguments),
    )


def comparison_page(runs: Sequence[RunData]) -> str:
    """Return the page of several runs."""
    labels = tables.labels_of(runs)
    scale = Scale(max(run.last_epoch for run in runs))
    return _render(
        "comparison.html",
        title=" · ".join(labels),
        runs=list(zip(labels, runs, strict=True)),
        columns=(columns := tables.compared(runs)),
        rows=tables.best_values(runs, columns),
        quality=curves.compared_quality(runs, labels, scale),
        losses=curves.compared_losses(runs, labels, scale),
        classes=tables.compared_classes(runs),
        different=tables.different(runs),
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


# The top of the page -------------------------------------------------------------------------------------------------


def _facts(run: RunData) -> list[str]:
    """Return the line below the name of the run."""
    named = [run.arguments.get(name) for name in ("task", "model", "data")]
    facts = [Path(str(value)).name for value in named if value]
    return [*facts, f"ultralytics {run.version}"] if run.version else facts


def _tiles(run: RunData) -> list[tuple[str, str, str]]:
    """Return the most important figures, each as a label, a figure and a remark."""
    tiles = []
    best = run.best(run.main_metric) if run.main_metric else None
    if run.main_metric and best:
        tiles.append((f"Best {tables.plain(run.main_metric)}", number(best[1]), f"epoch {best[0]}"))
        for key, series in tables.metrics_of(run).items():
            if key != run.main_metric and best[0] in series and key.endswith(tables.suffix_of(run)) and len(tiles) < 4:
                tiles.append((_capital(tables.plain(key)), number(series[best[0]]), f"in epoch {best[0]}"))
    planned = run.arguments.get("epochs")
    tiles.append(("Epochs", str(run.last_epoch), f"of {planned} planned" if planned else ""))
    seconds = max(run.series.get("time", {0: 0.0}).values())
    if seconds and math.isfinite(seconds):
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
