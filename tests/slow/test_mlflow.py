"""MLflow for real: its own server on the loopback address, killed trainings, a search, Ultralytics' own integration."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow_runs import Run, read_runs
from mlflow_server import Gate, real_server
from trainings import FAST, TINY, TINY_CLASSIFY, TINY_OBB, TINY_POSE, TINY_SEGMENT, as_task
from ultralytics import YOLO

from yolo_callbacks import Callback, MLflowLogger, SaveBest, WandbLogger, attach, extend
from yolo_callbacks.loggers.mlflow_parts.names import MetricNames

pytestmark = pytest.mark.training

pytest.importorskip("mlflow.server.fastapi_app", reason="MLflow's server comes with mlflow, not with mlflow-skinny")
HELPERS = Path(__file__).parents[1] / "helpers"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with real_server(tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture
def gate(server: str) -> Iterator[Gate]:
    with Gate(server) as gate:
        yield gate


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    store = f"file:{tmp_path}/store"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    return store


def runs_of(url: str, experiment: str) -> list[Run]:
    return [run for run in read_runs(url) if run.experiment == experiment]


class AfterEpoch(Callback):
    """Call a function after an epoch, once the rows of the epochs before it have arrived."""

    is_logger = True

    def __init__(self, epoch: int, function: Any) -> None:
        self.epoch, self.function = epoch, function

    def on_epoch(self, run: Any, record: Any) -> None:
        if record.epoch == self.epoch:
            self.function()


def wait_until_sent(logger: MLflowLogger) -> None:
    session = logger._session
    while session._outbox.left():
        time.sleep(0.02)


# A real server -------------------------------------------------------------------------------------------------------


def test_the_same_keys_and_values_as_in_weights_and_biases(train, two_of_three, server, monkeypatch):
    import wandb
    import wandb_runs

    monkeypatch.setenv("WANDB_MODE", "offline")
    model = YOLO(TINY)
    ours = MLflowLogger("both", tracking_uri=server, images=2, registered_name="both", finish_timeout=100)
    callbacks = SaveBest("mAP50", skip_untrained=False), WandbLogger(images=2, batch_period=0), ours

    class NotANumber(Callback):
        def on_epoch(self, run: Any, record: Any) -> None:
            record.log("mine/nan", float("nan"))
            record.log("mine/large", 1e300)

    attach(model, NotANumber(), *callbacks, strict=True, report=True)
    folder = train(model, data=str(two_of_three), epochs=3, plots=True)
    wandb.teardown()
    (theirs,) = wandb_runs.read_runs(folder)
    (run,) = runs_of(server, "both")
    names = MetricNames()
    expected: dict[str, list[tuple[int, float]]] = {}
    for row in theirs.rows:
        epoch = row.get("epoch", 3)
        for key, value in row.items():
            own = key.startswith("_") or "images" in key or key.startswith(("plots/", "curves/", "confusion"))
            if not own and isinstance(value, (int, float)):
                expected.setdefault(names.of(key), []).append((epoch, value))
    assert "final/metrics/mAP50-95B" in expected
    assert {name: repr(points) for name, points in run.points.items()} == {
        name: repr([(epoch, float(value)) for epoch, value in points]) for name, points in expected.items()
    }
    assert run.status == "FINISHED"
    config = {key: value for key, value in theirs.config.items() if key != "_wandb"}
    assert json.loads(json.dumps(config)) == _config(server, run)
    assert {"model/best.pt", "weights/best-mAP50.json", "report.html", "callbacks.json", "plots/results.png"} <= set(
        run.artifacts
    )
    assert ours.outcome() == f"both version 1 is 'best'; run {run.id} in {server}"


def _config(url: str, run: Run) -> Any:
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=url)
    return json.loads(Path(client.download_artifacts(run.id, "config.json")).read_text())


@pytest.mark.parametrize("task", ["segment", "pose", "obb", "classify"])
def test_images_of_every_task(train, scenes, tmp_path, uri, task):
    import digits

    models = {"segment": TINY_SEGMENT, "pose": TINY_POSE, "obb": TINY_OBB, "classify": TINY_CLASSIFY}
    if task == "classify":
        data = digits.classification(tmp_path / "digits", train=8, val=4, size=32)
    else:
        data = as_task(scenes, tmp_path / task, "segment" if task == "obb" else task)
    model = YOLO(models[task], task=task)
    attach(model, MLflowLogger("tasks", images=2, finish_timeout=60), strict=True)
    train(model, data=str(data), epochs=1)
    (run,) = read_runs(uri)
    images = {path.partition("+step+")[0].rpartition("~")[0] for path in run.artifacts if path.startswith("images/")}
    assert images == {"images/validation~images", "images/final~images"}
    assert run.tags["yolo_callbacks.task"] == task


@pytest.mark.parametrize("fault", ["drop", "hang", "500", "401"])
def test_a_server_that_dies_and_comes_back(train, scripted, gate, server, fault):
    """Rows of the time without it arrive once, when it is back."""
    scripted([0.1, 0.2, 0.3, 0.4])
    logger = MLflowLogger(f"back-{fault}", tracking_uri=gate.url, images=0, init_timeout=1, finish_timeout=100)
    model = YOLO(TINY)
    faults = (
        AfterEpoch(2, lambda: (wait_until_sent(logger), setattr(gate, "fault", fault))),
        AfterEpoch(4, lambda: setattr(gate, "fault", None)),
    )
    attach(model, logger, *faults, strict=True)
    train(model, epochs=4)
    (run,) = runs_of(server, f"back-{fault}")
    assert (run.status, run.points["metrics/mAP50B"]) == ("FINISHED", [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)])
    assert logger.outcome() == f"run {run.id} in {gate.url}"


@pytest.mark.parametrize("fault", ["drop", "hang", "403"])
def test_a_server_that_dies_for_good_and_a_resume(train, scripted, gate, server, fault, messages):
    """The table names what is missing; a training that is extended logs it."""
    scripted([0.1, 0.2, 0.3])
    logger = MLflowLogger(f"gone-{fault}", tracking_uri=gate.url, images=0, init_timeout=1, finish_timeout=3)
    model = YOLO(TINY)
    dies = AfterEpoch(1, lambda: (wait_until_sent(logger), setattr(gate, "fault", fault)))
    attach(model, logger, dies, strict=True, keep_resumable=True)
    folder = train(model, epochs=3)
    (run,) = runs_of(server, f"gone-{fault}")
    assert (run.status, run.steps("epoch")) == ("RUNNING", [1])
    assert logger.outcome().startswith("not logged: rows of epochs 2-3, best.pt, results.csv")
    gate.fault = None
    scripted([0.4])
    more = MLflowLogger(f"gone-{fault}", tracking_uri=gate.url, images=0, finish_timeout=100)
    extend(folder, more, epochs=4, strict=True)
    (run,) = runs_of(server, f"gone-{fault}")
    assert (run.status, run.steps("epoch"), run.steps("fitness")) == ("FINISHED", [1, 2, 3, 4], [1, 2, 3, 4])
    assert messages


def test_lost_answers_make_no_second_run_and_no_second_point(train, scripted, gate, server):
    """The server has carried out what it was asked for, and the answer is lost."""
    scripted([0.1, 0.2, 0.3])
    logger = MLflowLogger("lost", tracking_uri=gate.url, images=0, init_timeout=5, finish_timeout=100)
    gate.loses_answers = 5
    model = YOLO(TINY)
    attach(model, logger, AfterEpoch(2, lambda: setattr(gate, "loses_answers", 3)), strict=True)
    train(model, epochs=3)
    (run,) = runs_of(server, "lost")
    assert (run.status, run.steps("epoch"), run.steps("metrics/mAP50B")) == ("FINISHED", [1, 2, 3], [1, 2, 3])
    assert logger.outcome() == f"run {run.id} in {gate.url}"


# Processes of their own ----------------------------------------------------------------------------------------------

KILLED = """
import os, signal
from trainings import FAST, TINY, detection_metrics
from ultralytics import YOLO
from yolo_callbacks import MLflowLogger, attach
last = f"{folder}/run/weights/last.pt"
model = YOLO(last if os.path.isfile(last) else TINY)
attach(model, MLflowLogger("killed", images=0, finish_timeout=60))

