"""Lay out the installed Ultralytics as its own tests expect it: the package with `tests/` beside it.

The tests come from the source distribution, the package from the environment. Nothing of either enters the repository.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[3]
PEER = ROOT / ".peer"

# Some tests export to ONNX after training. The rest of what these packages need comes with torch and tensorboard.
EXTRA_PACKAGES = ("onnx", "onnxslim", "onnxruntime", "ml_dtypes", "flatbuffers")
PACKAGES = PEER / "packages"


class UnavailableError(Exception):
    """Something cannot be downloaded here."""


def version() -> str:
    """Return the version of Ultralytics that is installed."""
    return metadata.version("ultralytics")


def folder() -> Path:
    """Return the folder for everything that belongs to this version."""
    return PEER / version()


def source_distribution() -> Path:
    """Download the source distribution, unless it is there."""
    downloads = folder() / "sdist"
    found = sorted(downloads.glob("ultralytics-*.tar.gz"))
    if not found:
        downloads.mkdir(parents=True, exist_ok=True)
        # pip builds the metadata of what it downloads; with our own environment it need not install setuptools first,
        # which takes three times as long
        here = ("--no-build-isolation",) if importlib.util.find_spec("setuptools") else ()
        chosen = ("--no-deps", *here, "--no-binary", ":all:", "--dest", str(downloads))
        _pip("download", *chosen, f"ultralytics=={version()}")
        found = sorted(downloads.glob("ultralytics-*.tar.gz"))
    return found[0]


def checkout() -> Path:
    """Unpack the tests and copy the package beside them, unless that is done."""
    target = folder() / "checkout"
    if (target / "pyproject.toml").exists():
        return target
    with tarfile.open(source_distribution()) as archive:
        for member in archive.getmembers():
            member.name = member.name.partition("/")[2]
            if member.isfile() and (member.name.startswith("tests/") or member.name == "pyproject.toml"):
                archive.extract(member, target)
    spec = importlib.util.find_spec("ultralytics")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    shutil.copytree(package, target / "ultralytics", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    return target


def extra_packages() -> Path:
    """Install what some tests need beyond our environment, in a folder of its own."""
    if not (PACKAGES / "onnx").is_dir():
        _pip("install", "--no-deps", "--target", str(PACKAGES), *EXTRA_PACKAGES)
    return PACKAGES


def _pip(*command: str) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *command]
    done = subprocess.run(pip, check=False, capture_output=True, text=True)
    if done.returncode:
        raise UnavailableError(f"pip {command[0]} failed: {done.stderr.strip().splitlines()[-1]}")
