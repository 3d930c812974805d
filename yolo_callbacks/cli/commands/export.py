"""Run `yolo-callbacks export`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yolo_callbacks.cli.parser import CommandError, Parser, positive

__all__ = ["export", "parser"]

_OWN = ("format", "checkpoint", "images", "timeout")
_OPTIONS = tuple(f"--{name}" for name in _OWN)


def parser() -> Parser:
    """Return the parser."""
    made = Parser(
        "export",
        "Export the best checkpoint of a run, and prove that the export predicts the same on its validation images. "
        "Only then it gets the name of the checkpoint. Nothing is installed.",
        "yolo-callbacks export runs/detect/train",
        "yolo-callbacks export runs/detect/train --format torchscript --images 100",
        "yolo-callbacks export runs/detect/train dynamic=true opset=17",
    )
    made.add_argument("run", type=Path, metavar="RUN", completed=("<folder>",), help="the run's folder")
    made.add_argument("--format", default="onnx", help="a format of Ultralytics (default: onnx)")
    made.add_argument("--checkpoint", help="the name in weights/ (default: that of SaveBest, or else best.pt)")
    made.add_argument("--images", type=positive, default=32, help="on how many images to compare (default: 32)")
    made.add_argument("--timeout", type=positive, default=1800, help="how many seconds it may take (default: 1800)")
    made.add_argument(
        "arguments", nargs="*", default=[], metavar="name=value", help="further arguments of Ultralytics' export"
    )
    return made


def export(arguments: Sequence[str]) -> None:
    """Export the best checkpoint of a run."""
    from yolo_callbacks.callbacks.export_parts.finding import PROVEN
    from yolo_callbacks.callbacks.export_parts.finished_run import best_checkpoint, export_finished_run
    from yolo_callbacks.trainer.export_formats import validate_export_arguments, validate_format

    given = parser().parse_args(arguments)
    name = validate_format(given.format)
    try:
        further = validate_export_arguments("yolo-callbacks export", _OPTIONS, name, _named(given.arguments))
    except TypeError as error:  # an unknown argument, or a value of a type that none has
        raise CommandError(str(error)) from None
    checkpoint = best_checkpoint(given.run, given.checkpoint)
    print(f"Exporting {checkpoint} to {name}, and comparing both on {given.images} images at most")
    finding, path = export_finished_run(
        given.run, checkpoint, name, further, images=given.images, timeout=float(given.timeout)
    )
    kept = f"; kept as {path}" if path is not None else ""
    if finding.verdict != PROVEN:
        raise CommandError(f"{checkpoint.name} as {name} is {finding.verdict}: {finding.reason}{kept}")
    print(f"{path} predicts the same: {finding.reason}")


def _named(words: Sequence[str]) -> dict[str, Any]:
    """Return arguments of the form `name=value`."""
    import yaml

    found = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or not name:
            raise CommandError(f"yolo-callbacks export: {word!r} is not of the form name=value")
        try:
            found[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise CommandError(f"yolo-callbacks export: the value of {name} cannot be read: {value!r}") from None
    return found
