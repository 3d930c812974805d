"""Measure the budgets, compared with what a user would choose instead: `make bench`, or `make bench-quick`.

It prints a table and writes it to benchmarks/results/, with the machine and all numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

import memory_series
import saving
import scaling
import time_added
from one_training import VARIANTS

import startup

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parent / "README.md"
HERE = "<!-- The rest is written by make bench. -->\n"
PEERS = ["bare", "built-in", "default", "all", "peer"]


def main() -> int:
    """Run the benchmarks; return exit status 1 if a budget is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats, at most four minutes")
    parser.add_argument("--only", nargs="*", choices=tuple(parts(quick=False)), help="some of the parts")
    arguments = parser.parse_args()
    found: dict[str, Any] = {"machine": machine(), "quick": arguments.quick}
    with tempfile.TemporaryDirectory(prefix="bench-") as settings:
        os.environ["YOLO_CONFIG_DIR"] = settings  # importing Ultralytics would update the user's settings
        for name, measure in parts(quick=arguments.quick).items():
            if arguments.only and name not in arguments.only:
                continue
            started = perf_counter()
            found[name] = measure()
            print(f"{name}: {perf_counter() - started:.0f} s", flush=True)
    report = "\n".join(table(found))
    print("\n" + report)
    RESULTS.mkdir(exist_ok=True)
    name = "quick" if arguments.quick or arguments.only else "latest"
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(report + "\n")
    if name == "latest":
        scaling.plot(found["scaling"], RESULTS / "scaling.png")
        page = README.read_text()
        README.write_text(page[: page.index(HERE) + len(HERE)] + f"\n{report}\n")
    return int(any(held is False for _, _, _, held in budgets(found)))


def parts(*, quick: bool) -> dict[str, Callable[[], Any]]:
    """Return the functions that measure, by name."""
    rounds, epochs, reference = (4, 5, 2) if quick else (10, 6, 4)
    variants = ["bare", "default"] if quick else PEERS
    measured: dict[str, Callable[[], Any]] = {
        "time": lambda: time_added.measure(rounds=rounds, epochs=epochs, variants=variants, reference_epochs=reference),
        "disk": lambda: time_added.disk(epochs=50, variants=variants),
        "saving": lambda: saving.measure("n" if quick else "nmx", repeats=3 if quick else 5),
        "memory": lambda: memory_series.series(*((3, 3) if quick else (8, 8))),
        "startup": lambda: startup.measure(imports=4 if quick else 5, starts=20 if quick else 100),
        "scaling": lambda: scaling.measure(quick=quick),
    }
    if quick:
        del measured["disk"]
    return measured


def machine() -> dict[str, str]:
    """Return the machine and the versions on which the numbers depend."""
    versions = {name: metadata.version(name) for name in ("ultralytics", "torch", "wandb", "yolo-callbacks")}
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        processor = lines[0].split(":")[1].strip() if lines else processor
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "processor": f"{processor}, {os.cpu_count()} cores",
        "system": platform.platform(terse=True),
        "python": sys.version.split()[0],
        **versions,
    }


def budgets(found: dict[str, Any]) -> list[tuple[str, str, str, bool | None]]:
    """Return each budget with the measured value and whether it holds; None if not measured or unclear."""
    variants = found.get("time", {}).get("variants", {})
    rows: list[tuple[str, str, str, bool | None]] = []

    def add(what: str, at_most: float, unit: str, value: float | None, low: float | None = None) -> None:
        measured = "not measured" if value is None else f"{value:.3g}{unit}"
        held = None if value is None else value <= at_most
        if held is False and low is not None and low <= at_most:
            measured, held = f"{measured}, but {low:.3g} by the lower quartile: too noisy to tell", None
        rows.append((what, f"{at_most:g}{unit}", measured, held))

    added = low = None
    if "default" in variants:
        added, low = (100 * variants["default"][key] for key in ("share", "share_low"))
    add("default suite, W&B offline, added to 100 epochs", 1.0, " %", added, low)
    ratio = None
    if {"all", "peer"} <= set(variants):  # `all` also includes everything else that our callbacks do
        ratio = variants["all"]["per_epoch_ms"]["fastest"] / variants["peer"]["per_epoch_ms"]["fastest"]
    add("16 images an epoch, against add_wandb_callback", 0.1, " x", ratio)
    saved = found.get("saving", {})
    add("saving a new best, against torch.save", 0.2, " x", max((row["ratio"] for row in saved.values()), default=None))
    memory = found.get("memory")
    add("memory after the last train(), against the 2nd", 1.02, " x", memory and memory["on"][-1] / memory["on"][1])
    add("memory after it, against without MemoryCleanup", 0.75, " x", memory and memory["on"][-1] / memory["off"][-1])
    start = found.get("startup")
    add("import yolo_callbacks", 50, " ms", start and start["import_ms"]["fastest"])
    add("interpreter start with the idle plug-in", 1, " ms", start and start["idle_plugin_ms"]["median"])
    return rows


