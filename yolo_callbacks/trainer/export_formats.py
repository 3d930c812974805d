"""Know the formats that the installed Ultralytics exports to, and the arguments that each takes, without importing it.

A callback is constructed where the import of Ultralytics' exporter would be circular: while Ultralytics itself is
imported, by the plug-in of `YOLO_CALLBACKS`.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.installation import installed_version
from yolo_callbacks.utils.arguments import validate_bool, validate_float, validate_int, validate_optional_str
from yolo_callbacks.utils.files import plain
from yolo_callbacks.utils.unknown_arguments import UnknownArgumentError, hint, unknown_argument_text

__all__ = [
    "ExportFormat",
    "export_formats",
    "missing_packages",
    "precision_of",
    "suffix_of",
    "validate_export_arguments",
    "validate_format",
]

# Every format takes these. The others are listed for some formats only, and used by more of them: in 8.3.200 no list
# has `workspace` of TensorRT, nor `data` of an INT8 export.
_OF_ALL = ("imgsz", "batch", "device")
_NOT_LISTED = (
    *("agnostic_nms", "conf", "data", "fraction", "iou", "max_det", "name"),
    *("opset", "optimize", "simplify", "split", "workspace"),
)
# From 8.4.83 or so `quantize` replaces them; they are still accepted.
_REPLACED = ("half", "int8")
# What their values are. `device`, `fraction` and what later versions add are left to Ultralytics.
_BOOLS = ("agnostic_nms", "dynamic", "half", "int8", "keras", "nms", "optimize", "simplify")
_INTEGERS = ("batch", "max_det", "opset")
_NUMBERS = ("conf", "iou", "workspace")
_SHARES = ("conf", "iou")
_TEXTS = ("data", "name", "split")
_MAY_BE_NONE = ("conf", "data", "half", "int8", "name", "opset", "quantize", "workspace")
_PRECISION = re.compile(r"(int|fp)?(8|16|32)|w\d+a\d+", re.IGNORECASE)
# Ultralytics has other names for these too.
_ALIASES = {"tensorrt": "engine", "trt": "engine", "pytorch": "-"}

# What Ultralytics imports to export and to predict; another format is not known.
_PACKAGES = {
    "onnx": ("onnx", "onnxruntime"),
    "openvino": ("openvino",),
    "engine": ("tensorrt", "onnx"),
    "coreml": ("coremltools",),
    "ncnn": ("ncnn",),
}


@dataclass(frozen=True)
class ExportFormat:
    """A format of exports.

    Attributes:
        name: The argument `format=`.
        suffix: How the name of its file or folder ends.
        on_cpu: Whether a CPU can export to it; otherwise a GPU is needed.
        arguments: The arguments that it takes.
    """

    name: str
    suffix: str
    on_cpu: bool
    arguments: tuple[str, ...]


@functools.cache
def export_formats() -> Mapping[str, ExportFormat]:
    """Return the formats of the installed Ultralytics by name; none where its source has another form."""
    spec = util.find_spec("ultralytics")
    origin = spec.origin if spec is not None else None
    if origin is None:
        return {}
    try:
        rows = _rows((Path(origin).parent / "engine" / "exporter.py").read_text(encoding="utf-8"))
        found = [ExportFormat(str(row[1]), str(row[2]), bool(row[3]), tuple(map(str, row[5]))) for row in rows]
    except (OSError, SyntaxError, ValueError, IndexError, TypeError):
        return {}
    return {each.name: each for each in found if each.name != "-"}


def suffix_of(name: str) -> str:
    """Return how the name of an export to a format ends; `""` for a format that is not known."""
    formats = export_formats()
    return formats[name].suffix if name in formats else ""


def missing_packages(name: str) -> list[str]:
    """Return the packages that an export to a format needs and that are not installed, as far as they are known."""
    return [package for package in _PACKAGES.get(name, ()) if util.find_spec(package) is None]


def _rows(source: str) -> list[Any]:
    """Return the table in the function `export_formats` of Ultralytics' exporter."""
    for function in ast.parse(source).body:
        if isinstance(function, ast.FunctionDef) and function.name == "export_formats":
            for statement in function.body:
                if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.List):
                    return list(ast.literal_eval(statement.value))
    return []


