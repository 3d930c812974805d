"""ExportBest: which checkpoint it exports and when, and what becomes of the export; a stand-in does the exports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import stand_in_export
from exported_runs import described, names, outcome, settle
from stand_in_export import PROVEN, REFUSED, command, use
from trainings import TINY
from ultralytics import YOLO

from yolo_callbacks import ExportBest, SaveBest, attach, detach
from yolo_callbacks.callbacks.export_parts.finding import Finding
from yolo_callbacks.callbacks.export_parts.job import ExportJob
from yolo_callbacks.decisions.export_proof import DEFAULT_TOLERANCES
from yolo_callbacks.trainer.export_request import ExportRequest, ValidationSet

# Arguments ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"format": "onxx"}, ValueError, "did you mean 'onnx'"),
        ({"format": 1}, TypeError, "format"),
        ({"when": "always"}, ValueError, "when must be 'end' or 'best'"),
        ({"of": 3}, TypeError, "of"),
        ({"tolerance": "0.1"}, TypeError, "tolerance"),
        ({"tolerance": -0.1}, ValueError, "tolerance"),
        ({"tolerance": {"map": 0.1}}, ValueError, "did you mean 'mAP'"),
        ({"tolerance": {"mAP": -1}}, ValueError, "mAP"),
        ({"images": 0}, ValueError, "images"),
        ({"images": 1.5}, TypeError, "images"),
        ({"timeout": 0}, ValueError, "timeout"),
        ({"trials": 1}, TypeError, "trials"),
        ({"dynamik": True}, TypeError, "did you mean 'dynamic'"),
        ({"when_": "best"}, TypeError, "did you mean 'when'"),
    ],
)
def test_a_wrong_argument_raises(given, error, text):
    with pytest.raises(error, match=text):
        ExportBest(**given)


def test_two_exports_of_one_checkpoint_in_one_format_are_refused():
    with pytest.raises(ValueError, match="both write the export of the best checkpoint to onnx"):
        attach(YOLO(TINY), ExportBest(), ExportBest())
    attach(YOLO(TINY), ExportBest(), ExportBest("torchscript"), ExportBest(of="best.pt"))


def test_a_tolerance_changes_some_of_the_defaults():
    from yolo_callbacks.callbacks.export_parts.tolerance import complete_tolerance

    assert complete_tolerance(None, "fp16") == DEFAULT_TOLERANCES["fp16"]
    assert complete_tolerance(0.1, "fp32") == {**DEFAULT_TOLERANCES["fp32"], "mAP": 0.1}
    assert complete_tolerance({"boxes": 0.2}, "int8") == {**DEFAULT_TOLERANCES["int8"], "boxes": 0.2}


@pytest.mark.training
def test_an_unknown_checkpoint_raises_before_the_first_epoch(train):
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"), ExportBest(of="mAP5"))
    with pytest.raises(ValueError, match="received 'mAP5', did you mean 'mAP50'"):
        train(model, epochs=1)


# At the end -----------------------------------------------------------------------------------------------------------


@pytest.mark.training
def test_a_proven_export_gets_the_name_of_its_checkpoint(train, scripted, monkeypatch, messages):
    use(monkeypatch)
    scripted([0.1, 0.3, 0.2])
    model, export = YOLO(TINY), ExportBest(dynamic=True, tolerance={"boxes": 0.2})
    attach(model, export, SaveBest())  # in any order
    folder = train(model, epochs=3)
    assert names(folder) == {"last.pt", "best.pt", "best-mAP50-95.pt", "best-mAP50-95.json", "best-mAP50-95.onnx"}
    assert (export.verdict, export.exported_epoch) == ("proven", 2)
    assert export.exported_path == folder / "weights" / "best-mAP50-95.onnx"
    content = described(folder)
    assert (content["epoch"], content["value"]) == (2, 0.3)  # what SaveBest has written stays
    entry = content["exports"]["onnx"]
    assert (entry["verdict"], entry["file"]) == ("proven", "best-mAP50-95.onnx")
    assert entry["arguments"] == {"imgsz": 32, "dynamic": True}
    assert entry["tolerance"] == {**DEFAULT_TOLERANCES["fp32"], "boxes": 0.2}
    assert (entry["boxes"], entry["mAP"]) == (PROVEN["boxes"], PROVEN["mAP"])
    assert "epoch 2 as onnx predicts the same" in outcome(folder)
    said = [message for message in messages if message.startswith("ExportBest")]
    assert said == ["ExportBest: exporting best-mAP50-95.pt to onnx and comparing both on 4 images, at most 600 s"]


@pytest.mark.training
def test_a_refused_export_never_has_the_good_name(train, scripted, monkeypatch, messages):
    use(monkeypatch, result=REFUSED)
    scripted([0.1] * 3)
    model, export = YOLO(TINY), ExportBest()
    attach(model, SaveBest(), export)
    folder = train(model, epochs=1, exist_ok=True)
    assert "best-mAP50-95.onnx" not in names(folder)
    assert "best-mAP50-95-refused.onnx" in names(folder)
    assert described(folder)["exports"]["onnx"]["verdict"] == "refused"
    text = "mAP50-95 is 0.1 instead of 0.5 (tolerance 0.005)"
    assert text in outcome(folder)
    assert any(text in message for message in messages)

    use(monkeypatch)  # the same folder again, with an export that is right
    detach(model)
    attach(model, SaveBest(), export)
    train(model, epochs=1, exist_ok=True)
    assert "best-mAP50-95.onnx" in names(folder)
    assert "best-mAP50-95-refused.onnx" not in names(folder)

    use(monkeypatch, result=REFUSED)
    detach(model)
    attach(model, SaveBest(), export)
    train(model, epochs=1, exist_ok=True)
    assert "best-mAP50-95.onnx" not in names(folder)


@pytest.mark.training
@pytest.mark.parametrize(
    ("behaviour", "verdict", "reason"),
    [
        (
            {"suffix": None, "result": {"error": "No module named 'onnx'", "missing": "onnx", "stage": "export"}},
            "failed",
            "the package onnx is not installed: pip install onnx onnxruntime onnxslim",
        ),
        ({"suffix": None, "exit": 3, "text": "a line\nhttps://me:secret@host/x\n"}, "failed", "exit code 3: https://host/x"),
        ({"seconds": 60}, "failed", "it took more than 1 s"),
        ({"result": {"error": "no runtime", "stage": "compare"}}, "unproven", "no runtime"),
    ],
)  # fmt: skip
def test_what_fails_is_said_and_ends_no_training(train, scripted, monkeypatch, messages, behaviour, verdict, reason):
    use(monkeypatch, **behaviour)
    scripted([0.1])
    model, export = YOLO(TINY), ExportBest(timeout=1.0)
    attach(model, SaveBest(), export, strict=True)
    folder = train(model, epochs=1)
    assert export.verdict == verdict
    assert reason in outcome(folder)
    assert "best-mAP50-95.onnx" not in names(folder)
    assert ("best-mAP50-95-unproven.onnx" in names(folder)) == (verdict == "unproven")
    assert described(folder)["exports"]["onnx"]["reason"] in outcome(folder)
    assert not [name for name in names(folder) if name.endswith(".tmp")]
    assert not [message for message in messages if "secret" in message]


@pytest.mark.training
@pytest.mark.parametrize("is_folder", [False, True])
def test_a_failed_export_leaves_none_of_an_earlier_run(train, scripted, monkeypatch, is_folder):
    use(monkeypatch, suffix=None, exit=3)
    scripted([0.1])
    model, export = YOLO(TINY), ExportBest("openvino" if is_folder else "onnx")
    attach(model, SaveBest(), export)
    old = []

    def leave_old(trainer):
        old.append(Path(trainer.wdir) / ("best-mAP50-95_openvino_model" if is_folder else "best-mAP50-95.onnx"))
        old[0].mkdir() if is_folder else old[0].touch()

    model.add_callback("on_train_end", leave_old)
    train(model, epochs=1)
    assert export.verdict == "failed"
    assert not old[0].exists()


@pytest.mark.training
def test_best_pt_has_a_json_of_its_own(train, scripted, monkeypatch):
    use(monkeypatch)
    scripted([0.1, 0.3, 0.2])
    model = YOLO(TINY)
    attach(model, ExportBest())
    folder = train(model, epochs=3)
    assert names(folder) == {"last.pt", "best.pt", "best.onnx", "best.json"}
    content = described(folder, "best.json")
    assert (content["epoch"], content["exports"]["onnx"]["verdict"]) == (2, "proven")


# During the training --------------------------------------------------------------------------------------------------


@pytest.mark.training
def test_each_new_best_is_exported(train, scripted, monkeypatch):
    use(monkeypatch)
    scripted([0.0, 0.2, 0.3, 0.1, 0.1, 0.1])
    model, export, seen = YOLO(TINY), ExportBest(when="best"), {}
    attach(model, SaveBest(top_k=1), export)

    def wait(trainer):
        if trainer.validator.training:
            settle(trainer, export)
            seen[trainer.epoch + 1] = export.exported_epoch

    model.add_callback("on_fit_epoch_end", wait)
    folder = train(model, epochs=6)
    # Nothing of the stand-in of epoch 1; each export is taken over in the epoch after it.
    assert seen == {1: 0, 2: 0, 3: 2, 4: 3, 5: 3, 6: 3}
    assert described(folder)["exports"]["onnx"]["file"] == "best-mAP50-95.onnx"


@pytest.mark.training
@pytest.mark.parametrize(
    ("untrained", "text"),
    [
        ({"result": {"error": "AssertionError: unsupported", "stage": "export"}}, "unsupported"),
        ({"result": {**PROVEN, "outputs": {**PROVEN["outputs"], "max_rel": 0.5}}}, "outputs differ by 0.5"),
    ],
)
def test_a_model_that_cannot_be_exported_is_known_early(train, scripted, monkeypatch, messages, untrained, text):
    use(monkeypatch, untrained=untrained)
    scripted([0.1, 0.2])
    model, export, known = YOLO(TINY), ExportBest(), []
    attach(model, SaveBest(), export)
    model.add_callback("on_train_epoch_end", lambda trainer: settle(trainer, export))
    model.add_callback("on_fit_epoch_end", lambda trainer: known.append([each for each in messages if text in each]))
    train(model, epochs=2)
    assert known[0]
    assert sum(text in message for message in messages) == 1
    assert export.verdict == "proven"  # it is tried again at the end


@pytest.mark.training
def test_the_process_installs_nothing_and_is_no_rank(train, scripted, monkeypatch, tmp_path):
    use(monkeypatch, environment=str(tmp_path / "environment.json"))
    scripted([0.1])
    monkeypatch.setenv("YOLO_AUTOINSTALL", "true")
    monkeypatch.setenv("YOLO_CALLBACKS", "default")
    monkeypatch.setenv("WANDB_RUN_ID", "mine")
    model = YOLO(TINY)
    attach(model, SaveBest(), ExportBest())
    train(model, epochs=1)
    found = json.loads((tmp_path / "environment.json").read_text())
    assert (found["YOLO_AUTOINSTALL"], found["CUDA_VISIBLE_DEVICES"]) == ("false", "-1")
    assert not {"YOLO_CALLBACKS", "WANDB_RUN_ID", "RANK", "LOCAL_RANK"} & set(found)


# Runs that are not to be exported -------------------------------------------------------------------------------------


@pytest.mark.training
def test_a_failed_training_exports_nothing(train, scripted, monkeypatch):
    use(monkeypatch)
    scripted([0.1, 0.2])
    model, export = YOLO(TINY), ExportBest()
    attach(model, SaveBest(), export)

    def fail(trainer):
        raise RuntimeError("mine")

    model.add_callback("on_train_epoch_start", lambda trainer: trainer.epoch == 1 and fail(trainer))
    with pytest.raises(RuntimeError, match="mine"):
        train(model, epochs=2)
    folder = Path(model.trainer.save_dir)
    assert not [name for name in names(folder) if "onnx" in name or name.endswith(".tmp")]
    assert outcome(folder) == "nothing: the training did not reach its end"


@pytest.mark.training
def test_no_export_stays_beside_a_better_checkpoint(train, scripted, monkeypatch):
    use(monkeypatch)
    scripted([0.1, 0.2, 0.3])
    model, export, seen = YOLO(TINY), ExportBest(when="best"), []
    attach(model, SaveBest(), export)

    def wait(trainer):
        settle(trainer, export)
        if trainer.epoch == 2:
            seen.append(export.exported_epoch)
            raise KeyboardInterrupt

    model.add_callback("on_fit_epoch_end", wait)
    with pytest.raises(KeyboardInterrupt):
        train(model, epochs=4)
    assert seen == [2]  # the export of epoch 3 has begun
    assert not [name for name in names(Path(model.trainer.save_dir)) if "onnx" in name or name.endswith(".tmp")]


@pytest.mark.training
def test_ctrl_c_in_the_export_gives_it_up_and_keeps_the_run(train, scripted, monkeypatch):
    use(monkeypatch, seconds=60)
    scripted([0.1])
    model, export = YOLO(TINY), ExportBest()
    attach(model, SaveBest(), export)
    wait = ExportJob.wait

    def interrupted(job, timeout):
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        wait(job, timeout)

    monkeypatch.setattr(ExportJob, "wait", interrupted)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(model, epochs=1)
    finally:
        signal.signal(signal.SIGALRM, before)
    folder = Path(model.trainer.save_dir)
    assert json.loads((folder / "callbacks.json").read_text())["summary"]["status"] == "finished"
    assert "interrupted by KeyboardInterrupt" in outcome(folder)
    assert not [name for name in names(folder) if "onnx" in name or name.endswith(".tmp")]


# The process ----------------------------------------------------------------------------------------------------------


def job_in(folder: Path, **given) -> ExportJob:
    checkpoint = folder / "best.pt"
    checkpoint.write_bytes(b"checkpoint")
    request = ExportRequest("detect", "onnx", {"imgsz": 32}, "best.pt", None, ValidationSet(()))
    return ExportJob(request, checkpoint, folder, **given)


def test_the_process_ends_with_the_one_that_has_started_it(tmp_path):
    # the real process, which sees the end of its input before it has imported torch
    job = job_in(tmp_path)
    job.start()
    process = job._process
    process.stdin.close()
    assert process.wait(60) != 0
    deadline = time.monotonic() + 60
    while job.folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not job.folder.exists()


def test_a_process_that_fails_meanwhile_removes_its_folder_too(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "request.json").write_text("{}")
    code = """
