"""The workspace: its panels against the keys of a real run, and published by the real library to a stand-in server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import digits
import pytest
import wandb
from online_training import train as train_online
from trainings import TINY, as_task
from ultralytics import YOLO
from wandb_runs import Run, read_runs
from wandb_server import WandbServer

from yolo_callbacks import EarlyStopping, MemoryMonitor, ReduceLROnPlateau, SaveBest, WandbLogger, attach
from yolo_callbacks.cli.command import main
from yolo_callbacks.loggers.wandb_parts.workspace import dashboard

# wandb-workspaces 0.4.13 is written for an older pydantic
pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore:Pydantic V1 style:DeprecationWarning")]

TASKS = {"detect": "", "segment": "-seg", "pose": "-pose", "obb": "-obb", "classify": "-cls"}
SECTIONS = {
    *("Quality", "Per class", "Losses, training against validation", "Learning rate", "Memory"),
    *("Validation images", "Final evaluation", "Run comparison"),
}


@pytest.fixture
def needs_workspaces() -> None:
    pytest.importorskip("wandb_workspaces")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "wandb-data"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield
    wandb.teardown()


def panels(specification: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The settings of the panels by section."""
    sections = specification["section"]["panelBankConfig"]["sections"]
    return {section["name"]: [panel["config"] for panel in section["panels"]] for section in sections}


def parts(specification: dict[str, Any], field: str) -> list[str]:
    found = [config.get(field) for section in panels(specification).values() for config in section]
    return [name for names in found if names for name in ([names] if isinstance(names, str) else names)]


def has_value(run: Run, name: str) -> bool:
    """Whether a key of the summary, or of an entry that W&B keeps of a metric there, has a value."""
    key, _, kept = name.rpartition(".")
    if kept in ("max", "min", "last"):
        return isinstance(run.summary.get(key), dict) and kept in run.summary[key]
    return name in run.summary


def data_of(task: str, scenes: Path, folder: Path) -> Path:
    if task == "classify":
        return digits.classification(folder, train=4, val=2)
    # oriented boxes are written by their corners, as outlines are
    return scenes if task == "detect" else as_task(scenes, folder, "segment" if task == "obb" else task)


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.usefixtures("needs_workspaces", "offline")
@pytest.mark.parametrize("task", TASKS)
def test_every_panel_names_keys_that_are_logged(task, train, scenes, tmp_path, fake_device):
    model = YOLO(f"yolo11n{TASKS[task]}.yaml")
    deciders = [kind(skip_untrained=False) for kind in (SaveBest, EarlyStopping, ReduceLROnPlateau)]
    attach(model, *deciders, MemoryMonitor(), WandbLogger(images=2, image_period=1))
    train(model, data=str(data_of(task, scenes, tmp_path / "data")), epochs=2)
    wandb.teardown()
    (run,) = read_runs(tmp_path)
    logged = {key for row in run.rows for key in row}
    classes = ["zero", "one", "two"] if task != "classify" else []
    specification = json.loads(dashboard("p", task=task, classes=classes, dry_run=True))["spec"]

    patterns = parts(specification, "metricRegex")
    assert len(patterns) > 10
    assert [pattern for pattern in patterns if not any(re.search(pattern, key) for key in logged)] == []
    summary = [name.removeprefix("summary_metrics.") for name in parts(specification, "metrics")]
    assert len(summary) >= 3
    assert [name for name in summary if not has_value(run, name)] == []
    assert [key for key in parts(specification, "mediaKeys") if f"{key}/captions" not in logged] == []
    assert set(parts(specification, "xAxis")) == {"epoch"}
    for column in panels(specification)["Run comparison"][1]["columns"]:
        kind, _, name = column["accessor"].partition(":")
        assert name.removesuffix(".value") in run.config if kind == "config" else has_value(run, name)
    absent = {"detect": set(), "classify": {"Per class", "Validation images"}}.get(task, {"Validation images"})
    assert set(panels(specification)) == SECTIONS - absent


