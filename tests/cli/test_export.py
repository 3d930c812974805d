"""`yolo-callbacks export`: which checkpoint of a run is exported, and what is said; a stand-in does the exports."""

from __future__ import annotations

import json
from pathlib import Path

import digits
import pytest
import yaml
from stand_in_export import REFUSED, use

from yolo_callbacks.cli.command import main

pytestmark = pytest.mark.training  # it reads the data set with Ultralytics, which imports torch


@pytest.fixture
def run(tmp_path, scenes) -> Path:
    folder = tmp_path / "run"
    (folder / "weights").mkdir(parents=True)
    (folder / "args.yaml").write_text(yaml.safe_dump({"task": "detect", "data": str(scenes), "imgsz": 32}))
    (folder / "weights" / "best.pt").write_bytes(b"checkpoint")
    return folder


def saved(run: Path, name: str) -> None:
    (run / "weights" / f"{name}.pt").write_bytes(b"checkpoint")
    (run / "weights" / f"{name}.json").write_text(json.dumps({"epoch": 3, "monitor": "mAP50"}))


def test_best_pt_is_exported(run, monkeypatch, capsys):
    use(monkeypatch)
    assert main(["export", str(run), "dynamic=true"]) == 0
    assert "predicts the same" in capsys.readouterr().out
    entry = json.loads((run / "weights" / "best.json").read_text())["exports"]["onnx"]
    assert (entry["file"], entry["arguments"]) == ("best.onnx", {"imgsz": 32, "dynamic": True})
    assert (run / "weights" / "best.onnx").is_file()
    assert main(["export", str(run)]) == 0  # again, with the JSON file that is there


def test_the_checkpoint_of_save_best_is_preferred(run, monkeypatch, capsys):
    use(monkeypatch, suffix=".torchscript")
    saved(run, "best-mAP50")
    assert main(["export", str(run), "--format", "torchscript"]) == 0
    content = json.loads((run / "weights" / "best-mAP50.json").read_text())
    assert (content["epoch"], content["monitor"]) == (3, "mAP50")
    assert content["exports"]["torchscript"]["verdict"] == "proven"
    saved(run, "best-recall")
    assert main(["export", str(run)]) == 2
    assert "several: choose one with --checkpoint: best-mAP50.pt, best-recall.pt" in capsys.readouterr().err
    assert main(["export", str(run), "--checkpoint", "best-recall", "--format", "torchscript"]) == 0


def test_a_refused_export_has_an_exit_code_and_another_name(run, monkeypatch, capsys):
    use(monkeypatch, result=REFUSED)
    assert main(["export", str(run)]) == 2
    assert "best.pt as onnx is refused: mAP50-95 is 0.1 instead of 0.5" in capsys.readouterr().err
    assert not (run / "weights" / "best.onnx").exists()
    assert (run / "weights" / "best-refused.onnx").is_file()


def test_a_relative_folder(run, monkeypatch):
    use(monkeypatch)
    monkeypatch.chdir(run.parent)
    assert main(["export", "run"]) == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--format", "onxx"], "did you mean 'onnx'"),
        (["dynamik=true"], "did you mean 'dynamic'"),
        (["--imagess", "3"], "unknown option --imagess, did you mean '--images'"),
        (["dynamic"], "is not of the form name=value"),
        (["--checkpoint", "other"], "has no other.pt (there are best.pt)"),
    ],
)
def test_a_mistake_is_one_line(run, capsys, arguments, text):
    assert main(["export", str(run), *arguments]) == 2
    said = capsys.readouterr().err
    assert text in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "args.yaml cannot be read"),
        ("{task: detect, data: /nowhere.yaml, imgsz: [a]}", "args.yaml cannot be used: imgsz is ['a']"),
        ("task: detect", "does not say task, data and imgsz"),
        ("{task: detect, data: /nowhere.yaml, imgsz: 32}", "is not on this machine"),
        ("{task: classify, data: /nowhere, imgsz: 32}", "is not on this machine"),
    ],
)
def test_a_run_that_cannot_be_compared(run, capsys, content, text):
    path = run / "args.yaml"
    path.unlink() if content is None else path.write_text(content)
    assert main(["export", str(run)]) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(("size", "trained"), [([32, 64], 64), ("64", 64)])
def test_the_image_size_of_the_training(run, scenes, monkeypatch, size, trained):
    use(monkeypatch)
    (run / "args.yaml").write_text(yaml.safe_dump({"task": "detect", "data": str(scenes), "imgsz": size}))
    assert main(["export", str(run)]) == 0
    assert json.loads((run / "weights" / "best.json").read_text())["exports"]["onnx"]["arguments"]["imgsz"] == trained


def test_further_arguments_are_not_required(capsys):
    assert main(["export"]) == 2
    assert "the following arguments are required: RUN (see" in capsys.readouterr().err


def test_no_run(tmp_path, capsys):
    assert main(["export", str(tmp_path)]) == 2
    assert "has no best.pt" in capsys.readouterr().err


def test_the_images_of_a_classification_have_their_labels(tmp_path):
    from yolo_callbacks.trainer.export_request import stored_validation_set

    found = stored_validation_set(str(digits.classification(tmp_path / "crops", train=1, val=2)), "classify")
    assert found.labels == (0, 0, 1, 1, 2, 2)
    assert [Path(image).parent.name for image in found.images[::2]] == ["one", "two", "zero"]
    assert found.names == {0: "one", 1: "two", 2: "zero"}