import shutil, sys, threading, time
from pathlib import Path
from yolo_callbacks.trainer import export_process
remove = shutil.rmtree
removing = threading.Event()
shutil.rmtree = lambda *given, **options: (removing.set(), time.sleep(0.5), remove(*given, **options))
export_process.parse_json = lambda text: (removing.wait(60), 1 / 0)
export_process.main(Path(sys.argv[1]))
"""
    arguments = [sys.executable, "-c", code, str(tmp_path / "work")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, env=environment, start_new_session=True)
    process.stdin.close()
    assert process.wait(60) == -signal.SIGKILL
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_job_that_is_closed_before_its_process_starts_leaves_none(tmp_path, monkeypatch, when):
    job = job_in(tmp_path, command=command(trained={"seconds": 60}))
    if when == "before":
        job.close()
    else:
        launch = job._launch
        monkeypatch.setattr(job, "_launch", lambda: (job.close(), job.folder.mkdir(), launch()))
    job.start()
    assert job._process is None or job._process.poll() is not None
    assert [path.name for path in tmp_path.iterdir()] == ["best.pt"]


def test_an_export_in_a_folder_of_the_exporter(tmp_path):
    job = job_in(tmp_path)
    assert job.exported({"file": "best_saved_model/best_edgetpu.tflite"}) == (
        job.folder / "best_saved_model" / "best_edgetpu.tflite"
    )
    assert [job.exported({"file": file}) for file in ("", "/etc/passwd", "../../best.onnx")] == [None] * 3
    assert job.exported({}) is None


def test_the_process_names_an_export_in_a_folder_of_the_exporter(tmp_path, monkeypatch):
    from yolo_callbacks.trainer import export_comparison, export_process

    def export(checkpoint, request):
        made = tmp_path / "best_saved_model" / "best_edgetpu.tflite"
        made.parent.mkdir()
        made.write_bytes(b"1")
        return made

    monkeypatch.setattr(export_process, "_run_exporter", export)
    monkeypatch.setattr(export_comparison.Comparison, "figures", lambda self, folder: {})
    request, found = job_in(tmp_path).request, {}
    export_process._export(tmp_path, request, found)
    assert found["file"] == "best_saved_model/best_edgetpu.tflite"


def test_a_closed_job_leaves_neither_process_nor_folder(tmp_path):
    job = job_in(tmp_path, command=command(trained={"seconds": 60}))
    job.start()
    pid = job._process.pid
    job.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["best.pt"]


def test_a_job_in_a_relative_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = job_in(Path(), command=command())
    job.start()
    job.wait(60.0)
    assert job.result()["file"] == "best.onnx"
    job.close()


def test_a_job_that_cannot_start_is_an_error_and_no_exception(tmp_path):
    job = job_in(tmp_path)
    job.checkpoint.unlink()
    job.start()
    assert job.is_done(60)
    assert "could not be started" in job.result()["error"]


def test_a_request_is_the_same_after_json(tmp_path):
    data = ValidationSet(("a.jpg",), (1,), {0: "cat", 1: "dog"}, {"kpt_shape": [1, 3]}, one_class=True)
    request = ExportRequest("pose", "onnx", {"imgsz": [32, 64]}, "best.pt", {"yaml": {"nc": 2}}, data, 2)
    assert ExportRequest.from_json(json.loads(json.dumps(request.as_json()))) == request


def test_a_sample_is_spread_over_the_images():
    data = ValidationSet(tuple(map(str, range(10))), tuple(range(10)))
    assert data.sample(5).images == ("0", "2", "4", "6", "8")
    assert data.sample(5).labels == (0, 2, 4, 6, 8)
    assert data.sample(None) is data
    assert data.sample(10) is data


def test_a_message_of_somebody_else_is_one_short_line():
    finding = Finding.of({"error": "a\nb https://me:secret@host" + "x" * 1000}, DEFAULT_TOLERANCES["fp32"])
    assert len(finding.reason) < 400
    assert "\n" not in finding.reason
    assert "secret" not in finding.reason


def test_the_stand_in_writes_what_the_process_writes():
    assert {"outputs", "boxes", "mAP", "bytes", "seconds", "versions", "stage"} == set(stand_in_export.PROVEN)


@pytest.mark.parametrize(
    ("boxes", "scores", "words"),
    [
        ((100, 100), ("mAP50-95", 0.5), "100.0% of 100 predictions are the same, mAP50-95 0.5, of the checkpoint 0.5"),
        ((100, 101), ("mAP50-95", 0.5), "100.0% of 100 and 101 predictions are the same, mAP50-95 0.5, of the "),
        ((100, 100), ("mAP50-95", 0.0), "mAP50-95 is 0 on both sides and proves nothing: neither detects anything"),
        ((100, 100), ("top1", 0.0), "top1 is 0 on both sides and proves nothing: neither is right on any image"),
    ],
)
def test_what_was_measured_says_what_it_proves(boxes, scores, words):
    result = {
        "boxes": {"checkpoint": boxes[0], "export": boxes[1], "matched": 1.0, "score_max": 0.0},
        "mAP": {"metric": scores[0], "checkpoint": scores[1], "export": scores[1]},
    }
    finding = Finding.of(result, DEFAULT_TOLERANCES["fp32"])
    assert finding.verdict == "proven"
    assert words in finding.reason
