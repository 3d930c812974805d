"""Write numbers, durations and arguments as text for people."""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["NOTHING", "duration", "gibibytes", "number", "percent", "value_text"]

NOTHING = "\N{EN DASH}"
"""The text for a missing value."""


def number(value: float | None, digits: int = 4) -> str:
    """Return a number as text with as many digits as are useful."""
    if value is None or not math.isfinite(value):
        return NOTHING if value is None or math.isnan(value) else "∞"
    if value and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{digits - 2}e}"
    magnitude = math.floor(math.log10(abs(value))) if value else 0
    decimals = digits - 2 - magnitude if magnitude < -1 else digits - 1 - max(0, magnitude)
    return f"{value:,.{max(0, decimals)}f}"


def duration(seconds: float | None) -> str:
    """Return a duration in the unit that suits it."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 0.9995:
        return f"{1000 * seconds:.0f} ms" if seconds >= 0.0005 else "under 1 ms" if seconds else "0 ms"
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def percent(share: float) -> str:
    """Return a share of 1 as a percentage."""
    if share < 0.001:
        return "under 0.1 %" if share > 0 else "0 %"
    return f"{100 * share:.1f} %" if share < 0.0995 else f"{100 * share:.0f} %"


def gibibytes(count: int) -> str:
    """Return a number of bytes in GiB."""
    size = count / 2**30
    return f"{size:.0f} GiB" if size >= 9.5 else f"{size:.1f} GiB"


def value_text(value: Any) -> str:
    """Return the value of an argument."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
