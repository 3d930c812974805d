"""The comparison of a real export with its checkpoint: one changed tensor is found."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import digits
import numpy as np
import pytest
from trainings import TINY

from yolo_callbacks.callbacks.export_parts.finding import PROVEN, REFUSED, Finding
from yolo_callbacks.decisions.export_proof import DEFAULT_TOLERANCES
from yolo_callbacks.trainer.export_comparison import Comparison, _read_result, _similarity, write_sample
from yolo_callbacks.trainer.export_request import ExportRequest, ValidationSet

# torch 2.14 warns of the ways in which Ultralytics exports
pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[Path, ExportRequest]:
    """A folder with an untrained checkpoint and its exports, and the request for them."""
    import torch
    from ultralytics import YOLO

    folder = tmp_path_factory.mktemp("exported")
    digits.detection(folder / "data", train=1, val=2, size=64)
    images = tuple(map(str, sorted((folder / "data" / "images" / "val").iterdir())))
    model = YOLO(TINY).model
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() == 4:
                weights *= 3  # so that what comes in matters for what goes out, as in a model that has learned
    checkpoint = folder / "best.pt"
    torch.save({"model": model, "train_args": {"imgsz": 64, "task": "detect"}}, checkpoint)
    YOLO(checkpoint).export(format="torchscript")
    data = ValidationSet(images, (), {0: "zero", 1: "one", 2: "two"})
    return folder, ExportRequest("detect", "onnx", {"imgsz": 64}, "best.pt", None, data)


def finding(folder: Path, request: ExportRequest, export: Path, work: Path) -> Finding:
    figures = Comparison(folder / "best.pt", export, request).figures(work)
    return Finding.of(figures, DEFAULT_TOLERANCES["fp32"])


def change_onnx(source: Path, target: Path) -> None:
    import onnx

    model = onnx.load(str(source))
    weights = next(each for each in model.graph.initializer if len(each.dims) == 4)
    values = onnx.numpy_helper.to_array(weights).copy()
    values[0] *= 1.5
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    onnx.save(model, str(target))


def change_torchscript(source: Path, target: Path) -> None:
    import torch

    metadata = {"config.txt": ""}
    module = torch.jit.load(str(source), _extra_files=metadata)
    with torch.no_grad():
        next(each for each in module.parameters() if each.dim() == 4)[0] *= 1.5
    module.save(str(target), _extra_files={"config.txt": metadata["config.txt"]})


@pytest.mark.parametrize(
    ("suffix", "change"),
    [pytest.param("onnx", change_onnx, marks=pytest.mark.slow), ("torchscript", change_torchscript)],
)
def test_one_changed_tensor_is_found(exported, tmp_path, suffix, change):
    from ultralytics import YOLO

    folder, request = exported
    if suffix == "onnx":
        with contextlib.suppress(ModuleNotFoundError):  # 8.3.200 needs onnxscript with torch 2.14
            YOLO(folder / "best.pt").export(format="onnx")
    if not (folder / f"best.{suffix}").exists():
        pytest.skip("this Ultralytics cannot export to it here")
    good = finding(folder, request, folder / f"best.{suffix}", tmp_path)
    assert good.verdict == PROVEN, good.reason
    assert good.result["outputs"]["images"] == 2
    changed = tmp_path / f"best.{suffix}"
    change(folder / f"best.{suffix}", changed)
    wrong = finding(folder, request, changed, tmp_path)
    assert wrong.verdict == REFUSED, (good.result, wrong.result)
    assert "outputs differ by" in wrong.reason


def test_the_labels_of_the_user_get_no_cache(exported, tmp_path):
    folder, request = exported
    finding(folder, request, folder / "best.torchscript", tmp_path)
    assert not list((folder / "data").rglob("*.cache"))
    shutil.rmtree(tmp_path / "sample")


@pytest.mark.parametrize("linked", ["image", "folder"])
def test_a_data_set_of_relative_links(tmp_path, linked):
    digits.detection(tmp_path / "data", train=1, val=1, size=64)
    images = tmp_path / "data" / "images" / "val"
    (image,) = images.iterdir()
    real = tmp_path / "real"
    if linked == "folder":
        images.rename(real)
        images.symlink_to(Path("..", "..", "real"))
    else:
        real.mkdir()
        image.rename(real / image.name)
        image.symlink_to(os.path.relpath(real / image.name, image.parent))
    work = tmp_path / "run" / "weights" / "work"
    work.mkdir(parents=True)
    request = ExportRequest("detect", "onnx", {"imgsz": 64}, "best.pt", None, ValidationSet((str(image),)))
    sample = write_sample(work, request).parent
    (copy,) = (sample / "images").iterdir()
    assert copy.read_bytes() == (real / image.name).read_bytes()
    assert (sample / "labels" / "0000000.txt").is_file()


def test_masks_take_one_bit_a_point():
    import torch

    half, whole = torch.zeros(1, 64, 64), torch.ones(1, 64, 64)
    half[:, :32] = 1
    boxes = SimpleNamespace(xyxy=torch.tensor([[0.0, 0.0, 64.0, 64.0]]), cls=torch.zeros(1), conf=torch.ones(1))
    left, right = (
        _read_result(SimpleNamespace(boxes=boxes, masks=SimpleNamespace(data=each)), "segment")
        for each in (half, whole)
    )
    assert left.masks is not None
    assert left.masks.nbytes == 16 * 16 / 8
    assert np.allclose(_similarity(left, right, "segment"), 0.5)
    assert np.allclose(_similarity(left, left, "segment"), 1.0)
