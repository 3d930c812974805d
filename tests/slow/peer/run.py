"""Run the training tests of the installed Ultralytics without our callbacks and with them, and compare.

    make test-peer
    make test-peer PEER="-k test_resume"          # some of them, in every way
    make test-peer PEER="--ways plain default"    # in these ways
    make test-peer PEER="--sample"                # the fastest, plain and with the default suite

A test that passes plain must pass in every other way, and its trainings must leave the same results.csv, but for the
time, and the same weights. The tests come from the source distribution on PyPI; data sets and weights are made here.
Everything lies below `.peer/`, which git ignores; `.peer/<version>/ways/report.md` is the last report.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from interpreter import Interpreter

from peer import checkout, data, report, ways

FILES = ("test_engine.py", "test_python.py", "test_cli.py", "test_integrations.py")
SAMPLE_FILES = ("test_engine.py",)
SAMPLE_TASK = "classify"
SAMPLE = f"test_resume_incomplete and {SAMPLE_TASK}"
SAMPLE_WAYS = (ways.PLAIN, "default")
NOTHING_RAN = 2
INTEGRATIONS = ("wandb", "tensorboard", "mlflow", "comet", "clearml", "dvc", "raytune", "neptune", "hub")


@dataclass(frozen=True)
class Place:
    """The folders of the tests, the data sets and the weights."""

    checkout: Path
    datasets: Path
    weights: Path
    packages: Path

    def path(self) -> str:
        """Return the PYTHONPATH of every process: the checkout first, then what is tested."""
        ours = (checkout.ROOT, checkout.ROOT / "tests" / "slow", checkout.ROOT / "tests" / "helpers", self.packages)
        return os.pathsep.join(map(str, (self.checkout, *ours)))


def prepare(sample: Interpreter | None = None) -> Place:
    """Download the tests, and make the data sets and weights that they use, unless all that is there.

    Args:
        sample: Where given, make what the sample needs only: no packages of exports, no weights of other tasks. It runs
            what makes them.

    Raises:
        UnavailableError: If PyPI does not answer.
    """
    made = checkout.folder() / "made"
    packages = checkout.PACKAGES if sample else checkout.extra_packages()
    place = Place(
        checkout.checkout(), made / "datasets", made / ("weights of the sample" if sample else "weights"), packages
    )
    if not place.datasets.is_dir():
        unfinished = made / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        data.make(unfinished)
        unfinished.rename(place.datasets)
    if not (place.weights / "path with spaces").is_dir():
        place.weights.mkdir(parents=True, exist_ok=True)
        settings = made / "config"
        settings.mkdir(exist_ok=True)
        environment = {**os.environ, "PYTHONPATH": place.path(), "YOLO_CONFIG_DIR": str(settings), **_OFFLINE}
        environment.pop("YOLO_CALLBACKS", None)
        arguments = [str(place.weights), str(place.checkout / "tests")]
        if sample:
            _fork(sample, "peer.weights", [*arguments, SAMPLE_TASK], environment, made)
        else:
            command = [sys.executable, "-m", "peer.weights", *arguments]
            subprocess.run(command, env=environment, cwd=made, check=True, stdout=subprocess.DEVNULL)
    return place


_OFFLINE = {
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "CUDA_VISIBLE_DEVICES": "-1",
    "MPLBACKEND": "Agg",
}


def run(
    way: str, place: Place, chosen: argparse.Namespace, sample: Interpreter | None = None
) -> dict[str, report.Outcome]:
    """Run the tests in a way, in a fresh folder; a test that ends its process is left behind.

    Args:
        way: One of `ways.WAYS`.
        place: What `prepare` made.
        chosen: The arguments of the command.
        sample: Runs pytest on the sample's files only, in a process that need not import torch anew.
    """
    folder = _results(chosen) / way
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "cwd").mkdir(parents=True)
    shutil.copytree(place.datasets, folder / "datasets")
    shutil.copytree(place.weights, folder / "weights", copy_function=os.link)
    record = folder / "record.jsonl"
    record.touch()
    environment = {**_environment(way, place, folder), "PEER_TIMEOUT": str(chosen.timeout)}
    environment["PEER_PLOTS"] = "1" if chosen.plots else ""
    _settings(folder)
    # pytest's own settings file is theirs; basetemp keeps the places of their files alike in all ways
    options = ["-c", str(place.checkout / "pyproject.toml"), "--rootdir", str(place.checkout), "-o", "addopts="]
    options += ["-p", "peer.recorder", "-p", "no:cacheprovider", "-p", "no:xdist", "--basetemp", str(folder / "tmp")]
    options += ["-rA", "--tb=long", *(["--slow"] if chosen.slow else []), *(["-k", chosen.k] if chosen.k else [])]
    options += [str(place.checkout / "tests" / name) for name in (SAMPLE_FILES if sample else FILES)]
    for attempt in range(chosen.restarts + 1):
        started = len(record.read_text().splitlines())
        with (folder / f"log-{attempt}.txt").open("w") as log:
            if sample:
                log.write(_fork(sample, "pytest", options, environment, folder / "cwd"))
            else:
                command = [sys.executable, "-m", "pytest", *options]
                _follow(command, environment, folder / "cwd", record, log, way, chosen.timeout)
        lines = record.read_text().splitlines()
        if len(lines) == started or json.loads(lines[-1])["event"] == "end":
            break  # it ran to its end
    return report.outcomes(record.read_text())


# `python -m`, with what the start of an interpreter does, for a process that is forked.
_MODULE = """
import os, runpy, sys
sys.path[:0] = path.split(os.pathsep)
os.chdir(folder)
import _yolo_callbacks_boot
_yolo_callbacks_boot.install()
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def _fork(
    interpreter: Interpreter, module: str, arguments: Sequence[str], environment: Mapping[str, str], cwd: Path
) -> str:
    """Run a module as a script; return what it printed."""
    names = {"module": module, "path": environment["PYTHONPATH"], "folder": str(cwd)}
    return interpreter.run(_MODULE, *arguments, environment=dict(environment), **names).said


