"""Run `yolo-callbacks lr-find`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from yolo_callbacks.cli.near_misses import refuse_near_misses
from yolo_callbacks.cli.parser import CommandError, Parser
from yolo_callbacks.cli.yolo_command import (
    add_other_arguments,
    given_value,
    other_arguments,
    run_yolo,
    yolo_arguments,
)

if TYPE_CHECKING:
    from yolo_callbacks.trainer.range_test import RangeTraining

__all__ = ["lr_find", "parser"]

_PROGRAM = "yolo-callbacks lr-find"
_OWN = {"first": "1e-6", "last": "1", "steps": "100", "output": "lr-find.png"}
_REFUSED = {
    "callbacks": "no callback runs in a range test",
    "resume": "it begins with the weights of model=…",
    "time": "steps=… says how long it takes",
}


def parser() -> Parser:
    """Return the parser, for the help and the completion: Ultralytics parses the other arguments."""
    made = Parser(
        "lr-find",
        "Find a learning rate: train for some steps while the rate rises, and suggest the one at which the loss falls "
        "fastest.\nModel, weights and runs stay as they are; only the plot is written.",
        "yolo-callbacks lr-find model=yolo11n.pt data=coco8.yaml",
        "yolo-callbacks lr-find model=yolo11n.pt data=coco8.yaml optimizer=SGD batch=16 first=1e-5 last=1 steps=200",
    )
    made.add_argument("first", nargs="?", metavar="first=…", help="the first learning rate (default: 1e-6)")
    made.add_argument("last", nargs="?", metavar="last=…", help="the last learning rate (default: 1)")
    made.add_argument("steps", nargs="?", metavar="steps=…", help="the number of optimizer steps (default: 100)")
    made.add_argument(
        "output", nargs="?", metavar="output=…", completed=("<file>",), help="the plot (default: lr-find.png)"
    )
    add_other_arguments(
        made, "any argument of `yolo train`: give those of your training, since batch, optimizer and freeze matter"
    )
    return made


def lr_find(arguments: Sequence[str]) -> None:
    """Train while the learning rate rises, draw the losses, and print a suggestion."""
    if {"-h", "--help"}.intersection(arguments):
        parser().print_help()
        return
    refuse_near_misses(_PROGRAM, arguments, _OWN, yolo_arguments())
    first, last, steps = _limits(arguments)
    _refuse(arguments)
    output = Path(given_value("output", arguments) or _OWN["output"])
    if not output.parent.is_dir():
        raise CommandError(f"{output} cannot be written: there is no folder {output.parent}")
    os.environ |= {"YOLO_CALLBACKS": "", "YOLO_VERBOSE": "false"}
    sys.argv = ["yolo", "train"]  # Ultralytics reads it, and YOLO_VERBOSE, when it is imported

    from yolo_callbacks.trainer.range_test import RangeTraining, run_range_test

    every = max(steps // 10, 1)
    print(f"{steps} steps, learning rate {first:g} to {last:g}", flush=True)

    def show(step: int, rate: float, loss: float) -> None:
        if step % every == 0:
            print(f"  step {step:>{len(str(steps))}}  learning rate {rate:.2e}  loss {loss:.4g}", flush=True)

    training = RangeTraining(first, last, steps, show)
    with tempfile.TemporaryDirectory(prefix="yolo-callbacks-lr-find-") as folder:
        # The last value of an argument counts.
        ours = ["warmup_epochs=0", "close_mosaic=0", "val=False", "save=False", "plots=False", "exist_ok=True"]
        command = ["train", *other_arguments(arguments, *_OWN), *ours, f"project={folder}", "name=run"]
        run_range_test(training, lambda: run_yolo(command))
    _conclude(training, output)


def _limits(arguments: Sequence[str]) -> tuple[float, float, int]:
    """Return the first and the last rate, and the number of steps."""
    numbers = []
    for name in ("first", "last", "steps"):
        given = given_value(name, arguments) or _OWN[name]
        try:
            numbers.append(int(given) if name == "steps" else float(given))
        except ValueError:
            raise CommandError(f"{_PROGRAM}: {name} must be a number, received {given!r}") from None
    first, last, steps = numbers
    if not 0.0 < first < last < float("inf"):
        raise CommandError(f"{_PROGRAM}: first must be above 0 and below last, received first={first:g} last={last:g}")
    if steps < 20:
        raise CommandError(f"{_PROGRAM}: steps must be at least 20, received {steps:g}")
    return first, last, int(steps)


def _refuse(arguments: Sequence[str]) -> None:
    """Refuse arguments that have no meaning here.

    Raises:
        CommandError: If there is one.
    """
    for name, why in _REFUSED.items():
        if name in arguments or given_value(name, arguments):
            raise CommandError(f"{_PROGRAM}: {name}=… cannot be used: {why}")
    device = given_value("device", arguments) or ""
    if "," in device:
        raise CommandError(f"{_PROGRAM}: device={device} cannot be used: a range test needs one device")


def _conclude(training: RangeTraining, output: Path) -> None:
    """Draw the plot, and print what was found."""
    from yolo_callbacks.report.range_plot import draw_range_test

    test = training.test
    if not test.rates:
        raise CommandError(f"{_PROGRAM}: {test.end or 'no step was made'}")
    try:
        draw_range_test(test, output)
    except OSError as error:
        raise CommandError(f"{output} cannot be written: {error.strerror}") from error
    print(f"{test.end or f'{len(test.rates)} steps done'}; the loss is lowest at {test.lowest:.2g}; plot: {output}")
    if test.suggestion is None:
        print("no suggestion: the loss falls no more than by chance; try more steps, or a wider range")
    else:
        print(f"suggestion: optimizer={training.optimizer} lr0={test.suggestion:.2g}")