def validate_format(value: object) -> str:
    """Return the name of a format.

    Raises:
        TypeError: If it is no string.
        ValueError: If the installed Ultralytics has no such format; the nearest one is named.
    """
    if not isinstance(value, str):
        raise TypeError(f"format must be a string, received {value!r}")
    name = _ALIASES.get(value.lower(), value.lower())
    known = export_formats()
    if known and name not in known:
        version = ".".join(map(str, installed_version()))
        raise ValueError(
            f"format must be one that Ultralytics {version} exports to, received {value!r}{hint(value, known)} "
            f"(there are {', '.join(known)})"
        )
    if not name.replace("_", "").isalnum():
        raise ValueError(f"format must be a name of letters, digits and _, received {value!r}")
    return name


def validate_export_arguments(owner: str, own: tuple[str, ...], name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return further arguments of an export in plain types.

    Args:
        owner: The name of the callback or the command, for messages.
        own: Its own arguments, for messages.
        name: The format.
        given: The arguments.

    Raises:
        UnknownArgumentError: If the installed Ultralytics has no such argument of an export; the nearest one is named.
        ValueError: If the format does not take the argument, a value is out of its range, or two arguments contradict
            each other.
        TypeError: If a value is of a type that the argument does not have.
    """
    formats = export_formats()
    everywhere = {*_OF_ALL, *_NOT_LISTED, *_REPLACED}
    known = sorted(everywhere.union(*(each.arguments for each in formats.values())))
    for argument in given:
        if formats and argument not in known:
            raise UnknownArgumentError(unknown_argument_text(owner, argument, [*own, *known]), argument)
        if name in formats and argument not in everywhere and argument not in formats[name].arguments:
            takes = ", ".join(dict.fromkeys([*_OF_ALL, *formats[name].arguments]))
            raise ValueError(f"{argument} is no argument of an export to {name} (it takes {takes})")
    values = {key: str(value) if isinstance(value, Path) else value for key, value in given.items()}
    found = {key: plain(value, key) for key, value in values.items()}
    for key, value in found.items():
        _validate_value(key, value)
    precisions = [f"{key}={found[key]!r}" for key in ("half", "int8", "quantize") if found.get(key)]
    if len(precisions) > 1:  # Ultralytics takes one of them, which one depends on the version
        raise ValueError(f"{' and '.join(precisions)} contradict each other: an export has one precision")
    return found


def _validate_value(name: str, value: object) -> None:
    """Validate the value of an argument as Ultralytics does when it exports (`check_cfg` of 8.4.190), which is late."""
    if value is None and name in _MAY_BE_NONE:
        return
    if name in _BOOLS:
        validate_bool(name, value)
    elif name in _INTEGERS:
        validate_int(name, value, minimum=1)
    elif name in _NUMBERS:
        number = validate_float(name, value, minimum=0)
        if name in _SHARES and number > 1:
            raise ValueError(f"{name} must be at most 1, received {value!r}")
    elif name in _TEXTS:
        validate_optional_str(name, value)
    elif name == "imgsz":
        sides = value if isinstance(value, list) else [value]
        for side in sides:
            validate_int(name, side, minimum=1)
        if len(sides) not in (1, 2):
            raise ValueError(f"imgsz must be one number, or height and width, received {value!r}")
    elif name == "quantize":
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise TypeError(f"quantize must be an integer or a string, received {value!r}")
        if not _PRECISION.fullmatch(str(value)):
            raise ValueError(f"quantize must be a precision such as 8, 16, 32 or 'w8a16', received {value!r}")


def precision_of(arguments: Mapping[str, Any]) -> str:
    """Return `"fp32"`, `"fp16"` or `"int8"`: the precision that an export has with these arguments."""
    quantize = str(arguments.get("quantize", "")).lower()
    if arguments.get("int8") or quantize in ("8", "int8") or quantize.startswith("w8"):
        return "int8"
    return "fp16" if arguments.get("half") or quantize in ("16", "fp16", "w16a16") else "fp32"
