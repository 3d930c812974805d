"""Read and print the summary of a run: what the callbacks did, and how long they took."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from yolo_callbacks.decisions.comparison import counted
from yolo_callbacks.decisions.untrained import NOTHING_DETECTED
from yolo_callbacks.utils.console import broken
from yolo_callbacks.utils.lenient import as_count, as_list, as_mapping, as_number, as_text

__all__ = ["read_summary", "relative_outcome", "render", "render_html", "split_cost"]

_MAX_SECONDS = 1e12
_COMMAND = "upload with: "  # a command follows it in the row of WandbLogger
_SHORTEST = 0.001  # seconds; a shorter time is not printed


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
        "planned_epochs": as_count(found.get("planned_epochs")),
        "stopped_by": as_text(found.get("stopped_by")),
        "seconds": _seconds(found.get("seconds")),
        "seconds_before": _seconds(found.get("seconds_before")),
        "seconds_in_callbacks": _seconds(found.get("seconds_in_callbacks")),
        "seconds_in_epochs": _seconds(found.get("seconds_in_epochs")),
        "epochs_timed": as_count(found.get("epochs_timed")),
        "next_step": as_text(found.get("next_step")),
        "undecided_epoch": as_count(found.get("undecided_epoch")),
        "folder": as_text(found.get("folder"), "a folder that is not known"),
        "callbacks": [
            {
                "name": as_text(row.get("name"), "?"),
                "outcome": as_text(row.get("outcome")),
                "seconds": _seconds(row.get("seconds")),
                "seconds_in_epochs": _seconds(row.get("seconds_in_epochs")),
                "failures": as_count(row.get("failures")),
                "switched_off": row.get("switched_off") is True,
                "error": as_text(row.get("error")) or "",
                "of_report": row.get("of_report") is True,
            }
            for row in rows
            if row
        ],
    }


def _seconds(value: object) -> float:
    number = as_number(value, 0.0)
    return number if number is not None and 0 <= number < _MAX_SECONDS else 0.0


def render(summary: Mapping[str, Any], width: int | None = None) -> str:
    """Return the summary of a run as a table in text form.

    Args:
        summary: The value of `"summary"` in `callbacks.json`: `status`, `epochs` of `planned_epochs`, `stopped_by`
            (`""` if nobody stopped the run), `folder`, `next_step` (what continues the run), `seconds` of training (of
            these `seconds_before` the run was resumed), `seconds_in_callbacks` (of these `seconds_in_epochs`, in
            `epochs_timed` epochs), and `callbacks`: a list of mappings with `name`, `outcome`, `seconds`,
            `seconds_in_epochs`, `failures`, `switched_off`, `error` and `of_report`.
        width: The characters in a line of the console. Defaults to `None`: no line is broken.
    """
    lines = [f"Callbacks: {_title(summary)}", *(f"  {line}" for line in _stopped(summary))]
    rows = [(row["name"], _cost(row["seconds"], row, summary), _outcome(row, summary)) for row in _shown(summary)]
    name_width, cost_width = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    # The outcome comes last: it may end with a command to copy.
    for name, spent, outcome in rows:
        text, found, command = outcome.partition(_COMMAND)
        start = f"  {name:<{name_width}}  {spent:<{cost_width}}  "
        lines += broken(start, text, width, last=f"{found}{command}")
    for line in _hints(summary):
        lines += broken("  ", line, width)
    lines.append(f"  {_total(summary)}")
    lines.append(f"  files in {summary['folder']}")
    lines += [f"  {line}" for line in _undecided(summary)]
    if summary.get("next_step"):
        lines.append(f"  to continue: {summary['next_step']}")
    return "\n".join(lines)


def render_html(summary: Mapping[str, Any]) -> str:
    """Return the summary of a run, as `render` takes it, as a table for a notebook."""
    from html import escape  # its table of entities takes 3 ms

    rows = "".join(
        f"<tr><th>{escape(row['name'])}</th><td>{escape(_outcome(row, summary))}</td>"
        f"<td>{escape(_cost(row['seconds'], row, summary))}</td></tr>"
        for row in _shown(summary)
    )
    step = f"<br>to continue: <code>{escape(summary['next_step'])}</code>" if summary.get("next_step") else ""
    lines = (*_stopped(summary), *_undecided(summary), *_hints(summary))
    notes = "".join(f"{escape(line)}<br>" for line in lines)
    return (
        f"<table><caption>Callbacks: {escape(_title(summary))}</caption>"
        f"<tr><th>callback</th><th>what it did</th><th>time</th></tr>{rows}</table>"
        f"<p>{notes}{escape(_total(summary))}<br>files in <code>{escape(summary['folder'])}</code>{step}</p>"
    )


def _stopped(summary: Mapping[str, Any]) -> list[str]:
    """Return the line that says who stopped the run; none where the row of a callback says it."""
    by = summary.get("stopped_by")
    said = any((row["outcome"] or "").startswith("stopped ") for row in summary["callbacks"])
    return [f"stopped by {by}"] if by and not said else []


def _hints(summary: Mapping[str, Any]) -> list[str]:
    """Return the line that says what to do where monitors had no check, once for all of them."""
    if any(NOTHING_DETECTED in (row["outcome"] or "") for row in _shown(summary)):
        return [f"where {NOTHING_DETECTED}, an epoch is no check; skip_untrained=False makes it one"]
    return []


def _undecided(summary: Mapping[str, Any]) -> list[str]:
    """Return the line that names the epoch that the callbacks have not decided on, if there is one."""
    epoch = summary.get("undecided_epoch")
    return [f"epoch {epoch} is complete, and the callbacks decide on it when the run is resumed"] if epoch else []


def _shown(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """List the rows without those of callbacks that only the report needs, unless they failed."""
    return [row for row in summary["callbacks"] if row["failures"] or not row.get("of_report")]


def _title(summary: Mapping[str, Any]) -> str:
    before = summary.get("seconds_before") or 0.0
    resumed = f", {before:.1f} s of them before it was resumed" if before else ""
    planned = summary.get("planned_epochs") or 0
    cut_off = summary["status"] != "finished" and planned > summary["epochs"]
    epochs = f"{summary['epochs']} of {planned} epochs" if cut_off else counted(summary["epochs"], "epoch")
    return f"{summary['status']} after {epochs} in {summary['seconds']:.1f} s{resumed}"


def _total(summary: Mapping[str, Any]) -> str:
    """Return the time of all callbacks, and its share of the time of the process that measured it."""
    spent = summary["seconds_in_callbacks"]
    trained = summary["seconds"] - (summary.get("seconds_before") or 0.0)
    share = f" ({100 * spent / trained:.2f} % of training)" if trained > 0 else ""
    return f"all callbacks together took {_cost(spent, summary, summary) or 'less than 1 ms'}{share}"


def split_cost(seconds: float, measured: Mapping[str, Any], summary: Mapping[str, Any]) -> tuple[float, float]:
    """Return the seconds once a run, and those of an epoch.

    Args:
        seconds: The seconds in all.
        measured: Holds `seconds_in_epochs`: a row of the summary, or the summary.
        summary: Holds `epochs_timed`.
    """
    epochs = summary.get("epochs_timed") or 0
    in_epochs = min(measured.get("seconds_in_epochs") or 0.0, seconds) if epochs else 0.0
    return seconds - in_epochs, in_epochs / epochs if epochs else 0.0


def _cost(seconds: float, measured: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """Return a time as that of once a run and that of an epoch; "" if both are too short to be of interest."""
    parts = zip(split_cost(seconds, measured, summary), ("once", "an epoch"), strict=True)
    return ", ".join(f"{_duration(part)} {unit}" for part, unit in parts if part >= _SHORTEST)


def _duration(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def relative_outcome(row: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """Return the outcome of a callback with paths relative to the folder of the run.

    Another line names the folder. A command is to work outside of it.
    """
    text, found, command = (row["outcome"] or "").partition(_COMMAND)
    return text.replace(f"{summary['folder']}{os.sep}", "") + found + command


def _outcome(row: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    outcome = relative_outcome(row, summary)
    failures = row["failures"]
    failed = f"failed {counted(failures, 'time')}" if failures else ""
    off = "switched off" if row["switched_off"] else ""
    if failures and row.get("error"):
        failed += f", the last time with {row['error']}"
    return "; ".join(part for part in (outcome, failed, off) if part)
