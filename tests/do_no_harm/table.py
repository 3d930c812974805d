"""The table of what was compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ARMS = ("none", "default", "all")


def render(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for each configuration: the seconds of each way to train it, and the aspects in which a suite differs."""
    width = max(len(row["name"]) for row in rows)
    lines = [f"{'configuration':{width}} {'plain':>7} {'default':>7} {'all':>7}  differences"]
    for row in sorted(rows, key=lambda row: row["name"]):
        seconds = " ".join(f"{row[arm]:6.1f}s" for arm in ARMS)
        found = [f"{arm}: {', '.join(row[f'{arm} differs'])}" for arm in ARMS[1:] if row[f"{arm} differs"]]
        lines.append(f"{row['name']:{width}} {seconds}  {'; '.join(found) or 'none'}")
    seconds = " ".join(f"{sum(row[arm] for row in rows):6.1f}s" for arm in ARMS)
    different = sum(any(row[f"{arm} differs"] for arm in ARMS[1:]) for row in rows)
    return "\n".join([*lines, f"{f'{len(rows)} in all':{width}} {seconds}  {different} differ"])
