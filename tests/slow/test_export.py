"""Real exports in processes of their own: every task, both formats, kills, missing packages; and rarer cases.

The latter are done by the stand-in, as in `tests/callbacks/test_export_best.py`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import digits
import pytest
import ultralytics
from do_no_harm.arms import MODELS
from exported_runs import described, names, outcome, settle
from stand_in_export import use
from stand_in_trial import StandInTrial
from trainings import FAST, TINY, TINY_OBB, TINY_POSE, TINY_SEGMENT, results_csv
from ultralytics import YOLO

from yolo_callbacks import ExportBest, JsonlLogger, OptunaPruning, SaveBest, attach, detach
from yolo_callbacks.callbacks.export_parts.job import ExportJob

pytestmark = pytest.mark.training

TASKS = {
    "detect": TINY,
    "segment": TINY_SEGMENT,
    "pose": TINY_POSE,
    "obb": TINY_OBB,
    "classify": "yolo11n-cls.yaml",  # an export of the tiny one is too small for Ultralytics 8.4.190
}
TINY_RTDETR = """
nc: 3
backbone:
  - [-1, 1, Conv, [8, 3, 4]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
head:
  - [[1, 2], 1, RTDETRDecoder, [nc, 32, 100, 4, 4, 1, 64]]
"""
KILLED = """
import sys
from trainings import FAST, TINY
from ultralytics import YOLO
from yolo_callbacks import ExportBest, SaveBest, attach

last = sys.argv[3:]
model = YOLO(last[0] if last else TINY)
attach(model, SaveBest(), ExportBest("torchscript"))
arguments = {**FAST, "data": sys.argv[1], "project": sys.argv[2], "name": "run", "epochs": 2, "exist_ok": True}
model.train(resume=True) if last else model.train(**arguments)
"""
LEARNS = {"imgsz": 64, "batch": 8, "nbs": 8, "optimizer": "AdamW", "lr0": 0.01, "mosaic": 0.0, "warmup_epochs": 0}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[str, Path]:
    """A checkpoint that detects digits, and its data set."""
    folder = tmp_path_factory.mktemp("trained")
    data = str(digits.detection(folder / "data", train=16, val=4, size=64))
    model = YOLO(str(MODELS / "learner.yaml"))
    model.train(**{**FAST, **LEARNS, "data": data, "epochs": 16, "project": str(folder), "name": "run"})
    return data, Path(model.trainer.best)


# Real exports ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_exported_and_proven(tmp_path, task, messages):
    data = digits.for_task(tmp_path / "data", task, train=8, val=4, size=64)
    before: dict[Path, bytes] = {}

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}

    model, exports = YOLO(TASKS[task]), (ExportBest(), ExportBest("torchscript"))
    attach(model, *exports, strict=True)
    model.add_callback("on_train_end", lambda trainer: before.update(files()))
    model.train(**{**FAST, "imgsz": 64, "data": str(data), "epochs": 2, "project": str(tmp_path), "name": "run"})
    folder = tmp_path / "run"
    assert [each.verdict for each in exports] == ["proven", "proven"], messages
    found = described(folder, "best.json")["exports"]
    assert found["onnx"]["outputs"]["max_rel"] < 1e-3
    assert found["torchscript"]["outputs"]["max_rel"] < 1e-5
    assert found["onnx"]["mAP"]["metric"] == {"segment": "mAP50-95(M)", "pose": "mAP50-95(P)", "classify": "top1"}.get(
        task, "mAP50-95"
    )
    if task == "classify":
        assert found["onnx"]["boxes"]["checkpoint"] == 12
    assert {"best.onnx", "best.torchscript"} <= names(folder)
    assert before == files()  # the caches of labels too
    assert not [name for name in names(folder) if name.endswith(".tmp")]


def test_a_training_with_one_class_for_all_labels(tmp_path):
    from yolo_callbacks.cli.command import main

    data = digits.detection(tmp_path / "data", train=8, val=4, size=64)
    model, export = YOLO(TINY), ExportBest("torchscript")
    attach(model, export)
    options = {**FAST, "imgsz": 64, "data": str(data), "project": str(tmp_path), "name": "run", "single_cls": True}
    model.train(**options, epochs=1)
    assert export.verdict == "proven", export.reason
    assert described(tmp_path / "run", "best.json")["exports"]["torchscript"]["mAP"]["images"] == 4
    assert main(["export", str(tmp_path / "run"), "--format", "torchscript"]) == 0


def test_a_model_that_selects_its_predictions(tmp_path):
    from ultralytics import RTDETR

    data = digits.detection(tmp_path / "data", train=8, val=4, size=64)
    path = tmp_path / "rtdetr.yaml"
    path.write_text(TINY_RTDETR)
    model, export = RTDETR(str(path)), ExportBest()
    attach(model, export)
    model.train(**{**FAST, "imgsz": 64, "data": str(data), "epochs": 1, "project": str(tmp_path), "name": "run"})
    found = described(tmp_path / "run", "best.json")["exports"]["onnx"]
    assert export.verdict == "proven", found
    assert "outputs" not in found  # rounding decides on the order of its predictions
    assert found["boxes"]["matched"] == 1.0


@pytest.mark.parametrize("task", ["semantic", "depth"])
def test_a_task_without_objects_is_compared_by_its_outputs(tmp_path, task):
    from do_no_harm.data import data_set

    name = {"semantic": "yolo26n-sem.yaml", "depth": "yolo26n-depth.yaml"}[task]
    if not any(Path(ultralytics.__file__).parent.rglob(name.replace("26n", "26"))):
        pytest.skip(f"this version of Ultralytics has no task {task}")
    data = data_set(tmp_path, task)
    model, export = YOLO(name), ExportBest("torchscript")
    attach(model, export)
    model.train(**{**FAST, "data": str(data), "epochs": 1, "project": str(tmp_path), "name": "run"})
    found = described(Path(model.trainer.save_dir), "best.json")["exports"]["torchscript"]
    assert export.verdict == "proven", found
    assert found["outputs"]["max_rel"] < 1e-3
    assert "boxes" not in found


def test_predictions_and_means_of_a_model_that_has_learned(train, trained, monkeypatch):
    data, best = trained
    model, export = YOLO(best), ExportBest(images=None)
    attach(model, export)
    folder = train(model, **{**LEARNS, "lr0": 1e-6}, data=data, epochs=1)
    found = described(folder, "best.json")["exports"]["onnx"]
    assert export.verdict == "proven", found
    assert found["boxes"]["checkpoint"] > 0
    assert found["boxes"]["checkpoint"] == found["boxes"]["export"]
    assert found["boxes"]["matched"] == 1.0
    assert found["mAP"]["checkpoint"] > 0
    assert found["mAP"]["images"] == 4


@pytest.mark.parametrize(
    "arguments", [{"nms": True}, {"dynamic": True}, {"batch": 2}, {"simplify": False, "opset": 17}]
)
def test_arguments_reach_the_export(train, trained, arguments):
    data, best = trained
    model, export = YOLO(best), ExportBest(**arguments)
    attach(model, export)
    folder = train(model, **LEARNS, data=data, epochs=1)
    found = described(folder, "best.json")["exports"]["onnx"]
    # with NMS, the confidence of this model is too low for any prediction
    assert export.verdict == ("unproven" if "nms" in arguments else "proven"), found
    assert ("outputs" not in found) == ("nms" in arguments)

    import onnx

    graph = onnx.load(str(export.exported_path))
    shape = [each.dim_param or each.dim_value for each in graph.graph.input[0].type.tensor_type.shape.dim]
    assert shape[0] == {"dynamic": "batch", "batch": 2}.get(next(iter(arguments)), 1)


def test_a_weight_that_is_changed_on_the_way_is_refused(train, trained, monkeypatch, tmp_path):
    data, best = trained
    fake = tmp_path / "fake"
    fake.mkdir()
    # what Ultralytics lets change the exported graph
    (fake / "onnxslim.py").write_text(
        "import numpy, onnx\n__version__ = '9'\n"
        "def slim(model):\n"
        "    weights = [each for each in model.graph.initializer if len(each.dims) == 4][1]\n"
        "    weights.CopyFrom(onnx.numpy_helper.from_array(1.1 * onnx.numpy_helper.to_array(weights), weights.name))\n"
        "    return model\n"
    )
    monkeypatch.syspath_prepend(str(fake))
    model, export = YOLO(best), ExportBest()
    attach(model, export)
    folder = train(model, **LEARNS, data=data, epochs=1)
    assert export.verdict == "refused"
    assert {"best-refused.onnx"} == {name for name in names(folder) if name.endswith(".onnx")}
    assert "outputs differ by" in outcome(folder)
    assert described(folder, "best.json")["exports"]["onnx"]["file"] == "best-refused.onnx"


def test_a_missing_package_is_named_and_not_installed(train, scripted, monkeypatch, tmp_path, messages):
    fake, called = tmp_path / "fake", tmp_path / "called"
    (fake / "onnx-0.1.dist-info").mkdir(parents=True)
    (fake / "onnx-0.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: onnx\nVersion: 0.1\n")
    (fake / "onnx.py").write_text("raise ModuleNotFoundError(\"No module named 'onnx'\", name='onnx')\n")
    for installer in ("pip", "uv"):
        path = fake / installer
        path.write_text(f"#!/bin/sh\ntouch '{called}'\n")
        path.chmod(0o755)
    monkeypatch.syspath_prepend(str(fake))
    monkeypatch.setenv("PATH", str(fake), prepend=os.pathsep)
    monkeypatch.setenv("YOLO_AUTOINSTALL", "true")
    scripted([0.1, 0.2])
    model, export = YOLO(TINY), ExportBest()
    attach(model, SaveBest(), export)
    model.add_callback("on_train_epoch_end", lambda trainer: settle(trainer, export))
    train(model, epochs=2)
    assert not called.exists()
    text = "the package onnx is not installed: pip install onnx onnxruntime onnxslim"
    assert sum(text in message for message in messages if message.startswith("ExportBest: a copy")) == 1
    assert export.verdict == "failed"


def test_a_kill_in_the_export_leaves_nothing_under_the_good_name_and_a_resume_exports(scenes, tmp_path):
    here = Path(__file__).parent.parent
    path = os.pathsep.join([str(here / "helpers"), *sys.path])
    command = [sys.executable, "-c", KILLED, str(scenes), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": path}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        if "ExportBest: exporting" in line:
            break
    time.sleep(1.0)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    folder = tmp_path / "run"
    assert not [name for name in names(folder) if name.endswith(".torchscript")]
    (temporary,) = [name for name in names(folder) if name.startswith(".export")] or [None]
    deadline = time.monotonic() + 60  # the other process ends, and removes its folder
    while temporary and (folder / "weights" / temporary).exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [name for name in names(folder) if name.startswith(".export")]
    done = subprocess.run([*command, str(folder / "weights" / "last.pt")], env=environment, check=False, timeout=300)
    assert done.returncode == 0
    assert "best-mAP50-95.torchscript" in names(folder)
    assert "as torchscript predicts the same" in outcome(folder)


def test_the_training_is_the_same_with_real_exports(scenes, tmp_path):
    import torch

    found = []
    for name, callbacks in (("without", []), ("with", [ExportBest("torchscript", when="best")])):
        model = YOLO(TINY)
        if callbacks:
            attach(model, *callbacks)
        model.train(**{**FAST, "data": str(scenes), "epochs": 4, "project": str(tmp_path), "name": name})
        rows = [{key: value for key, value in row.items() if key != "time"} for row in results_csv(tmp_path / name)]
        weights = [
            torch.load(tmp_path / name / "weights" / each, weights_only=False)["model"].state_dict()
            for each in ("last.pt", "best.pt")
        ]
        found.append((rows, weights))
    assert found[0][0] == found[1][0]
    for left, right in zip(found[0][1], found[1][1], strict=True):
        assert all(torch.equal(left[key], right[key]) for key in left)


# Rarer cases ----------------------------------------------------------------------------------------------------------


def test_an_export_that_is_a_folder_replaces_that_of_an_earlier_run(train, scripted, monkeypatch):
    use(monkeypatch, suffix="_openvino_model")
    scripted([0.1, 0.1])
    model = YOLO(TINY)
    attach(model, SaveBest(), ExportBest("openvino"))
    folder = train(model, epochs=1, exist_ok=True)
    old = folder / "weights" / "best-mAP50-95_openvino_model" / "old.bin"
    old.write_bytes(b"")
    train(model, epochs=1, exist_ok=True)
    assert (old.parent / "model.bin").is_file()
    assert not old.exists()
    assert not [name for name in names(folder) if name.endswith(".tmp")]


def test_the_chosen_checkpoint_is_exported(train, scripted, monkeypatch):
    use(monkeypatch)
    scripted([0.1, 0.3, 0.2])
    model = YOLO(TINY)
    exports = ExportBest(of="worst"), ExportBest("torchscript"), ExportBest(of="best.pt")
    attach(model, SaveBest(top_k=2), SaveBest("mAP50", mode="min", filename="worst"), *exports)
    folder = train(model, epochs=3)
    assert [each.exported_epoch for each in exports] == [1, 2, 2]
    assert described(folder, "worst.json")["exports"].keys() == {"onnx"}
    assert described(folder, "best-mAP50-95-epoch002.json")["exports"].keys() == {"torchscript"}
    assert "exports" not in described(folder, "best-mAP50-95-epoch003.json")


def test_promote_names_no_epoch_that_it_does_not_know(train, scripted, monkeypatch):
    use(monkeypatch)
    scripted([0.1, 0.3, 0.2])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50", mode="min", promote=True), ExportBest(of="best.pt"))
    folder = train(model, epochs=3)
    assert described(folder, "best.json")["epoch"] is None
    assert "best.pt as onnx predicts the same" in outcome(folder)


def test_without_checkpoints_of_ultralytics(train, scripted, monkeypatch, messages):
    use(monkeypatch)
    scripted([0.1, 0.3, 0.1, 0.3])
    model, export = YOLO(TINY), ExportBest()
    attach(model, SaveBest(), export)
    folder = train(model, epochs=2, save=False)
    assert "best-mAP50-95.onnx" in names(folder)
    detach(model)
    attach(model, JsonlLogger(), export)
    folder = train(model, epochs=2, save=False, name="without")
    assert any("with save=False there is no best.pt" in message for message in messages)
    assert not [name for name in names(folder) if "onnx" in name]


def test_a_best_pt_of_an_earlier_run_is_not_exported(train, scripted, monkeypatch):
    use(monkeypatch)
    scripted([0.1, 0.1])
    folder = train(YOLO(TINY), epochs=1, exist_ok=True)
    model, export = YOLO(TINY), ExportBest()
    attach(model, export)
    # no epoch of this run writes a checkpoint
    model.add_callback("on_train_start", lambda trainer: vars(trainer).update(save_model=lambda: None))
    train(model, epochs=1, exist_ok=True, val=False)
    assert export.exported_path is None
    assert "best.onnx" not in names(folder)


def test_a_plain_function_exports_too(train, scripted, monkeypatch):
    use(monkeypatch)
    scripted([0.1])
    model, export = YOLO(TINY), ExportBest()
    model.add_callback("on_train_end", export.on_train_end)
    folder = train(model, epochs=1)
    assert "best.onnx" in names(folder)


def test_the_export_of_an_evicted_checkpoint_goes(train, scripted, monkeypatch):
    use(monkeypatch)
    scripted([0.1, 0.2, 0.3, 0.4])
    model, export = YOLO(TINY), ExportBest(when="best")
    attach(model, SaveBest(top_k=2), export)
    model.add_callback("on_fit_epoch_end", lambda trainer: settle(trainer, export))
    folder = train(model, epochs=4)
    assert [name for name in sorted(names(folder)) if name.endswith(".onnx")] == ["best-mAP50-95-epoch004.onnx"]


def test_one_export_at_a_time_and_the_last_one_wins(train, scripted, monkeypatch):
    use(monkeypatch, seconds=0.5)
    scripted([0.1, 0.2, 0.3, 0.4, 0.3])
    model, export = YOLO(TINY), ExportBest(when="best")
    started: list[int] = []
    start = ExportJob.start
    monkeypatch.setattr(ExportJob, "start", lambda job: (started.append(job.epoch), start(job)))
    attach(model, SaveBest(), export)
    train(model, epochs=5)
    assert (export.exported_epoch, export.verdict) == (4, "proven")
    assert started[0] == 0  # the untrained copy
    assert started[-1] == 4
    assert len(started) == len(set(started))


def test_a_trial_exports_only_if_asked(train, scripted, monkeypatch):
    use(monkeypatch)
    scripted([0.1, 0.1])
    for trials in (False, True):
        model, export = YOLO(TINY), ExportBest(trials=trials)
        attach(model, SaveBest(), OptunaPruning(StandInTrial()), export)
        folder = train(model, epochs=1, name=f"trials-{trials}")
        assert ("best-mAP50-95.onnx" in names(folder)) == trials
        assert trials or outcome(folder) == "nothing: this is a trial of Optuna (trials=True exports)"


def test_a_resumed_run_does_not_export_the_same_epoch_twice(train, scripted, monkeypatch):
    use(monkeypatch)
    scripted([0.1, 0.4, 0.3, 0.2, 0.2, 0.2])
    model, export = YOLO(TINY), ExportBest(when="best")
    attach(model, SaveBest(), export)

    def wait(trainer):
        settle(trainer, export)
        if trainer.epoch + 1 == 4 and trainer.validator.training:
            raise KeyboardInterrupt

    model.add_callback("on_fit_epoch_end", wait)
    with pytest.raises(KeyboardInterrupt):
        train(model, epochs=6)
    folder = Path(model.trainer.save_dir)
    started: list[int] = []
    start = ExportJob.start
    monkeypatch.setattr(ExportJob, "start", lambda job: (started.append(job.epoch), start(job)))
    scripted([0.2, 0.2, 0.2])
    model = YOLO(folder / "weights" / "last.pt")
    attach(model, SaveBest(), ExportBest(when="best"))
    model.train(resume=True)
    assert started == [0, 2]  # the untrained copy, and the end: that proof is the one of the table
    assert "epoch 2 as onnx predicts the same" in outcome(folder)
