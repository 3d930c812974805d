"""Draw `callbacks.png`: the monitored metrics, and what the callbacks did."""

from __future__ import annotations

import math
import textwrap
import warnings
from pathlib import Path
from typing import Any

from yolo_callbacks.report.drawing import LOCK, default_style
from yolo_callbacks.report.monitors import monitored
from yolo_callbacks.report.reading import read_run
from yolo_callbacks.report.run_data import Event, RunData, Series, best_of
from yolo_callbacks.utils.files import replace_atomic
from yolo_callbacks.utils.lenient import as_count

__all__ = ["draw_timeline"]

_PICTURE = "callbacks.png"

_MAX_MONITORS = 4
_LINE, _BEST, _REDUCTION, _STOP, _INK, _GRID = "#2563d9", "#d9730d", "#8a93a0", "#c93434", "#5b6470", "#e3e6ea"


def draw_timeline(folder: Path) -> Path | None:
    """Draw the monitored metrics with their best epochs, the learning rate reductions and the stop.

    Args:
        folder: The run's folder.

    Returns:
        The path of the picture, `callbacks.png` in the folder, or None if no monitor has a value.

    Raises:
        FileNotFoundError: If there is no `results.csv`.
        ValueError: If `results.csv` contains no epoch.
        OSError: If the picture cannot be written.
    """
    run = read_run(folder, pictures=False)
    series = dict(list(monitored(run).items())[:_MAX_MONITORS])
    if not series:
        return None
    path = folder / _PICTURE
    with LOCK, warnings.catch_warnings():
        # The name of a class may have characters that matplotlib's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        replace_atomic(path, lambda temporary: _draw(run, series, temporary))
    return path


def _draw(run: RunData, series: dict[str, Series], path: Path) -> None:
    # Without pyplot, whose figures are global: a user may have one open.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with default_style({"text.parse_math": False}):  # the name of a class may contain `$`
        height = 0.9 + 1.7 * len(series)
        figure = Figure(figsize=(9, height), dpi=110, facecolor="white")
        canvas = FigureCanvasAgg(figure)
        rows = figure.subplots(len(series), 1, sharex=True, squeeze=False)[:, 0]
        figure.subplots_adjust(left=0.075, right=0.985, bottom=0.5 / height, top=1 - 0.55 / height, hspace=0.42)
        for row, (name, values) in zip(rows, series.items(), strict=True):
            _panel(row, name, values, run)
        _axis(rows[-1], run)
        _explain_stops(dict(zip(series, rows, strict=True)), run)
        figure.text(0.075, 1 - 0.2 / height, _caption(run), fontsize=10, color=_INK, va="center")
        canvas.print_figure(path, format="png")


def _panel(axes: Any, name: str, values: Series, run: RunData) -> None:
    events = [event for event in run.events if event.monitor == name]
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(length=0, colors=_INK, labelsize=8)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(y=0.12)
    axes.set_xlim(0.5, run.last_epoch + 0.5)
    epochs = sorted(values)
    axes.plot(
        epochs, [_finite(values[epoch]) for epoch in epochs], color=_LINE, linewidth=1.8, marker="o", markersize=2
    )
    axes.set_title(_short(name), loc="left", fontsize=10, fontweight="bold", pad=6)
    for event in run.events:
        if event.kind == "reduction":  # by any monitor, since it affects all metrics
            axes.axvline(event.epoch, color=_REDUCTION, linewidth=1.2, linestyle=(0, (2, 2)), zorder=1)
        elif event.kind == "stop":
            axes.axvline(event.epoch, color=_STOP, linewidth=1.4, zorder=1)
    if all(value >= 0 for value in values.values() if math.isfinite(value)) and axes.get_ylim()[0] < 0:
        axes.set_ylim(bottom=0.0)  # no value is below 0, and the axis need not show it
    best = _best(events, run.monitors[name], values)
    if best:
        axes.plot(*best, "o", color=_BEST, markersize=8, markeredgecolor="white", zorder=5)
        axes.set_title(f"best {best[1]:.4g} · epoch {best[0]}", loc="right", fontsize=9, color=_BEST, pad=6)


def _axis(axes: Any, run: RunData) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch", fontsize=9, color=_INK)


def _explain_stops(panels: dict[str, Any], run: RunData) -> None:
    """Write the reason of each stop beside its line, in the panel of its monitor or else in the first panel."""
    first = next(iter(panels.values()))
    for event in run.events:
        if event.kind == "stop":
            axes = panels.get(event.monitor, first)
            right = event.epoch > (run.last_epoch + 1) / 2  # the line is in the right half, so the text is left of it
            high = run.monitors.get(event.monitor) == "min"  # the curve ends below, so the text is above it
            axes.annotate(
                textwrap.fill(_short(event.what, 160), 75),
                (event.epoch, 0.92 if high else 0.1),
                xycoords=("data", "axes fraction"),
                xytext=(-7 if right else 7, 0),
                textcoords="offset points",
                ha="right" if right else "left",
                va="top" if high else "bottom",
                fontsize=9,
                color=_STOP,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5},
                zorder=6,
            )


def _best(events: list[Event], mode: str, values: Series) -> tuple[int, float] | None:
    """Return the best epoch of a callback. It may not be the extreme value, because of `min_delta` or `start_epoch`."""
    chosen = [event for event in events if event.kind == "best" and event.epoch in values]
    if chosen:
        return best_of({event.epoch: values[event.epoch] for event in chosen}, mode)
    return best_of(values, mode) if mode in ("min", "max") else None


def _caption(run: RunData) -> str:
    reductions = sorted({event.epoch for event in run.events if event.kind == "reduction"})
    stops = [event for event in run.events if event.kind == "stop"]
    parts = [_short(run.name)]
    if reductions:
        parts.append(f"┆ learning rate reduction after {_listed(reductions)}")
    if stops:
        parts.append(f"| stopped at epoch {stops[-1].epoch}{_planned(run)}")
    elif _planned(run):
        parts.append(f"ended at epoch {run.last_epoch}{_planned(run)}, by no callback of this run")
    return "     ".join(parts)


def _planned(run: RunData) -> str:
    """Return the planned number of epochs if the run has ended earlier; `""` for a run that is limited by time."""
    planned = as_count(run.arguments.get("epochs"))
    return f" of {planned}" if planned > run.last_epoch and not run.arguments.get("time") else ""


def _listed(epochs: list[int]) -> str:
    shown = ", ".join(str(epoch) for epoch in epochs[:6])
    return f"epoch{'s' if len(epochs) > 1 else ''} {shown}{', …' if len(epochs) > 6 else ''}"


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan


def _short(name: str, most: int = 60) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
