"""The table at the end of a run: what the callbacks did, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yolo_callbacks.decisions import counted

__all__ = ["render"]


def render(summary: Mapping[str, Any]) -> str:
    """The table as text, from what `callbacks.json` holds under `"summary"`.

    Args:
        summary: `epochs`, `seconds` of training, `seconds_in_callbacks`, `folder`, `status`, `stopped_by`, which is
            `""` for a run that nobody stopped, and `callbacks`, a list of mappings with `name`, `outcome`, `seconds`,
            `failures` and `switched_off`.
    """
    seconds, spent = summary["seconds"], summary["seconds_in_callbacks"]
    share = f" ({100 * spent / seconds:.2f} % of training)" if seconds else ""
    lines = [f"Callbacks: {summary['status']} after {counted(summary['epochs'], 'epoch')} in {seconds:.1f} s"]
    rows = [(row["name"], f"{row['seconds']:.2f} s", _told(row)) for row in summary["callbacks"] if _told(row)]
    name_width, cost_width = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    lines += [f"  {name:<{name_width}}  {cost:>{cost_width}}  {told}" for name, cost, told in rows]
    if summary.get("stopped_by") not in ("", None, "a callback"):  # a callback says so in its own row
        lines.insert(1, f"  stopped by {summary['stopped_by']}")
    lines += [f"  they took {spent:.2f} s{share}", f"  files in {summary['folder']}"]
    return "\n".join(lines)


def _told(row: Mapping[str, Any]) -> str:
    failures = row["failures"]
    failed = f"failed {counted(failures, 'time')}" if failures else ""
    off = "switched off" if row["switched_off"] else ""
    return "; ".join(part for part in (row["outcome"], failed, off) if part)