def table(found: dict[str, Any]) -> list[str]:
    """Return all results as Markdown."""
    machine_line = ", ".join(f"{name} {value}" for name, value in found["machine"].items())
    lines = [machine_line, "", "| budget | at most | measured | holds |", "| --- | --- | --- | --- |"]
    marks = {True: "yes", False: "**no**", None: "-"}
    lines += [f"| {what} | {limit} | {value} | {marks[held]} |" for what, limit, value, held in budgets(found)]
    for name, section in (
        ("time", _time),
        ("saving", _saving),
        ("memory", _memory),
        ("disk", _disk),
        ("scaling", _scaling),
    ):
        if name in found:
            lines += ["", *section(found[name])]
    return lines


def _time(found: dict[str, Any]) -> list[str]:
    reference = found["reference"]
    lines = [
        f"Added to a training of YOLO11n in {found['rounds']} pairs of runs; the share is that of a run of 100 "
        f"epochs of {reference['epoch_s']:.2f} s (as `make demo` trains: 86 images of 256 pixels):",
        "",
        "| | per epoch, ms | quartiles | once a run, s | share, % | own clock: per epoch, ms | once, s | peak MiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in found["variants"].items():
        if name == "bare":
            lines.append(f"| {row['what']} | {1000 * row['epoch_s']:.0f} in all | | | | | | {row['peak_mib']:.0f} |")
            continue
        clock = ["", ""]
        if "clock_once_s" in row:
            clock = [f"{row['clock_per_epoch_ms']:.1f}", f"{row['clock_once_s']:.2f}"]
        added = row["per_epoch_ms"]
        between = f"{added['low']:.0f} to {added['high']:.0f}"
        cells = [f"{added['fastest']:.0f}", between, _quartiles(row["once_s"], 2), f"{100 * row['share']:.2f}", *clock]
        lines.append(f"| {row['what']} | {' | '.join(cells)} | {row['peak_mib']:.0f} |")
    return [*lines, "", *_clocks(found)]


def _clocks(found: dict[str, Any]) -> list[str]:
    """Return the time that each callback took."""
    lines = [
        f"The same by the suite's own clock, callback by callback, ms in a run of {found['epochs']} epochs:",
        "",
        "| | `attach` | callbacks |",
        "| --- | --- | --- |",
    ]
    for row in found["variants"].values():
        if row.get("by_callback"):
            each = ", ".join(f"{name} {1000 * seconds:.1f}" for name, seconds in row["by_callback"])
            lines.append(f"| {row['what']} | {row['attach_ms']:.1f} | {each} |")
    return lines


def _quartiles(values: dict[str, float], digits: int) -> str:
    return f"{values['median']:.{digits}f} ({values['low']:.{digits}f} to {values['high']:.{digits}f})"


def _saving(found: dict[str, Any]) -> list[str]:
    columns = {
        "mib": "MiB",
        "torch_save_ms": "`torch.save`, ms",
        "taken_ms": "ours, ms",
        "separated_ms": "and in the thread, ms",
        "copy_ms": "a copy instead, ms",
        "copy_file_range_ms": "by `copy_file_range`, ms",
    }
    lines = [
        f"| checkpoint | {' | '.join(columns.values())} | ours / `torch.save` |",
        f"| --- |{' --- |' * len(columns)} --- |",
    ]
    for size, row in found.items():
        cells = " | ".join(f"{row[name]:.1f}" for name in columns)
        lines.append(f"| YOLO11{size} | {cells} | {row['ratio']:.3f} |")
    return lines


def _memory(found: dict[str, Any]) -> list[str]:
    runs = len(found["on"])
    lines = [
        "Resident memory after each train() in one process, MiB:",
        "",
        f"| | {' | '.join(map(str, range(1, runs + 1)))} |",
        f"| --- |{' --- |' * runs}",
    ]
    for name, label in (("on", "with MemoryCleanup"), ("off", "without")):
        lines.append(f"| {label} | {' | '.join(f'{value:.0f}' for value in found[name])} |")
    return lines


def _disk(found: dict[str, int]) -> list[str]:
    lines = ["| left on disk by a run, W&B's files included | MiB |", "| --- | --- |"]
    return lines + [f"| {VARIANTS[name]} | {size / 2**20:.1f} |" for name, size in found.items()]


def _scaling(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    lines = [
        "What an epoch costs in all callbacks together, late in a run and at its beginning, how large `callbacks.json` "
        "is, and what an epoch of captured images holds:",
        "",
        "| | case | ms | at first, ms | state, KiB | images, KiB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    measured = ("epoch_ms", "first_ms", "checkpoint_mib", "state_kib", "held_kib")
    for name, rows in found.items():
        for row in rows:
            given = {key: Path(str(value)).stem if key == "model" else value for key, value in row.items()}
            case = ", ".join(f"{key}={value}" for key, value in given.items() if key not in measured)
            held = f"{row['held_kib']:.0f}" if "held_kib" in row else ""
            cells = f"{row['epoch_ms']:.1f} | {row['first_ms']:.1f} | {row['state_kib']:.1f} | {held}"
            lines.append(f"| {name} | {case} | {cells} |")
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
