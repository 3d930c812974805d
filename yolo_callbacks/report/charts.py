"""Draw charts as SVG with matplotlib. They contain no text except numbers; the page decides the colours."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from yolo_callbacks.report.drawing import default_style
from yolo_callbacks.report.run_data import Series, best_of
from yolo_callbacks.report.words import number

__all__ = ["COLORS", "Chart", "Line", "Scale", "draw"]

COLORS = 8
"""The number of line colours, `--line0` to `--line7` in the page."""

# Placeholder colours. In the page, each is replaced by a CSS variable.
_TOKENS = {"#f0f0e0": "--ink", "#f0f0e1": "--grid", "#f0f0e2": "--mark", "#f0f0e3": "--paper"}
_INK, _GRID, _MARK, _PAPER = _TOKENS
_LINES = {f"#f0f0d{index}": f"--line{index}" for index in range(COLORS)}
_VARIABLES = re.compile("|".join((*_TOKENS, *_LINES)))
_IDS = re.compile(r' id="(?:figure|axes|patch|line2d|text|matplotlib\.axis|xtick|ytick)_\d+"')

_SIZE = (4.2, 2.2)  # inches of 72 points: text of 9 points in a chart of 302 points is legible on a phone too
_BOX = (0.145, 0.13, 0.835, 0.79)  # the axes in the figure: left, bottom, width, height
_MAX_POINTS = 1000
_MAX_LABELS = 3  # of values above a chart


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        label: The name of the line in the page.
        series: The values.
        color: The number of the colour.
        quiet: Whether the line is only for comparison: it is thinner and behind the others.
        dashed: Whether the line is dashed, because another line has the same colour.
    """

    label: str
    series: Series
    color: int = 0
    quiet: bool = False
    dashed: bool = False


@dataclass(frozen=True, eq=False)
class _Cut:
    """A value above a chart, the highest of neighbouring epochs."""

    epoch: int
    value: float
    line: Line


@dataclass(frozen=True)
class Scale:
    """The settings that all charts of a page share.

    Attributes:
        last: The last epoch of the axis.
        reductions: The epochs of learning rate reductions.
        stop: The epoch in which a callback stopped the run, 0 if none did.
    """

    last: int
    reductions: tuple[int, ...] = ()
    stop: int = 0


@dataclass(frozen=True)
class Chart:
    """A chart for the page.

    Attributes:
        title: The title.
        svg: The drawing.
        note: The best value in words; `""` if there is none.
        cut: Which values are above the chart, in words; `""` if there are none.
        lines: The lines, for the legend.
        hover: The data that the page shows at the pointer, in the types of JSON.
    """

    title: str
    svg: str
    note: str
    cut: str
    lines: tuple[Line, ...]
    hover: dict[str, Any]


