"""Generate the JSON Schema of a file of callbacks, and a template of such a file.

Editors use the schema to complete and validate a file.

Schema and template are generated from the signatures and docstrings. The package contains the schema; after a change of
a signature:

    python -m yolo_callbacks.config.schema
"""

from __future__ import annotations

import collections.abc
import json
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.config.registry import Argument, arguments, own, summary, takes_any, takes_epochs
from yolo_callbacks.suite.attaching import default_suite

__all__ = ["PATH", "TITLE", "schema", "template"]

TITLE = "Callbacks of a training with yolo-callbacks"
PATH = Path(__file__).with_name("callbacks.schema.json")

_SIMPLE = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
_ENVIRONMENT = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"}
# Callbacks of other packages, or package.module:Class. Their arguments are not known here.
_FOREIGN = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_.]*(:[A-Za-z_][A-Za-z0-9_.]*)?$"}

# What a template shows for an argument that has no default.
_EXAMPLES = {
    ("LearningRateSchedule", "schedule"): "constant",
    ("Notify", "urls"): "${NOTIFY_URLS}",
    ("Mirror", "url"): '"file:///mnt/disk/run"',
    ("Unfreeze", "schedule"): "{0: head, 10: all}",
}


def schema() -> dict[str, Any]:
    """Return the JSON Schema."""
    known = own()
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": TITLE,
        "type": "object",
        "required": ["callbacks"],
        "additionalProperties": False,
        "properties": {
            "callbacks": {
                "description": "In the order in which they run; loggers run last whatever their place.",
                "type": "array",
                "minItems": 1,
                "items": {"anyOf": [{"enum": list(known)}, _FOREIGN, _with_arguments(known)]},
            },
            "strict": {"description": "Whether an exception inside a callback ends the training.", "type": "boolean"},
            "report": {"description": "Whether a report is written at the end of a run.", "type": "boolean"},
            "keep_resumable": {
                "description": "Whether last.pt keeps its optimizer at the end, so that the run can be extended.",
                "type": "boolean",
            },
        },
        "definitions": {
            "epochs": {
                "description": 'The epochs in which the callback runs: "10:50", "10:", ":50", 10 or "-10:".',
                "type": ["string", "integer"],
            },
            "environment": {"description": "A value of the environment.", **_ENVIRONMENT},
            **{name: _of_callback(callback) for name, callback in known.items()},
        },
    }


def template(schema: str | None = None) -> str:
    """Return a commented YAML file with the default suite; everything else is commented out.

    Args:
        schema: The path of the JSON Schema for editors, relative to the file. Defaults to `None`: no line names one.
    """
    active = {type(callback).__name__: callback for callback in default_suite()}
    known = own()
    lines = [
        *([f"# yaml-language-server: $schema={schema}"] if schema else []),
        "# The callbacks of a training: YOLO_CALLBACKS=callbacks.yaml yolo train model=yolo11n.pt data=coco8.yaml",
        "# Remove the # of a line to use it. The values in such lines are defaults, or examples where none is.",
        "# ${NAME} is a value of the environment, package.module:Class your own callback. To validate this file:",
        "# yolo-callbacks check FILE",
        '# Each callback takes `epochs` too, the epochs in which it runs: epochs: "10:50", "10:", ":50" or "-10:"',
        "",
        "strict: false  # true: an exception inside a callback ends the training",
        "report: false  # true: report.html is written at the end of a run",
        "keep_resumable: false  # true: last.pt keeps its optimizer at the end, so that the run can be extended",
        "",
        "callbacks:",
    ]
    for name in [*active, *(name for name in known if name not in active)]:
        lines += ["", f"  # {summary(known[name])}", f"  {'' if name in active else '# '}- {name}:"]
        for argument in arguments(known[name]):
            given = vars(active[name]).get(argument.name) if name in active else None
            if isinstance(given, (bool, int, float, str)) and given != argument.default:
                text = f"      {argument.name}: {json.dumps(given)}"
            else:
                margin = "      # " if name in active else "  #     "
                shown = _EXAMPLES[name, argument.name] if argument.required else json.dumps(argument.default)
                text = f"{margin}{argument.name}: {shown}"
            lines.append(f"{text:<34}  # {argument.description.partition('. ')[0].rstrip('.')}")
    return "\n".join(lines) + "\n"


def _with_arguments(known: dict[str, type[Callback]]) -> dict[str, Any]:
    return {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {name: {"$ref": f"#/definitions/{name}"} for name in known},
        "additionalProperties": {"type": ["object", "null"]},
    }


def _of_callback(callback: type[Callback]) -> dict[str, Any]:
    known = arguments(callback)
    return {
        "description": summary(callback),
        "type": ["object", "null"],
        "additionalProperties": takes_any(callback),
        "required": [argument.name for argument in known if argument.required],
        "properties": {
            **({"epochs": {"$ref": "#/definitions/epochs"}} if takes_epochs(callback) else {}),
            **{argument.name: _of_argument(argument) for argument in known},
        },
    }


def _of_argument(argument: Argument) -> dict[str, Any]:
    described: dict[str, Any] = {"description": argument.description}
    if not argument.required:
        default: Any = argument.default
        described["default"] = list(default) if isinstance(default, tuple) else default  # JSON has no tuples
    kinds = _kinds(argument.annotation)
    if kinds is None:
        return described
    if not any(kind.get("type") == "string" for kind in kinds):
        kinds.append({"$ref": "#/definitions/environment"})
    return {**described, "anyOf": kinds}


def _kinds(annotation: Any) -> list[dict[str, Any]] | None:
    """Return the JSON types that YAML can give for an annotation, or None for any type."""
    if annotation in _SIMPLE:
        return [{"type": _SIMPLE[annotation]}]
    origin, parameters = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return [{"enum": list(parameters)}]
    if origin is collections.abc.Mapping:
        values = _kinds(parameters[1])
        return [{"type": "object", **({"additionalProperties": {"anyOf": values}} if values else {})}]
    if origin is collections.abc.Sequence:
        return [{"type": "array", "items": {"anyOf": _kinds(parameters[0])}}]
    if origin is collections.abc.Callable:
        return []  # only possible in Python
    if origin in (Union, types.UnionType):
        kinds = [_kinds(parameter) for parameter in parameters]
        return None if None in kinds else [kind for found in kinds for kind in found or ()]
    return None


if __name__ == "__main__":
    PATH.write_text(json.dumps(schema(), indent=2) + "\n", encoding="utf-8")
