"""Draw a range test of the learning rate: the loss at each rate, and the suggestion."""

from __future__ import annotations

from pathlib import Path

from yolo_callbacks.decisions.range_test import RangeTest
from yolo_callbacks.report.drawing import default_style
from yolo_callbacks.utils.files import replace_atomic

__all__ = ["draw_range_test"]

_LOSS, _AVERAGE, _SUGGESTION, _INK, _GRID = "#9db4e8", "#2563d9", "#d9730d", "#5b6470", "#e3e6ea"


def draw_range_test(test: RangeTest, path: Path) -> None:
    """Draw the losses over the rates into a PNG file.

    Args:
        test: The range test, with one step at least.
        path: The file to write.

    Raises:
        OSError: If the file cannot be written.
    """
    replace_atomic(path, lambda temporary: _draw(test, temporary))


def _draw(test: RangeTest, path: Path) -> None:
    # Without pyplot, whose figures are global.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with default_style({}):
        figure = Figure(figsize=(8, 4.5), dpi=110, facecolor="white")
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.plot(test.rates, test.losses, ".", color=_LOSS, markersize=4, label="loss of a step")
        axes.plot(test.rates, test.averages, color=_AVERAGE, linewidth=1.8, label="average of neighbours")
        if test.suggestion is not None:
            axes.axvline(test.suggestion, color=_SUGGESTION, linestyle="--", label=f"suggestion {test.suggestion:.2g}")
        axes.set_xscale("log")
        averages = test.averages
        axes.set_ylim(
            0, 1.5 * max(averages[: 1 + averages.index(min(averages))])
        )  # a divergence would flatten the rest
        axes.set_xlabel("learning rate", color=_INK)
        axes.set_ylabel("training loss", color=_INK)
        axes.grid(color=_GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        for side in ("right", "top"):
            axes.spines[side].set_visible(False)
        axes.tick_params(colors=_INK, labelsize=8)
        axes.legend(frameon=False)
        figure.tight_layout()
        canvas.print_figure(path, format="png")
