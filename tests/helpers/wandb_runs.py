"""Read a Weights & Biases run back from its own file: what a training logged, without a server.

A run's `.wandb` file is a log of `Record`s of the protobuf module that wandb ships. A file that ends in the middle of a
record, as a killed process leaves it, is read up to there.
Call `wandb.teardown()` before reading: `run.finish()` may return before the last records are on disk.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolo_callbacks.loggers.wandb_parts.file import records

FILE_HEADER = 7  # `:W&B`, two magic bytes, version


@dataclass
class Run:
    """Hold the content of one run's file."""

    id: str
    path: Path
    """The `.wandb` file."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """The history, a row a step: nested keys joined with "/", `_step`, `_runtime` and `_timestamp` included."""
    config: dict[str, Any] = field(default_factory=dict)
    """As given, and W&B's own entries under `_wandb`."""
    summary: dict[str, Any] = field(default_factory=dict)
    """The keys as logged; an object, and what `define_metric(summary=...)` made, is a dict."""
    exit_code: int | None = None
    """None: the run did not finish."""
    metrics: list[dict[str, Any]] = field(default_factory=list)
    """The `define_metric` calls: `name` (or `glob`), `step_metric`, `summary` (names), `hidden`."""
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    """`name`, `type`, `aliases`, `metadata`, `files` (name to size), `paths` (name to file); only offline."""
    files: list[Path] = field(default_factory=list)
    """Media and other files in the run's folder."""
    alerts: list[dict[str, str]] = field(default_factory=list)
    """`title`, `text`, `level`."""
    output: str = ""
    """The console, if it was captured."""
    project: str = ""
    name: str = ""
    group: str = ""
    notes: str = ""
    tags: list[str] = field(default_factory=list)
    started: float = 0.0

    def column(self, key: str) -> list[Any]:
        """The values of one key, of the rows that have it."""
        return [row[key] for row in self.rows if key in row]


def read_runs(folder: Path) -> list[Run]:
    """Every run below a folder, the earliest first."""
    runs = [read_run(path) for path in sorted(folder.rglob("*run-*/run-*.wandb"))]
    return sorted(runs, key=lambda run: run.started)


def read_run(path: Path) -> Run:
    """One run, by its `.wandb` file or its folder."""
    if path.is_dir():
        (path,) = path.glob("run-*.wandb")
    run = Run(id=path.stem.removeprefix("run-"), path=path)
    for record in _records(path.read_bytes()):
        _apply(run, record)
    run.files = sorted(file for file in (path.parent / "files").rglob("*") if file.is_file())
    return run


def _apply(run: Run, record: Any) -> None:
    kind = record.WhichOneof("record_type")
    content: Any = getattr(record, kind) if kind else None
    if kind == "run":
        run.id, run.project, run.name = content.run_id, content.project, content.display_name
        run.group, run.notes, run.tags = content.run_group, content.notes, list(content.tags)
        run.started = content.start_time.seconds + content.start_time.nanos / 1e9
        _update(run.config, content.config)
        _update(run.summary, content.summary)
    elif kind == "history":
        run.rows.append({"/".join(_keys(item)): _value(item) for item in content.item})
    elif kind == "config":
        _update(run.config, content)
    elif kind == "summary":
        _update(run.summary, content)
    elif kind == "metric" and not content.expanded_from_glob:
        run.metrics.append(_metric(content))
    elif kind == "artifact":
        run.artifacts.append(_artifact(content))
    elif kind == "alert":
        run.alerts.append({"title": content.title, "text": content.text, "level": content.level})
    elif kind in ("output", "output_raw"):
        run.output += content.line
    elif kind == "exit":
        run.exit_code = content.exit_code


def _keys(item: Any) -> list[str]:
    return list(item.nested_key) or [item.key]


def _value(item: Any) -> Any:
    """An item's value: JSON, or one of the typed fields that history has had since 0.30 or so."""
    if item.value_json:
        return json.loads(item.value_json)
    kind = item.WhichOneof("value") if item.DESCRIPTOR.oneofs_by_name.get("value") else None
    if kind in (None, "none"):
        return None
    value = getattr(item, kind)
    return json.loads(value) if kind == "json" else value


def _update(target: dict[str, Any], content: Any) -> None:
    """Apply the `update` and `remove` items of a config or summary record."""
    for item in content.update:
        *parents, key = _keys(item)
        at = target
        for parent in parents:
            below = at.get(parent)
            at[parent] = at = below if isinstance(below, dict) else {}
        value = _value(item)
        merged = key == "_wandb" and isinstance(value, dict)  # later records of W&B's own entries are partial
        at[key] = {**at.get(key, {}), **value} if merged else value
    for item in content.remove:
        *parents, key = _keys(item)
        at = target
        for parent in parents:
            at = at.get(parent, {})
        at.pop(key, None)


def _metric(content: Any) -> dict[str, Any]:
    name = {"glob": content.glob_name} if content.glob_name else {"name": content.name}
    summary = [each.name for each, on in content.summary.ListFields() if on is True]
    return {**name, "step_metric": content.step_metric, "summary": summary, "hidden": content.options.hidden}


def _artifact(content: Any) -> dict[str, Any]:
    return {
        "name": content.name,
        "type": content.type,
        "aliases": list(content.aliases),
        "description": content.description,
        "metadata": json.loads(content.metadata) if content.metadata else {},
        "files": {entry.path: entry.size for entry in content.manifest.contents},
        "paths": {entry.path: Path(entry.local_path) for entry in content.manifest.contents if entry.local_path},
    }


def _records(data: bytes) -> Iterator[Any]:
    if len(data) >= FILE_HEADER and not data.startswith(b":W&B"):
        raise ValueError("not a .wandb file")
    return records(data)