def kill(trainer):
    if trainer.epoch + 1 == epoch:
        os.kill(os.getpid(), getattr(signal, how))

model.add_callback("on_train_epoch_end", kill)
if os.path.isfile(last):
    model.train(resume=True)
else:
    model.train(**{**FAST, "data": data, "epochs": 5, "project": folder, "name": "run"})
"""


@pytest.mark.parametrize(("how", "status"), [("SIGKILL", "RUNNING"), ("SIGTERM", "KILLED"), ("SIGINT", "KILLED")])
def test_a_killed_training_continues_its_run(interpreter, scenes, tmp_path, uri, how, status):
    names = {"data": str(scenes), "folder": str(tmp_path), "how": how}
    environment = {"MLFLOW_TRACKING_URI": uri}
    killed = interpreter.run(KILLED, environment=environment, epoch=3, **names)
    assert killed.status in (-signal.SIGKILL, 143, -signal.SIGINT, 1, 130), killed.said
    before = read_runs(uri)
    if how != "SIGKILL":
        assert [(run.status, run.steps("epoch")) for run in before] == [(status, [1, 2])]
    ended = interpreter.run(KILLED, environment=environment, epoch=0, **names)
    assert ended.status == 0, ended.said
    runs = read_runs(uri)
    complete = runs[-1]
    assert len(runs) == 1
    assert (complete.status, complete.steps("epoch")) == ("FINISHED", [1, 2, 3, 4, 5])
    assert complete.steps("final/metrics/mAP50B") == [5]


INTEGRATION = """
from trainings import FAST, SETTINGS, TINY
SETTINGS.update(mlflow=True)
from ultralytics import YOLO
from yolo_callbacks import MLflowLogger, attach
model = YOLO(TINY)
if ours:
    attach(model, MLflowLogger("ours", images=0, finish_timeout=60), strict=True)
