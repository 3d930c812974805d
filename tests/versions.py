"""Run the real trainings on one Ultralytics after the other, all with the torch that is installed.

    python tests/versions.py 8.3.200 8.4.51        # default: the versions below and the one installed
    python tests/versions.py --smoke               # a few tests, on the oldest version

Each wheel goes to a folder of its own under `.versions/`, which stands first on the path while its tests run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import metadata
from pathlib import Path
from time import perf_counter

# The oldest supported, the last of 8.3, and both sides of each change that callbacks see: validation on every rank
# (8.3.218), the epoch of the final event (8.4.52), losses by name (8.4.104), callbacks of workers (8.4.140).
VERSIONS = (
    "8.3.200", "8.3.217", "8.3.218", "8.3.253", "8.4.51", "8.4.52", "8.4.103", "8.4.104", "8.4.139", "8.4.140"
)  # fmt: skip
SMOKE = ("8.3.200",)
EVERYWHERE = "training and not server and not slow"
ROOT = Path(__file__).parent.parent


def main() -> int:
    """Print a table; the exit status is 1 where a test failed."""
    newest = metadata.version("ultralytics")
    smoke = sys.argv[1:] == ["--smoke"]
    chosen = SMOKE if smoke else sys.argv[1:] or (*VERSIONS, newest)
    # one a core, each without parallel tests: most of a short run is what starts once
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = list(pool.map(partial(run, installed=newest, marker="smoke" if smoke else EVERYWHERE), chosen))
    print("\n| ultralytics | passed | failed | skipped | seconds |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    return int(any(row[2] for row in rows))


def run(version: str, installed: str, marker: str) -> tuple[str, int, int, int, int]:
    """The result of one version."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if version != installed:
        environment["PYTHONPATH"] = str(install(version))
    report = ROOT / ".versions" / f"{version}.xml"
    report.parent.mkdir(exist_ok=True)
    started = perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", "-m", marker, "--show-capture=no", f"--junitxml={report}"]
    if marker == "smoke":  # to import all other tests takes as long as to run these
        command += [str(path) for path in sorted(ROOT.glob("tests/*/**/test_*.py")) if "mark.smoke" in path.read_text()]
    done = subprocess.run(command, env=environment, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        print(f"ultralytics {version}\n{done.stdout[-20_000:]}", flush=True)
    found = ElementTree.parse(report).getroot()[0].attrib
    failed, skipped = int(found["failures"]) + int(found["errors"]), int(found["skipped"])
    passed = int(found["tests"]) - failed - skipped
    return version, passed, failed, skipped, round(perf_counter() - started)


def install(version: str) -> Path:
    """The folder of a version's wheel, without its dependencies."""
    folder = ROOT / ".versions" / version
    if not (folder / "ultralytics").is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        subprocess.run([*pip, f"ultralytics=={version}"], check=True)
    if f'__version__ = "{version}"' not in (folder / "ultralytics" / "__init__.py").read_text():
        raise RuntimeError(f"{folder} has another version of Ultralytics: remove it")
    return folder


if __name__ == "__main__":
    raise SystemExit(main())
