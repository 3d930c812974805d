"""Run `yolo-callbacks train`."""

from __future__ import annotations

from collections.abc import Sequence

from yolo_callbacks.cli.parser import Parser
from yolo_callbacks.cli.yolo_command import choose_callbacks, other_arguments, run_yolo

__all__ = ["train"]


def train(arguments: Sequence[str]) -> None:
    """Train as `yolo train` does, with callbacks; YOLO_CALLBACKS is set for child processes of Ultralytics too."""
    parser = Parser(
        "train",
        "Train as `yolo train` does, with callbacks.",
        "yolo-callbacks train model=yolo11n.pt data=coco8.yaml",
        "yolo-callbacks train callbacks=callbacks.yaml model=yolo11n.pt data=coco8.yaml epochs=100",
        "yolo-callbacks train callbacks=SaveBest,EarlyStopping segment model=yolo11n-seg.pt data=coco8-seg.yaml",
    )
    parser.add_argument("callbacks", nargs="?", metavar="callbacks=…", help="a YAML file, names, or default (default)")
    parser.add_argument("others", nargs="*", metavar="name=value", help="any argument of `yolo train`")
    if {"-h", "--help"}.intersection(arguments):
        parser.print_help()
        return
    choose_callbacks(arguments)
    run_yolo(["train", *other_arguments(arguments, "callbacks")])
