"""Describe with what a run was trained: model, data, optimizer, machine and versions, as far as its files know them."""

from __future__ import annotations

import math
from typing import Any

from yolo_callbacks.decisions.comparison import counted
from yolo_callbacks.report.run_data import RunData
from yolo_callbacks.report.words import gibibytes, number, value_text
from yolo_callbacks.utils.lenient import as_count, as_list, as_mapping, as_number, as_text

__all__ = ["setup"]

Rows = list[tuple[str, str]]


def setup(run: RunData) -> list[tuple[str, Rows]]:
    """Return groups of rows, each with a heading. What no file of the run knows is left out."""
    groups = {
        "Model and data": [*_model(run), *_data(run)],
        "Optimizer": _optimizer(run),
        "Machine": _machine(run),
        "Versions": [(name.replace("_", "-"), version) for name, version in sorted(run.versions.items())],
    }
    return [
        (heading, [row for row in rows if row[1]]) for heading, rows in groups.items() if any(row[1] for row in rows)
    ]


def _model(run: RunData) -> Rows:
    given = run.arguments
    batch, chosen = as_count(run.training.get("batch")), as_number(given.get("batch"))
    remark = "" if not batch or chosen in (None, batch) else f", batch={chosen:g} was given"
    size = given.get("imgsz")
    return [
        ("Model", _argument(given.get("model"))),
        ("Task", _argument(given.get("task"))),
        ("Image size", f"{value_text(size)} pixels" if size else ""),
        ("Batch size", f"{batch}{remark}" if batch else _argument(given.get("batch"))),
        ("Epochs planned", _argument(given.get("epochs"))),
    ]


def _data(run: RunData) -> Rows:
    dataset = as_mapping(run.training.get("dataset"))
    classes = as_count(dataset.get("classes")) or len(run.boxes.get("names", ()))
    return [
        ("Data set", _argument(run.arguments.get("data"))),
        ("Training images", _size(dataset.get("train"))),
        ("Validation images", _size(dataset.get("val"))),
        ("Classes", str(classes or "")),
    ]


def _size(split: object) -> str:
    images, boxes = (as_count(as_mapping(split).get(name)) for name in ("images", "boxes"))
    return f"{images:,}" + (f", with {boxes:,} objects" if boxes else "") if images else ""


def _optimizer(run: RunData) -> Rows:
    given, known = run.arguments, as_mapping(run.training.get("optimizer"))
    name, argument = as_text(known.get("name")), as_text(given.get("optimizer"))
    automatic = argument.lower() == "auto"
    by = ", chosen by optimizer=auto" if name and automatic else ""
    rates = [rate for rate in map(as_number, as_list(known.get("rates"))) if rate is not None]
    first = as_number(given.get("lr0"))
    # With `optimizer=auto` Ultralytics ignores lr0.
    initial = _rates(rates) if rates else number(first) if first is not None and not automatic else ""
    return [
        ("Optimizer", f"{name or argument}{by}"),
        ("Initial rate", initial),
        (f"Rate at epoch {run.last_epoch}", _rates(_last_rates(run))),
        ("Schedule", _schedule(run)),
        ("Weight decay", _argument(given.get("weight_decay"))),
    ]


def _last_rates(run: RunData) -> list[float]:
    return [series[run.last_epoch] for series in run.starting_with("lr/pg").values() if run.last_epoch in series]


def _rates(rates: list[float]) -> str:
    """Return the different rates of the parameter groups."""
    return ", ".join(dict.fromkeys(number(rate, 3) for rate in sorted(rates) if math.isfinite(rate)))


def _schedule(run: RunData) -> str:
    given = run.arguments
    share, warmup = as_number(given.get("lrf")), as_number(given.get("warmup_epochs"))
    if share is None:
        return ""
    shape = "cosine" if given.get("cos_lr") is True else "linear"
    reductions = sum(event.kind == "reduction" for event in run.events)
    parts = [
        f"{shape} to {100 * share:.3g} % of the initial rate",
        f"{warmup:g} epoch{'' if warmup == 1 else 's'} of warm-up" if warmup else "",
        f"{counted(reductions, 'reduction')} by callbacks" if reductions else "",
    ]
    return ", ".join(part for part in parts if part)


def _machine(run: RunData) -> Rows:
    found = as_mapping(run.training.get("hardware"))
    cpu, cores = as_text(found.get("cpu")), as_count(found.get("cores"))
    memory = as_count(found.get("host_memory"))
    return [
        ("Device", _device(found) or _argument(run.arguments.get("device"))),
        ("CPU", f"{cpu}, {counted(cores, 'core')}" if cpu and cores else cpu),
        ("Host memory", gibibytes(memory) if memory else ""),
        ("Operating system", as_text(found.get("system"))),
    ]


def _device(hardware: dict[str, Any]) -> str:
    kind, name = as_text(hardware.get("device")), as_text(hardware.get("device_name"))
    memory, processes = as_count(hardware.get("device_memory")), as_count(hardware.get("processes"))
    text = name or {"cpu": "CPU", "mps": "GPU of Apple"}.get(kind, kind)
    several = f"{processes} \N{MULTIPLICATION SIGN} " if text and processes > 1 else ""
    return f"{several}{text}" + (f", {gibibytes(memory)}" if text and memory else "")


def _argument(value: Any) -> str:
    return "" if value is None else value_text(value)
