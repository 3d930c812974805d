"""The examples: the scripts, the notebook, and the two examples of the glossary page on callbacks as written there."""

from __future__ import annotations

import json
import os
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import digits
import pytest
from trainings import FAST, TINY, TINY_CLASSIFY, results_csv
from ultralytics import YOLO

from yolo_callbacks import EarlyStopping, SaveBest, StoppingReason, attach

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

pytestmark = pytest.mark.training


def slow(*values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits.classification(tmp_path_factory.mktemp("crops"), train=8, val=4)


@pytest.fixture
def ray():
    """Let the script start its own small cluster, and end that."""
    found = pytest.importorskip("ray")
    found.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield found
    found.shutdown()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("save_best_by_map.py", r"Best mAP50-95 \S+ at epoch \d: \S+best-mAP50-95.pt"),
        slow("stop_classification.py", "Not stopped, . of 10 epochs without a lower loss"),
        pytest.param(
            "reduce_lr_on_plateau.py",
            r"Learning rate reduced at epochs \[\], to 1 of its schedule",
            marks=pytest.mark.slow,
        ),
        slow("monitors.py", r"f1: \S+ at epoch 1, \S+best-f1.pt"),
        pytest.param(
            "promote_and_guard.py", r"The model is that of epoch \d, with a recall of \d", marks=pytest.mark.slow
        ),
        slow("memory.py", r"run 2: .*host_process.* GiB freed"),
        slow("failing_images.py", r"images/val/\w+\.png: \d+ right, \d+ false, \d+ missed"),
        slow("export_best.py", r"best-mAP50.torchscript is proven: outputs differ by \S+"),
        slow("optuna_search.py", r"\d of 6 trials pruned: \d+ of 12 epochs trained in \d+ s\n\d epochs saved, at \d"),
        slow("validate_every.py", r"Validated 1 of 2 epochs, kept \S+best-mAP50-95.pt"),
        slow("ray_search.py", r"\d of 8 epochs trained, \d saved\nbest mAP50 "),
        slow("learning_rate_schedule.py", "polynomial: 0.536 of the base rate in the last epoch"),
        slow("unfreeze.py", "Trained at the end: head"),
        slow("mirror.py", r"Epoch 1 was in the store when the machine was lost, 2 is now\nThe run is in \S+first"),
        slow("stop_on_overfit.py", "Stopped at epoch 0, not by overfitting"),
    ],
)
def test_every_example_runs(script, said, tmp_path, scenes, crops, monkeypatch, capsys, blank_figures, request):
    data = crops if "classification" in script else scenes
    arguments = ["--data", str(data), "--epochs", "2", "--imgsz", "32", "--project", str(tmp_path)]
    if script == "ray_search.py":
        request.getfixturevalue("ray")
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    monkeypatch.syspath_prepend(str(EXAMPLES))
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    assert re.search(said, capsys.readouterr().out)


def test_no_example_is_forgotten():
    cases = [case for mark in test_every_example_runs.pytestmark for case in mark.args[1]]
    tested = {getattr(case, "values", case)[0] for case in cases}
    assert tested == {path.name for path in EXAMPLES.glob("*.py")} - {"arguments.py"}
    assert [path.name for path in EXAMPLES.glob("*.ipynb")] == ["quickstart.ipynb"]


def test_the_links_of_the_notebook_lead_somewhere():
    import nbformat  # not on every machine with a GPU

    notebook = nbformat.read(EXAMPLES / "quickstart.ipynb", as_version=4)
    links = re.findall(r"\]\(([^)#]+)#?([^)]*)\)", "".join(cell.source for cell in notebook.cells))
    assert links
    for target, anchor in links:
        text = (EXAMPLES / target).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        assert anchor in ["", *(re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings)]


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(EXAMPLES / "quickstart.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # it is committed without outputs
    size = next(cell for cell in notebook.cells if cell.source.startswith("EPOCHS, SIZE = "))
    size.source = f"EPOCHS, SIZE, MODEL = 2, 32, {TINY!r}"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output.data for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    tables = [data["text/markdown"] for data in shown if "text/markdown" in data]
    assert re.search(r"best-mAP50-epoch00[12]\.pt` \| [12] \| 0\.\d{4} ", tables[0])
    assert "EarlyStopping: not stopped" in tables[0]
    assert any("image/png" in data for data in shown)
    assert any("iframe srcdoc=" in data.get("text/html", "") for data in shown)


@pytest.mark.slow
def test_the_best_by_map_of_a_model_that_learns(tmp_path):
    """Twelve real epochs in which mAP rises from 0: best by mAP, by one class, and what is known of each file."""
    data = digits.detection(tmp_path / "data", train=64)
    model = YOLO("yolo11n.yaml")
    best, one, stopping = SaveBest("mAP50"), SaveBest("mAP50-95/one", keep_optimizer=True), EarlyStopping(patience=9)
    attach(model, best, one, stopping)
    model.train(**{**FAST, "data": str(data), "epochs": 12, "imgsz": 96, "project": str(tmp_path), "name": "run"})
    rows = results_csv(tmp_path / "run")
    values = [row["metrics/mAP50(B)"] for row in rows]
    assert max(values) > 0.5
    assert (best.best_score, best.best_epoch) == (max(values), values.index(max(values)) + 1)
    assert YOLO(best.best_model_path).val(data=str(data), imgsz=96, device="cpu", plots=False).box.map50 > 0.5
    sidecar = json.loads(one.best_model_path.with_suffix(".json").read_text())
    assert sidecar["value"] == sidecar["per_class"]["mAP50-95(B)"]["one"] == one.best_score
    assert 0 < sidecar["best_confidence"]["one"] < 1


# The rate makes the loss rise after a few epochs.
@pytest.mark.parametrize(("name", "rate"), [(TINY_CLASSIFY, 0.006), slow("yolo11n-cls.yaml", 0.02)])
def test_a_classification_stops_after_ten_epochs_without_a_lower_loss(tmp_path, crops, name, rate):
    model, stopping = YOLO(name), EarlyStopping("val/loss", patience=10)
    attach(model, stopping, SaveBest())
    arguments = {**FAST, "data": str(crops), "epochs": 60, "project": str(tmp_path), "name": "run"}
    model.train(**arguments, lr0=rate, patience=0, optimizer="SGD")
    losses = [row["val/loss"] for row in results_csv(tmp_path / "run")]
    lowest = losses.index(min(losses)) + 1
    assert (stopping.best_epoch, stopping.stopped_epoch) == (lowest, lowest + 10)
    assert len(losses) == stopping.stopped_epoch < 60
    assert stopping.stopping_reason is StoppingReason.PATIENCE_EXHAUSTED
    assert (tmp_path / "run" / "weights" / "best-top1.pt").is_file()
