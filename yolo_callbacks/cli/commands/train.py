"""Run `yolo-callbacks train`."""

from __future__ import annotations

from collections.abc import Sequence

from yolo_callbacks.cli.near_misses import refuse_near_misses
from yolo_callbacks.cli.parser import Parser
from yolo_callbacks.cli.yolo_command import (
    add_training_arguments,
    choose_callbacks,
    other_arguments,
    run_yolo,
    yolo_arguments,
)

__all__ = ["parser", "train"]


def parser() -> Parser:
    """Return the parser, for the help and the completion: Ultralytics parses the arguments."""
    made = Parser(
        "train",
        "Train as `yolo train` does, with callbacks.",
        "yolo-callbacks train model=yolo11n.pt data=coco8.yaml",
        "yolo-callbacks train callbacks=callbacks.yaml model=yolo11n.pt data=coco8.yaml epochs=100",
        "yolo-callbacks train callbacks=SaveBest,EarlyStopping segment model=yolo11n-seg.pt data=coco8-seg.yaml",
    )
    add_training_arguments(made, "any argument of `yolo train`")
    return made


def train(arguments: Sequence[str]) -> None:
    """Train as `yolo train` does, with callbacks; YOLO_CALLBACKS is set for child processes of Ultralytics too."""
    if {"-h", "--help"}.intersection(arguments):
        parser().print_help()
        return
    refuse_near_misses("yolo-callbacks train", arguments, {"callbacks": "callbacks.yaml"}, yolo_arguments())
    choose_callbacks(arguments)
    run_yolo(["train", *other_arguments(arguments, "callbacks")])
