"""Read and print the summary of a run: what the callbacks did, and how long they took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yolo_callbacks.decisions.comparison import counted
from yolo_callbacks.utils.lenient import as_count, as_list, as_mapping, as_number, as_text

__all__ = ["read_summary", "render"]

_MAX_SECONDS = 1e12


def read_summary(content: object) -> dict[str, Any] | None:
    """Return the value of `"summary"` in a `callbacks.json`, as `render` needs it; None if there is none.

    The file may have any content: values of a wrong type are left out.
    """
    found = as_mapping(content)
    if not found:
        return None
    rows = [as_mapping(row) for row in as_list(found.get("callbacks"))]
    return {
        "status": as_text(found.get("status"), "ended"),
        "epochs": as_count(found.get("epochs")),
        "stopped_by": as_text(found.get("stopped_by")),
        "seconds": _seconds(found.get("seconds")),
        "seconds_in_callbacks": _seconds(found.get("seconds_in_callbacks")),
        "folder": as_text(found.get("folder"), "a folder that is not known"),
        "callbacks": [
            {
                "name": as_text(row.get("name"), "?"),
                "outcome": as_text(row.get("outcome")),
                "seconds": _seconds(row.get("seconds")),
                "failures": as_count(row.get("failures")),
                "switched_off": row.get("switched_off") is True,
            }
            for row in rows
            if row
        ],
    }


def _seconds(value: object) -> float:
    number = as_number(value, 0.0)
    return number if number is not None and 0 <= number < _MAX_SECONDS else 0.0


def render(summary: Mapping[str, Any]) -> str:
    """Return the summary of a run as a table in text form.

    Args:
        summary: The value of `"summary"` in `callbacks.json`: `epochs`, `seconds` of training, `seconds_in_callbacks`,
            `folder`, `status`, `stopped_by` (`""` if nobody stopped the run), and `callbacks`, a list of mappings with
            `name`, `outcome`, `seconds`, `failures` and `switched_off`.
    """
    seconds, spent = summary["seconds"], summary["seconds_in_callbacks"]
    share = f" ({100 * spent / seconds:.2f} % of training)" if seconds else ""
    lines = [f"Callbacks: {summary['status']} after {counted(summary['epochs'], 'epoch')} in {seconds:.1f} s"]
    found = [(row["name"], f"{row['seconds']:.2f} s", _outcome(row)) for row in summary["callbacks"]]
    rows = [row for row in found if row[-1]]
    name_width, cost_width = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    lines += [f"  {name:<{name_width}}  {cost:>{cost_width}}  {outcome}" for name, cost, outcome in rows]
    if summary.get("stopped_by") not in ("", None, "a callback"):  # the row of a callback says it
        lines.insert(1, f"  stopped by {summary['stopped_by']}")
    lines += [f"  they took {spent:.2f} s{share}", f"  files in {summary['folder']}"]
    return "\n".join(lines)


def _outcome(row: Mapping[str, Any]) -> str:
    failures = row["failures"]
    failed = f"failed {counted(failures, 'time')}" if failures else ""
    off = "switched off" if row["switched_off"] else ""
    return "; ".join(part for part in (row["outcome"], failed, off) if part)
