"""The formats of the installed Ultralytics, and the arguments that they take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from yolo_callbacks.trainer.export_formats import (
    export_formats,
    precision_of,
    validate_export_arguments,
    validate_format,
)


def validated(**given):
    return validate_export_arguments("ExportBest", ("format", "when"), "onnx", given)


def test_the_table_is_that_of_ultralytics():
    from ultralytics.engine.exporter import export_formats as of_ultralytics

    table = of_ultralytics()
    assert list(export_formats()) == list(table["Argument"])[1:]
    for name, suffix, cpu, arguments in zip(
        table["Argument"], table["Suffix"], table["CPU"], table["Arguments"], strict=True
    ):
        if name != "-":
            found = export_formats()[name]
            assert (found.suffix, found.on_cpu, list(found.arguments)) == (suffix, cpu, arguments)


def test_the_table_is_read_without_an_import_of_ultralytics():
    code = (
        "import sys; from yolo_callbacks.trainer.export_formats import export_formats; "
        "assert 'onnx' in export_formats(); assert 'ultralytics' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_formats():
    assert validate_format("ONNX") == "onnx"
    assert validate_format("tensorrt") == "engine"
    with pytest.raises(ValueError, match="received 'onxx', did you mean 'onnx'"):
        validate_format("onxx")
    with pytest.raises(TypeError, match="format"):
        validate_format(3)


def test_arguments():
    assert validated(dynamic=True, imgsz=(320, 256), half=False) == {
        "dynamic": True,
        "imgsz": [320, 256],
        "half": False,
    }
    assert validated(data=Path("a.yaml")) == {"data": "a.yaml"}


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"dynamik": True}, TypeError, "did you mean 'dynamic'"),
        ({"when_": "best"}, TypeError, "did you mean 'when'"),
        ({"model": "other.pt"}, TypeError, "no argument 'model'"),
        ({"project": "elsewhere"}, TypeError, "no argument 'project'"),
        ({"imgsz": object()}, TypeError, "imgsz"),
        ({"imgsz": "big"}, TypeError, "imgsz must be an integer, received 'big'"),
        ({"imgsz": [64, "b"]}, TypeError, "imgsz must be an integer, received 'b'"),
        ({"imgsz": [64, 64, 64]}, ValueError, "one number, or height and width"),
        ({"imgsz": 0}, ValueError, "imgsz must be at least 1"),
        ({"opset": "x"}, TypeError, "opset must be an integer"),
        ({"batch": -1}, ValueError, "batch must be at least 1"),
        ({"dynamic": "yes"}, TypeError, "dynamic must be True or False"),
        ({"simplify": None}, TypeError, "simplify must be True or False"),
        ({"conf": 2}, ValueError, "conf must be at most 1"),
        ({"iou": "low"}, TypeError, "iou must be a number"),
        ({"data": 3}, TypeError, "data must be a string"),
        ({"half": True, "int8": True}, ValueError, "half=True and int8=True contradict each other"),
    ],
)
def test_a_wrong_argument_raises(given, error, text):
    with pytest.raises(error, match=text):
        validated(**given)


def test_an_argument_of_another_format_raises():
    of_others = {name for each in export_formats().values() for name in each.arguments}
    other = next(iter(of_others & {"keras"} or {"nms"}))
    taker = next(name for name, each in export_formats().items() if other not in each.arguments)
    with pytest.raises(ValueError, match=f"{other} is no argument of an export to {taker}"):
        validate_export_arguments("ExportBest", (), taker, {other: True})


@pytest.mark.parametrize(
    "given",
    [
        {"opset": None, "batch": 2, "iou": 0.7, "conf": None, "imgsz": [64]},
        {"half": True, "int8": False},
        {"device": 0, "fraction": [8, 8], "data": "coco8.yaml"},
    ],
)
def test_what_ultralytics_accepts_is_accepted(given):
    assert validated(**given) == given


def test_the_precision_is_validated_where_ultralytics_takes_one():
    taker = next((name for name, each in export_formats().items() if "quantize" in each.arguments), None)
    if taker is None:
        pytest.skip("this Ultralytics has no quantize")
    for value in (8, "int8", "FP16", 32, "w8a16"):
        assert validate_export_arguments("ExportBest", (), taker, {"quantize": value}) == {"quantize": value}
    with pytest.raises(ValueError, match="such as 8, 16, 32"):
        validate_export_arguments("ExportBest", (), taker, {"quantize": "big"})
    with pytest.raises(ValueError, match="half=True and quantize=8 contradict"):
        validate_export_arguments("ExportBest", (), taker, {"quantize": 8, "half": True})


@pytest.mark.parametrize(
    ("arguments", "precision"),
    [
        ({}, "fp32"),
        ({"half": True}, "fp16"),
        ({"half": False}, "fp32"),
        ({"int8": True}, "int8"),
        ({"quantize": 16}, "fp16"),
        ({"quantize": "w8a16"}, "int8"),
        ({"quantize": 8}, "int8"),
        ({"quantize": 32}, "fp32"),
    ],
)
def test_the_precision_by_the_arguments(arguments, precision):
    assert precision_of(arguments) == precision
