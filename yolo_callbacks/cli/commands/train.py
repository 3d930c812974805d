"""Run `yolo-callbacks train`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from yolo_callbacks.cli.auto_resume import LEFT_EARLY, OPTION, continued_command, takes_option, was_left_early
from yolo_callbacks.cli.near_misses import refuse_near_misses
from yolo_callbacks.cli.parser import Parser
from yolo_callbacks.cli.yolo_command import (
    add_training_arguments,
    choose_callbacks,
    other_arguments,
    run_yolo,
    yolo_arguments,
)
from yolo_callbacks.trainer.launched_training import launch_left_early, leave_launch, train_in_launch
from yolo_callbacks.utils.launcher import find_launch, slurm_variables
from yolo_callbacks.utils.repeating import repeated_by

__all__ = ["parser", "train"]


def parser() -> Parser:
    """Return the parser, for the help and the completion: Ultralytics parses the arguments."""
    made = Parser(
        "train",
        "Train as `yolo train` does, with callbacks.",
        "yolo-callbacks train model=yolo11n.pt data=coco8.yaml",
        "yolo-callbacks train callbacks=callbacks.yaml model=yolo11n.pt data=coco8.yaml epochs=100",
        "yolo-callbacks train --auto-resume callbacks=callbacks.yaml model=yolo11n.pt data=coco8.yaml name=first",
        "yolo-callbacks train callbacks=SaveBest,EarlyStopping segment model=yolo11n-seg.pt data=coco8-seg.yaml",
        "torchrun --nproc-per-node 2 -m yolo_callbacks train data=coco8.yaml",
    )
    made.add_argument(
        OPTION,
        action="store_true",
        help="continue the run that name=, project= or save_dir= name, from its folder or its Mirror; else start it",
    )
    add_training_arguments(made, "any argument of `yolo train`")
    return made


def train(arguments: Sequence[str]) -> None:
    """Train as `yolo train` does, with callbacks; YOLO_CALLBACKS is set for child processes of Ultralytics too.

    In a process that torchrun or srun has started, be one rank of a training.
    """
    if {"-h", "--help"}.intersection(arguments):
        parser().print_help()
        return
    program = "yolo-callbacks train"
    auto_resume = takes_option(program, arguments)
    given = [argument for argument in arguments if argument != OPTION]
    refuse_near_misses(program, given, {"callbacks": "callbacks.yaml"}, yolo_arguments())
    os.environ.update(slurm_variables(os.environ))  # before Ultralytics, which reads the rank where it is imported
    launch = find_launch(os.environ)
    if launch is not None:
        train_in_launch(launch)
    choose_callbacks(given)
    others = other_arguments(given, "callbacks")
    continued = continued_command(others, launch) if auto_resume else None
    command = ["train", *others] if continued is None else continued.command
    if command is not None:
        with repeated_by("start the same command again") if auto_resume else nullcontext():
            run_yolo(command)
    if launch is not None:
        leave_launch()
    if continued is not None and command is not None:
        left = was_left_early(continued.folder) if launch is None else launch_left_early()
        if left:
            sys.exit(LEFT_EARLY)
