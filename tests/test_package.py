"""The package: what importing it costs, which versions it accepts, what it ships."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import yolo_callbacks
from yolo_callbacks.trainer.installation import check_version


def imported_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "from yolo_callbacks import *",
        "import yolo_callbacks.decisions.stopping",
        "import yolo_callbacks.metrics.monitor",
    ],
)
def test_imports_are_lazy(statement):
    assert not {"ultralytics", "torch", "wandb", "cv2", "numpy"} & imported_by(statement)


def test_a_public_name_is_imported_where_it_is_used_first():
    found = imported_by("import yolo_callbacks; assert 'attach' in dir(yolo_callbacks); yolo_callbacks.EarlyStopping")
    assert "yolo_callbacks.callbacks.early_stopping" in found
    assert not [name for name in found if name.startswith(("yolo_callbacks.suite", "yolo_callbacks.loggers"))]
    with pytest.raises(AttributeError, match="module 'yolo_callbacks' has no attribute 'SaveBst'"):
        getattr(yolo_callbacks, "SaveBst")  # noqa: B009


def test_wandb_is_imported_where_its_arguments_are_to_be_known():
    make = "from yolo_callbacks import WandbLogger; WandbLogger({})".format
    assert "wandb" not in imported_by(make("'a', 'b', mode='offline', images=3"))
    assert "wandb" in imported_by(make("'a', tags=['b']"))


def test_beside_ultralytics_nothing_heavy_is_added():
    code = "import sys, ultralytics\nbefore = set(sys.modules)\nfrom yolo_callbacks import *\n"
    command = [sys.executable, "-c", f"{code}print(*set(sys.modules) - before)"]
    added = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "yolo_callbacks.suite.suite" in added
    assert not [name for name in added if name.partition(".")[0] in ("torch", "wandb", "cv2", "polars", "matplotlib")]


@pytest.mark.parametrize(
    ("version", "accepted"),
    [("8.2.103", False), ("8.3.0", False), ("8.3.199", False), ("8.3.200", True), ("8.4.0", True), ("8.4.190", True)],
)
def test_versions(version, accepted, monkeypatch):
    monkeypatch.setattr("ultralytics.__version__", version)
    if accepted:
        check_version()
    else:
        with pytest.raises(ImportError, match=rf"supports ultralytics 8.3.200 to 8.4.x, found {version}"):
            check_version()


def test_everything_exported_is_there_and_typed():
    assert all(hasattr(yolo_callbacks, name) for name in yolo_callbacks.__all__)
    assert sorted(yolo_callbacks._MODULES) == sorted(yolo_callbacks.__all__)
    assert resources.files("yolo_callbacks").joinpath("py.typed").is_file()


@pytest.mark.slow
def test_unit_tests_import_neither_torch_nor_ultralytics():
    folders = ["decisions", "metrics", "utils", "state", "config", "cli"]
    script = "import sys, pytest; pytest.main(['--collect-only', '-qq', *sys.argv[1:]]); print(sorted(sys.modules))"
    command = [sys.executable, "-c", script, *(str(Path(__file__).with_name(name)) for name in folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent)
    assert "'yolo_callbacks.decisions.stopping'" in done.stdout
    assert not re.findall(r"'(?:torch|ultralytics)'", done.stdout)
