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
