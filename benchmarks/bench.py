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
from functools import partial
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

import batch_events
import export_waits
import memory_series
import mirror_waits
import mlflow_waits
import saving
import scaling
import startup
import time_added
import trials
import wandb_waits
from one_training import VARIANTS

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parent / "README.md"
HERE = "<!-- The rest is written by make bench. -->\n"
PEERS = ["bare", "init", "built-in", "local", "default", "images", "all", "peer"]


def main() -> int:
    """Run the benchmarks; return exit status 1 if a budget is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats, at most three minutes")
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
    rounds, epochs, reference = (2, 7, 2) if quick else (4, 9, 3)
    variants = ["bare", "local", "default"] if quick else PEERS
    measured: dict[str, Callable[[], Any]] = {
        "time": lambda: time_added.measure(rounds=rounds, epochs=epochs, variants=variants, reference_epochs=reference),
        "trials": lambda: trials.measure(rounds=2 if quick else 8),
        "waits": wandb_waits.measure,
        "mlflow": mlflow_waits.measure,
        "mirror": mirror_waits.measure,
        "disk": lambda: time_added.disk(epochs=10, variants=[name for name in variants if name != "init"]),
        "saving": lambda: saving.measure("n" if quick else "nmx", repeats=3 if quick else 5),
        "memory": lambda: memory_series.series(*((3, 3) if quick else (8, 8))),
        "startup": lambda: startup.measure(imports=4 if quick else 5, starts=20 if quick else 100),
        "batch events": batch_events.measure,
        "export": export_waits.measure,
        "scaling": lambda: scaling.measure(quick=quick),
    }
    if quick:
        del measured["disk"], measured["waits"], measured["mlflow"], measured["mirror"]
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

    def add(what: str, at_most: float, unit: str, value: float | None, bounds: dict[str, float] | None = None) -> None:
        measured = "not measured" if value is None else f"{value:.3g}{unit}"
        held = None if value is None else value <= at_most
        if bounds is not None:
            measured += f" ({bounds['low']:.3g} to {bounds['high']:.3g})"
            if bounds["low"] <= at_most < bounds["high"]:
                measured, held = f"{measured}: too noisy to tell", None
        rows.append((what, f"{at_most:g}{unit}", measured, held))

    def once(name: str, key: str = "median") -> float:
        return float(variants[name]["added"]["elapsed"]["once_s"][key])

    local = variants.get("local")
    add("default suite without W&B, an epoch, training thread", 10, " ms", local and local["clock_per_epoch_ms"])
    add("default suite without W&B, once a run, training thread", 0.3, " s", local and local["clock_once_s"])
    beside: dict[str, float] = {}
    if {"default", "local", "init"} <= set(variants):
        for key, other in (("median", "median"), ("low", "high"), ("high", "low")):
            beside[key] = once("default", key) - once("local", other) - once("init", other)
    add("what W&B adds to that once, beside bare init and finish", 0.1, " s", beside.get("median"), beside or None)
    default = variants.get("default", {})
    direct = default.get("direct_share")
    add("default suite, W&B offline, CPU of all it runs in 100 epochs", 0.5, " %", direct and 100 * direct)
    shares = {key: 100 * value for key, value in default.get("share", {}).items()}
    add("the same, by the time of epochs in turns", 0.5, " %", shares.get("median"), shares or None)
    for part, service in (("waits", "W&B"), ("mlflow", "MLflow")):
        slowest = max((row["start_s"] for row in found.get(part, {}).values()), default=None)
        add(f"waiting for {service} before the first batch, any server", 0.1, " s", slowest)
    mirror = found.get("mirror")
    added = mirror and max(row["cpu_s"] for row in mirror.values()) - mirror["none"]["cpu_s"]
    add(
        "what Mirror adds to an epoch, CPU of the training thread, any store",
        2,
        " ms",
        added if added is None else 1000 * added,
    )
    ratio = None
    if {"images", "peer"} <= set(variants):
        peer = variants["peer"]["added"]["elapsed"]["per_epoch_ms"]["median"]
        ratio = variants["images"]["clock_per_epoch_ms"] / peer
    add("16 images an epoch, training thread, against add_wandb_callback", 0.02, " x", ratio)
    compared = found.get("scaling", {}).get("images compared", ())
    share = max((100 * row["share"] for row in compared), default=None)
    add("all callbacks with FailingImages, of a validation on the CPU", 2, " %", share)
    saved = found.get("saving", {})
    ratio = max((row["ratio"] for row in saved.values()), default=None)
    add("saving a new best, against torch.save", 0.02, " x", ratio)
    memory = found.get("memory")
    add("memory after the last train(), against the 2nd", 1.02, " x", memory and memory["on"][-1] / memory["on"][1])
    add("memory after it, against without MemoryCleanup", 0.8, " x", memory and memory["on"][-1] / memory["off"][-1])
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
        ("trials", _trials),
        ("waits", partial(_waits, logger="WandbLogger", cases=wandb_waits.CASES)),
        ("mlflow", partial(_waits, logger="MLflowLogger", cases=mlflow_waits.CASES)),
        ("mirror", _mirror),
        ("startup", _startup),
        ("saving", _saving),
        ("memory", _memory),
        ("disk", _disk),
        ("batch events", batch_events.lines),
        ("export", export_waits.lines),
        ("scaling", _scaling),
    ):
        if name in found:
            lines += ["", *section(found[name])]
    return lines


def _time(found: dict[str, Any]) -> list[str]:
    reference = found["reference"]
    lines = [
        f"Added to a training of YOLO11n in {found['rounds']} runs of {found['epochs']} epochs, in turns by epoch; in "
        "brackets the bounds of the median with a probability of 95 %. The share is that of a run of 100 epochs of "
        f"{reference['epoch_s']:.2f} s (as `make demo` trains: 86 images of 256 pixels):",
        "",
        "| | per epoch, ms | CPU of the training thread, ms | CPU of all threads, ms | once a run, s | share, % "
        "| own clock: per epoch, ms | once, s | CPU of all it runs: per epoch, ms | once, s | peak MiB |",
        f"|{' --- |' * 11}",
    ]
    for name, row in found["variants"].items():
        if name == "bare":
            whole = f"| {row['what']} | {1000 * row['epoch_s']:.0f} in all |{' |' * 8}"
            lines.append(f"{whole} {row['peak_mib']:.0f} |")
            continue
        clock = [""] * 4
        if "clock_once_s" in row:
            clock = [f"{row['clock_per_epoch_ms']:.1f}", f"{row['clock_once_s']:.2f}"]
            clock += [f"{row['direct_per_epoch_ms']:.1f}", f"{row['direct_once_s']:.2f}"]
        cells = [_bounded(row["added"][each]["per_epoch_ms"], 1, 1.0) for each in time_added.CLOCKS]
        cells += [_bounded(row["added"]["elapsed"]["once_s"], 2, 1.0), _bounded(row["share"], 2, 100.0), *clock]
        lines.append(f"| {row['what']} | {' | '.join(cells)} | {row['peak_mib']:.0f} |")
    return [*lines, "", *_clocks(found)]


def _bounded(values: dict[str, float], digits: int, factor: float) -> str:
    middle, low, high = (f"{factor * values[key]:.{digits}f}" for key in ("median", "low", "high"))
    return f"{middle} ({low} to {high})"


def _trials(found: dict[str, Any]) -> list[str]:
    lines = [
        f"A trial of a study: {found['epochs']} epochs of YOLO11n, from `YOLO(…)` to the end of `train`, in a process "
        f"that has trained before; {found['rounds']} trials of each kind in turns, in brackets the bounds of the "
        "median:",
        "",
        "| | s | added, s | own clock, s | CPU beside the training thread, s |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in found["variants"].items():
        cells = ["", ""]
        if name != "bare":
            cells = [_bounded(row["added_s"], 2, 1.0), f"{row['clock_s']:.3f}"]
        lines.append(f"| {VARIANTS[name]} | {row['trial_s']:.2f} | {' | '.join(cells)} | {row['beside_s']:.2f} |")
    return lines


def _waits(found: dict[str, dict[str, float]], *, logger: str, cases: dict[str, str]) -> list[str]:
    lines = [
        f"Seconds that the training thread spends in `{logger}`, by what the server does:",
        "",
        "| | before the first batch | in the slowest epoch | after the last epoch |",
        "| --- | --- | --- | --- |",
    ]
    for case, row in found.items():
        cells = " | ".join(f"{row[key]:.3f}" for key in ("start_s", "epoch_s", "end_s"))
        lines.append(f"| {cases[case]} | {cells} |")
    return lines


def _mirror(found: dict[str, dict[str, float]]) -> list[str]:
    lines = [
        "Milliseconds that the training thread of YOLO11n spends in a suite of `Mirror` alone, in "
        f"{mirror_waits.EPOCHS} epochs, by what the store does:",
        "",
        "| | in an epoch, CPU | in an epoch | after the last epoch | epochs that were copied |",
        "| --- | --- | --- | --- | --- |",
    ]
    for case, row in found.items():
        cells = " | ".join(f"{1000 * row[key]:.1f}" for key in ("cpu_s", "epoch_s", "end_s"))
        lines.append(f"| {mirror_waits.CASES[case]} | {cells} | {row['copied']:.0f} |")
    return lines


def _startup(found: dict[str, dict[str, float]]) -> list[str]:
    return [f"The six names of the README's first script are imported in {found['import_names_ms']['fastest']:.0f} ms."]


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
    measured = ("epoch_ms", "first_ms", "checkpoint_mib", "state_kib", "held_kib", "share", "validation_ms")
    for name, rows in found.items():
        for row in rows:
            given = {key: Path(str(value)).stem if key == "model" else value for key, value in row.items()}
            case = ", ".join(f"{key}={value}" for key, value in given.items() if key not in measured)
            held = f"{row['held_kib']:.0f}" if "held_kib" in row else ""
            cells = f"{row['epoch_ms']:.1f} | {row['first_ms']:.1f} | {row['state_kib']:.1f} | {held}"
            lines.append(f"| {name} | {case} | {cells} |")
    for row in found.get("images compared", ()):
        compared = (
            f"An epoch with {row['val']} images compared, with 100 predictions each, takes {100 * row['share']:.2f} %"
        )
        alone = (
            f"of a validation of YOLO11n alone, {row['validation_ms']:.0f} ms for an image of 640 pixels on the CPU."
        )
        lines += ["", f"{compared} {alone}"]
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