def draw(
    title: str,
    lines: Sequence[Line],
    scale: Scale,
    *,
    best: str = "",
    best_line: int = 0,
    best_among: Collection[int] | None = None,
    from_zero: bool = True,
    whole: bool = False,
) -> Chart:
    """Draw lines over the epochs.

    Args:
        title: The title of the chart in the page. It is not drawn.
        lines: The lines. The first one is drawn on top of the others.
        scale: The epochs and events.
        best: `"max"` or `"min"` to mark the best epoch of a line, `""` for no mark.
        best_line: The position of that line.
        best_among: The epochs that can be the best. Defaults to `None`, all of them.
        from_zero: Whether the axis begins at 0.
        whole: Whether the axis reaches the highest value, however far it is above all others.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    values = lines[best_line].series
    if best_among is not None:
        values = {epoch: value for epoch, value in values.items() if epoch in best_among}
    peak = best_of(values, best) if best else None
    if peak and best == "max" and not peak[1]:
        peak = None  # a metric that was 0 in all epochs has no best epoch
    low, high, is_cut = _limits(lines, from_zero=from_zero, whole=whole)
    cut = _cut(lines, high) if is_cut else []
    with _style(title):
        figure = Figure(figsize=_SIZE)
        canvas = FigureCanvasSVG(figure)
        axes = figure.add_axes(_BOX)
        _axes(axes, scale, low, high)
        for epoch in scale.reductions:
            axes.axvline(epoch, color=_MARK, linewidth=0.9, linestyle=(0, (2, 2)))
        if scale.stop:
            axes.axvline(scale.stop, color=_MARK, linewidth=1.2)
        for order, line in enumerate(reversed(lines)):
            _plot(axes, line, zorder=3.0 + order)
        if peak:
            color = f"#f0f0d{lines[best_line].color % COLORS}"
            axes.plot(*peak, "o", color=color, markeredgecolor=_PAPER, markersize=6.5, markeredgewidth=1.5, zorder=99.0)
        _mark_cut(axes, cut, scale)
        file = io.StringIO()
        canvas.print_svg(file, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    note = f"best {number(peak[1])} · epoch {peak[0]}" if peak else ""
    return Chart(title, _embedded(file.getvalue()), note, _cut_note(cut, high), tuple(lines), _hover(lines, scale))


def _axes(axes: Any, scale: Scale, low: float, high: float) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(length=0, colors=_INK, labelsize=9, pad=4)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    # Leave space for the marker of a best epoch that is the last epoch.
    room = max(scale.last - 1, 1) * 0.02
    axes.set_xlim(1 - room, max(scale.last, 2) + room)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, tick: f"{'' if tick > 1 else 'epoch '}{value:g}"))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _limits(lines: Sequence[Line], *, from_zero: bool, whole: bool) -> tuple[float, float, bool]:
    """Return where the axis begins and ends, and whether values are above it."""
    values = sorted(value for line in lines for value in line.series.values() if math.isfinite(value))
    if not values:
        return 0.0, 1.0, any(math.inf in line.series.values() for line in lines)
    low, high = values[0], values[-1]
    # The losses of the first epochs may be ten times as high as all others. They are above the chart, so that the
    # others are visible.
    most = values[int(0.9 * (len(values) - 1))]
    if not whole and len(values) >= 10 and low >= 0 and high > 3 * most > 0:
        high = 1.5 * most
    if from_zero and low >= 0:
        low = 0.0
    room = 0.08 * ((high - low) or abs(high) or 1.0)
    top = high + room
    is_cut = values[-1] > top or any(math.inf in line.series.values() for line in lines)
    return (low if from_zero and low == 0 else low - room), top, is_cut


def _cut(lines: Sequence[Line], high: float) -> list[_Cut]:
    """Return the highest value of each group of neighbouring epochs with values above the chart."""
    above = [_Cut(epoch, value, line) for line in lines for epoch, value in line.series.items() if value > high]
    groups: list[list[_Cut]] = []
    for each in sorted(above, key=lambda cut: cut.epoch):
        if groups and each.epoch - groups[-1][-1].epoch <= 1:
            groups[-1].append(each)
        else:
            groups.append([each])
    return [max(group, key=lambda cut: cut.value) for group in groups]


def _cut_note(cut: Sequence[_Cut], high: float) -> str:
    if not cut:
        return ""
    most = max(cut, key=lambda each: each.value)
    which = f"{number(most.value)} ({most.line.label}) at epoch {most.epoch}"
    return f"▲ values above {number(high, 3)} are cut off, up to {which}"


def _mark_cut(axes: Any, cut: Sequence[_Cut], scale: Scale) -> None:
    """Draw an arrow at the upper edge for values above the chart, and the values of the highest ones."""
    high = axes.get_ylim()[1]
    labelled = sorted(cut, key=lambda each: -each.value)[:_MAX_LABELS]
    for each in cut:
        color = f"#f0f0d{each.line.color % COLORS}"
        axes.plot(each.epoch, high, "^", color=color, markersize=6, clip_on=False, zorder=100.0)
        if each in labelled:
            side = 1 if each.epoch <= (1 + scale.last) / 2 else -1
            axes.annotate(
                number(each.value),
                (each.epoch, high),
                xytext=(6 * side, 0),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                va="center",
                color=_INK,
                fontsize=9,
                annotation_clip=False,
                zorder=100.0,
            )


def _plot(axes: Any, line: Line, zorder: float) -> None:
    epochs = sorted(line.series)
    values = [line.series[epoch] if math.isfinite(line.series[epoch]) else math.nan for epoch in epochs]
    color = f"#f0f0d{line.color % COLORS}"
    is_single = sum(math.isfinite(value) for value in values) == 1
    width = 1.4 if line.quiet else 1.9
    dashes: dict[str, Any] = {"linestyle": (0, (3, 1.5))} if line.dashed else {}
    style: dict[str, Any] = (
        {"marker": "o", "markersize": 4} if is_single else {"solid_capstyle": "round", "solid_joinstyle": "round"}
    )
    axes.plot(epochs, values, color=color, linewidth=width, zorder=zorder, **style, **dashes)


def _hover(lines: Sequence[Line], scale: Scale) -> dict[str, Any]:
    """Return the values to show at the pointer, and where the axis begins and ends in the drawing."""
    epochs = sorted({epoch for line in lines for epoch in line.series})
    step = -(-len(epochs) // _MAX_POINTS)
    epochs = epochs[::step] if step > 1 else epochs
    room = max(scale.last - 1, 1) * 0.02
    left, width = _BOX[0], _BOX[2]
    return {
        "left": left,
        "right": left + width,
        "first": 1 - room,
        "last": max(scale.last, 2) + room,
        "epochs": epochs,
        "lines": [
            {
                "label": line.label,
                "color": line.color % COLORS,
                "dashed": line.dashed,
                "values": [number(line.series[epoch]) if epoch in line.series else "" for epoch in epochs],
            }
            for line in lines
        ],
        "reductions": list(scale.reductions),
        "stop": scale.stop,
    }


@contextlib.contextmanager
def _style(title: str) -> Iterator[None]:
    """Use matplotlib's defaults instead of the user's style, and SVG ids that differ from those of other charts."""
    changes: Mapping[str, Any] = {"svg.fonttype": "none", "svg.hashsalt": title, "font.family": ["DejaVu Sans"]}
    with default_style(changes):
        yield


def _embedded(svg: str) -> str:
    """Return a drawing for use in a page: without prolog, size, background, and ids that other drawings have too."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*|<defs>\s*<style.*?</defs>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'<g id="patch_[12]">.*?</g>\s*', "", svg, count=2, flags=re.DOTALL)
    svg = _IDS.sub("", svg)
    variables = {**_TOKENS, **_LINES}
    return _VARIABLES.sub(lambda found: f"var({variables[found[0]]})", svg)
