"""Warn when the memory of a training grows steadily."""

from __future__ import annotations

from collections.abc import Mapping

from yolo_callbacks.decisions.growth import Growth, GrowthRule
from yolo_callbacks.utils.files import LOGGER

__all__ = ["LeakWatch"]

_MIN_RISE = 1 / 16  # GiB
# What each reading is, and what to try where it grows.
_WATCHED = {
    "allocated": ("accelerator memory in tensors", "a list that keeps losses or predictions without .item()"),
    "host_process": ("host memory of this process", "cache=False or cache='disk', or a list that grows in a callback"),
    "host_workers": ("host memory of the loader's workers", "fewer workers, cache=False or cache='disk'"),
}


class LeakWatch:
    """Compare the readings of the epochs of a run, and warn once when one has grown steadily.

    Args:
        window: Epochs through which memory must have grown.

    Attributes:
        slope: How the memory of the warning has grown, in GiB an epoch; None before a warning.
    """

    def __init__(self, window: int) -> None:
        self.slope: float | None = None
        self._window = window
        self._rules = {name: GrowthRule(window, _MIN_RISE) for name in _WATCHED}

    def check(self, reading: Mapping[str, float]) -> None:
        """Add the reading of an epoch, and warn if it is the first one that shows a leak."""
        for name, rule in self._rules.items():
            growth = rule.check(reading[name]) if name in reading else None
            if growth and self.slope is None:
                self.slope = growth.slope
                LOGGER.warning(self._warning(name, growth))

    def _warning(self, name: str, growth: Growth) -> str:
        what, remedy = _WATCHED[name]
        return (
            f"MemoryMonitor: {what} has grown through {self._window} epochs, by {1024 * growth.slope:.0f} MiB an "
            f"epoch, from {growth.first:.2f} to {growth.last:.2f} GiB. Try {remedy}"
        )