def _results(chosen: argparse.Namespace) -> Path:
    return checkout.folder() / ("sample" if chosen.sample else "ways")


def _last_plain(chosen: argparse.Namespace) -> dict[str, report.Outcome]:
    return report.outcomes((_results(chosen) / ways.PLAIN / "record.jsonl").read_text())


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other process runs these tests: Ultralytics fixes the folder of their runs."""
    checkout.PEER.mkdir(exist_ok=True)
    with (checkout.PEER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _environment(way: str, place: Place, folder: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    named = {
        "PATH": path,
        "PYTHONPATH": place.path(),
        "YOLO_CONFIG_DIR": str(folder / "config"),
        "PEER_RECORD": str(folder / "record.jsonl"),
        "PEER_CHECKOUT": str(place.checkout),
        "PEER_ROOT": str(checkout.ROOT),
    }
    environment = {"OMP_NUM_THREADS": "1", **os.environ, **_OFFLINE, **named}
    for inherited in ("YOLO_CALLBACKS", "WANDB_SERVICE"):  # the latter is wandb's process of this process
        environment.pop(inherited, None)
    value = ways.value(way, folder)
    return environment if value is None else {**environment, "YOLO_CALLBACKS": value}


def _settings(folder: Path) -> None:
    """Write Ultralytics' settings: those that it has written while weights were made, with the folders of a way."""
    made = checkout.folder() / "made"
    written = next((made / "config").rglob("settings.json"))  # how deep depends on the version
    settings = json.loads(written.read_text())
    settings |= {f"{name}_dir": str(folder / name) for name in ("datasets", "weights", "runs")}
    settings |= {name: False for name in INTEGRATIONS if name in settings}
    target = folder / written.relative_to(made)
    target.parent.mkdir(parents=True)
    target.write_text(json.dumps(settings))


def _follow(
    command: Sequence[str], environment: dict[str, str], cwd: Path, record: Path, log: object, way: str, timeout: int
) -> None:
    """Run pytest and print each outcome; kill it where not even its alarm ends a test."""
    process = subprocess.Popen(
        command, env=environment, cwd=cwd, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    shown, changed = len(record.read_text().splitlines()), time.monotonic()
    try:
        while process.poll() is None:
            time.sleep(0.5)
            lines = record.read_text().splitlines()
            for line in map(json.loads, lines[shown:]):
                if line["event"] == "end":
                    print(f"{way:8} {line['outcome']:8}{line['seconds']:6.1f} s  {line['test']}", flush=True)
            if len(lines) > shown:
                shown, changed = len(lines), time.monotonic()
            elif time.monotonic() - changed > timeout + 60:
                break
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Run Ultralytics' own training tests with our callbacks.")
    parser.add_argument("-k", default="", help="the tests, as pytest takes them")
    parser.add_argument("--ways", nargs="+", choices=ways.WAYS, default=list(ways.WAYS), help="plain always runs")
    parser.add_argument("--reuse-plain", action="store_true", help="compare with the last run of plain")
    parser.add_argument("--sample", action="store_true", help="the fastest test, plain and with the default suite")
    parser.add_argument("--no-slow", dest="slow", action="store_false", help="without those that they mark as slow")
    parser.add_argument("--plots", action="store_true", help="draw the plots, which takes half of the time")
    parser.add_argument("--timeout", type=int, default=600, help="seconds for one test")
    parser.add_argument("--restarts", type=int, default=5, help="how many tests may end the process of a way")
    chosen = parser.parse_args(given)
    if chosen.sample:
        chosen.k, chosen.ways, chosen.slow = SAMPLE, list(SAMPLE_WAYS), False
    chosen.ways = [way for way in ways.WAYS if way in (ways.PLAIN, *chosen.ways)]
    return chosen


def main(given: Sequence[str] | None = None) -> int:
    """Print the report; the exit status is 1 where our callbacks made a difference, 2 where nothing could run."""
    chosen = arguments(given)
    reused = [ways.PLAIN] if chosen.reuse_plain else []
    try:
        with _alone(), contextlib.ExitStack() as stack:
            sample = stack.enter_context(closing(Interpreter(imports="torch_imports"))) if chosen.sample else None
            place = prepare(sample)
            found = {way: run(way, place, chosen, sample) for way in chosen.ways if way not in reused}
            found = {**{way: _last_plain(chosen) for way in reused}, **found}
    except checkout.UnavailableError as error:
        print(error, file=sys.stderr)
        return NOTHING_RAN
    if chosen.reuse_plain:
        again = {test for way, outcomes in found.items() if way != ways.PLAIN for test in outcomes}
        found[ways.PLAIN] = {test: outcome for test, outcome in found[ways.PLAIN].items() if test in again}
    text = report.markdown(found, version=checkout.version(), plain=ways.PLAIN)
    (_results(chosen) / "report.md").write_text(text)
    print(f"\n{text}")
    if not found[ways.PLAIN]:
        print("no test ran: see the log in", _results(chosen) / ways.PLAIN, file=sys.stderr)
        return NOTHING_RAN
    return int(bool(report.worse_in_any(found, ways.PLAIN)))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that no pytest is left behind
    raise SystemExit(main())