model.train(**{**FAST, "data": data, "epochs": 1, "project": folder, "name": "run"})
"""


@pytest.mark.parametrize("ours", [True, False])
def test_the_integration_of_ultralytics(interpreter, scenes, tmp_path, uri, ours):
    ended = interpreter.run(
        INTEGRATION, environment={"MLFLOW_TRACKING_URI": uri}, data=str(scenes), folder=str(tmp_path), ours=ours
    )
    assert ended.status == 0, ended.said
    (run,) = read_runs(uri)
    assert (run.experiment == "ours") is ours
    assert ("Ultralytics' own MLflow integration is off" in ended.said) is ours
    # from 8.4.52 on the final evaluation is one more epoch of theirs
    assert run.steps("metrics/mAP50B") in ([[1]] if ours else [[0, 1], [0, 0]])


def test_iterations_of_a_search_are_children_of_the_active_run(scenes, tmp_path, uri):
    (tmp_path / "callbacks.yaml").write_text("callbacks:\n  - MLflowLogger: {images: 0, finish_timeout: 60}\n")
    given = {**FAST, "epochs": 1, "data": str(scenes), "project": str(tmp_path / "crowns"), "name": "search"}
    (tmp_path / "search.py").write_text(
        "import mlflow\n"
        "from trainings import TINY\n"
        "from ultralytics import YOLO\n"
        "with mlflow.start_run(run_name='search'):\n"
        f"    YOLO(TINY).tune(iterations=2, **{given!r})\n"
    )
    root = HELPERS.parents[1]
    path = os.pathsep.join([str(root), str(HELPERS), os.environ.get("PYTHONPATH", "")])
    theirs = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "WANDB"))}
    done = subprocess.run(
        [sys.executable, "search.py"], cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False,
        env={**theirs, "PYTHONPATH": path, "YOLO_CALLBACKS": "callbacks.yaml", "WANDB_MODE": "disabled"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    parent, *iterations = read_runs(uri)
    assert parent.name == "search"
    assert [run.tags["mlflow.parentRunId"] for run in iterations] == [parent.id] * 2
    assert {run.tags["yolo_callbacks.search"] for run in iterations} == {"search"}
    assert [run.steps("epoch") for run in iterations] == [[1], [1]]
