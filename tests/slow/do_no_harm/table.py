"""The table of what was compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ARMS = ("none", "default", "all")


def render(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for each configuration: the seconds of each way to train it, and the aspects in which a suite differs."""
    width = max(len(row["name"]) for row in rows)
    lines = [f"{'configuration':{width}} {'plain':>8} {'default':>8} {'all':>8}  differences"]
    for row in sorted(rows, key=lambda row: str(row["name"])):
        found = [f"{arm}: {', '.join(row[f'{arm} differs'])}" for arm in ARMS[1:] if row.get(f"{arm} differs")]
        lines.append(f"{row['name']:{width}} {_seconds([row])}  {'; '.join(found) or 'none'}")
    different = sum(any(row.get(f"{arm} differs") for arm in ARMS[1:]) for row in rows)
    return "\n".join([*lines, f"{f'{len(rows)} in all':{width}} {_seconds(rows)}  {different} differ"])


def _seconds(rows: Sequence[Mapping[str, Any]]) -> str:
    """The seconds of each way; a dash where it was left out."""
    sums = [sum(row[arm] for row in rows if arm in row) for arm in ARMS]
    return " ".join(f"{seconds:7.1f}s" if seconds else f"{'-':>8}" for seconds in sums)