@pytest.mark.usefixtures("needs_workspaces")
def test_the_command(tmp_path, monkeypatch, capsys):
    for name, value in {"WANDB_CONFIG_DIR": tmp_path, "WANDB_MODE": "offline", "HOME": tmp_path}.items():
        monkeypatch.setenv(name, str(value))
    assert main(["dashboard", "--project", "crowns", "--entity", "me", "--classes", "tree", "--dry-run"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["project"], shown["entity"]) == ("crowns", "me")
    assert "summary_metrics.per_class/tree/mAP50-95.max" in parts(shown["spec"], "metrics")
    assert set(panels(shown["spec"])) == SECTIONS


def test_without_the_library(monkeypatch, capsys):
    monkeypatch.setattr("yolo_callbacks.loggers.wandb_parts.workspace.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install wandb-workspaces"):
        dashboard("crowns", dry_run=True)
    assert main(["dashboard", "--project", "crowns", "--dry-run"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.training
def test_a_logger_without_the_library_fails_before_the_first_epoch(monkeypatch, train, tmp_path):
    monkeypatch.setattr("yolo_callbacks.loggers.wandb_parts.workspace.find_spec", lambda name: None)
    model = YOLO(TINY)
    attach(model, WandbLogger(dashboard=True, mode="disabled"))
    with pytest.raises(ImportError, match="needs wandb-workspaces"):
        train(model, epochs=1)
    assert not (tmp_path / "run" / "results.csv").exists()


def test_arguments():
    with pytest.raises(TypeError, match="dashboard must be True or False, received 1"):
        WandbLogger(dashboard=1)
    pytest.importorskip("wandb_workspaces")
    with pytest.raises(ValueError, match="task must be one of detect, obb, segment, pose, classify, received 'track'"):
        dashboard("crowns", task="track", dry_run=True)


PUBLISH = """
import json
from yolo_callbacks.loggers.wandb_parts.workspace import dashboard
print(dashboard("crowns", classes=["tree"]))
print(dashboard("crowns", classes=["tree", "shrub"]))
print(json.dumps(json.loads(dashboard("crowns", classes=["tree", "shrub"], dry_run=True))["spec"]))
"""


def without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_ids(item) for key, item in value.items() if key not in ("__id__", "id")}
    return [without_ids(item) for item in value] if isinstance(value, list) else value


@pytest.mark.slow
@pytest.mark.usefixtures("needs_workspaces")
def test_published_and_renewed(interpreter, tmp_path):
    with WandbServer() as server:
        environment = {**server.environment, "WANDB_CONFIG_DIR": str(tmp_path), "HOME": str(tmp_path)}
        ended = interpreter.run(PUBLISH, environment=environment)
        assert ended.status == 0, ended.said
        *urls, specification = [line for line in ended.said.splitlines() if line.startswith(("http", "{"))]
        (name,) = server.views
        assert server.unknown == []
    view = server.views[name]
    assert urls == [f"{server.url}/tester/crowns?nw={name[3:-2]}"] * 2
    assert (view["project"], view["displayName"], view["saved"]) == ("tester/crowns", "YOLO training", 2)
    published = panels(without_ids(view["spec"]))
    assert published == panels(without_ids(json.loads(specification)))


LOGGING = {"images": 0, "log_model": False, "dashboard": True}


@pytest.mark.slow
@pytest.mark.usefixtures("needs_workspaces")
def test_published_once_by_trainings(interpreter, tmp_path, scenes):
    with WandbServer() as server:
        for name in ("first", "second"):
            folder = tmp_path / name / "project"
            folder.mkdir(parents=True)
            train_online(interpreter, folder, scenes, server.environment, arguments=LOGGING)
        assert server.unknown == []
        assert len(server.runs) == 2
        (view,) = server.views.values()
    assert (view["project"], view["saved"]) == ("tester/project", 1)
    bars = [f"summary_metrics.per_class/{name}/mAP50-95.max" for name in ("zero", "one", "two")]
    assert set(bars) <= set(parts(view["spec"], "metrics"))


@pytest.mark.slow
@pytest.mark.usefixtures("needs_workspaces")
def test_a_server_that_knows_no_workspaces_costs_one_warning(interpreter, tmp_path, scenes, monkeypatch):
    monkeypatch.delattr(WandbServer, "_answer_UpsertView2")
    with WandbServer() as server:
        said = train_online(interpreter, tmp_path, scenes, server.environment, arguments=LOGGING)
        (run,) = server.runs.values()
    assert [row["epoch"] for row in run.history if "epoch" in row] == [1, 2, 3, 4]
    assert said.count("W&B: dashboard could not be logged") == 1
