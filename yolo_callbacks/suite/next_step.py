"""Write the line that continues a run which has not trained all its epochs: a command, or Python to paste."""

from __future__ import annotations

import ast
import inspect
import os
import shlex
from collections.abc import Mapping, Sequence

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.trainer.launched_training import is_launched
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.redaction import MASK, clean_arguments
from yolo_callbacks.utils.repeating import what_repeats

__all__ = ["PLUGIN_ATTRIBUTE", "STOPPED_BY_AGENT", "can_be_resumed", "next_step"]

PLUGIN_ATTRIBUTE = "_yolo_callbacks_plugin"
"""The attribute of a trainer that holds the suite made from YOLO_CALLBACKS."""

STOPPED_BY_AGENT = "ended by W&B's agent"
"""The status of a trial that the agent of a W&B sweep has stopped."""


def can_be_resumed(run: TrainingRun) -> bool:
    """Return whether the run has a checkpoint to resume from."""
    # An earlier run in the same folder may have left a last.pt (exist_ok=True).
    written = run.supervision.has_checkpoint or run.completed_epochs
    return bool(run.last_epoch and written and (run.weights_dir / "last.pt").is_file())


def next_step(run: TrainingRun, status: str, *, callbacks: Sequence[Callback], options: Mapping[str, bool]) -> str:
    """Return what continues a run that has not trained all its epochs, or "" if nothing does.

    Args:
        run: The training.
        status: `"finished"`, or how else the training ended.
        callbacks: The callbacks of the suite, without those of the report.
        options: The options of the suite: `strict`, `report` and `keep_resumable`.
    """
    planned, last = run.planned_epochs, run.weights_dir / "last.pt"
    variable = os.environ.get("YOLO_CALLBACKS")
    uses_variable = hasattr(run.trainer, PLUGIN_ATTRIBUTE)  # else the script has attached its own callbacks
    command = f"YOLO_CALLBACKS={shlex.quote(variable)} " if variable and uses_variable else ""
    if status == "finished":
        if not (options.get("keep_resumable") and run.last_epoch < planned and run.single_process):
            return ""
        if command:  # without callbacks, the command would take the default ones
            return f"{command}yolo-callbacks extend {shlex.quote(str(run.save_dir))} epochs={planned}"
        imports, arguments = _as_python(callbacks, "extend")
        if not arguments:
            return f"call yolo_callbacks.extend({str(run.save_dir)!r}) with the same callbacks and epochs={planned}"
        return f"{imports}extend({str(run.save_dir)!r}, {arguments}, epochs={planned})"
    if status in ("pruned", STOPPED_BY_AGENT) or (run.left is not None and not run.left.resumable):
        return ""
    if not can_be_resumed(run):
        return "start the training again, no checkpoint was written yet"
    if words := what_repeats():
        return words
    arguments = f"resume=True model={shlex.quote(str(last))}"
    if variable and is_launched():
        return f"{_launched_command()} train callbacks={shlex.quote(variable)} {arguments}"
    if command:
        return f"{command}yolo train {arguments}"
    imports, arguments = _as_python(callbacks, "attach")
    if not arguments:
        return f"load {str(last)!r}, attach the same callbacks, and call model.train(resume=True)"
    given = "".join(f", {name}=True" for name, value in options.items() if value)
    return (
        f"from ultralytics import YOLO; {imports}model = YOLO({str(last)!r}); attach(model, {arguments}{given}); "
        "model.train(resume=True)"
    )


def _launched_command() -> str:
    """Return how a launcher starts the command in several processes; its own arguments are not known."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return "torchrun … -m yolo_callbacks"
    return f"{'srun' if 'SLURM_STEP_NUM_TASKS' in os.environ else '<your launcher>'} … yolo-callbacks"


def _as_python(callbacks: Sequence[Callback], function: str) -> tuple[str, str]:
    """Return the import and the arguments that make the same callbacks; `""` where their `repr` cannot make them."""
    calls = [repr(callback) for callback in callbacks]
    if not calls or not all(map(_makes_callback, callbacks, calls)):
        return "", ""
    names = sorted({*(type(callback).__name__ for callback in callbacks), function})
    return f"from yolo_callbacks import {', '.join(names)}; ", ", ".join(calls)


def _makes_callback(callback: Callback, call: str) -> bool:
    """Return whether a `repr` can be pasted: a callback of this package with literals as arguments, none a secret."""
    if not type(callback).__module__.startswith("yolo_callbacks."):
        return False
    chosen = callback.epoch_filter
    call = call.removesuffix(f".in_epochs({chosen.text!r})") if chosen else call
    try:
        made = ast.parse(call, mode="eval").body
        if not isinstance(made, ast.Call):
            return False
        arguments = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in made.keywords}
    except (SyntaxError, ValueError):  # a variable of the environment, or an object of the user's
        return False
    shown = clean_arguments(arguments)
    if made.args or MASK in call or any(repr(shown[name]) != repr(value) for name, value in arguments.items()):
        return False
    return all(arguments.get(name) == value for name, value in _further_arguments(callback).items())


def _further_arguments(callback: Callback) -> Mapping[str, object]:
    """Return the further arguments of a callback, such as those of `wandb.init`; its `repr` hides secrets in them."""
    parameters = inspect.signature(type(callback)).parameters.values()
    found = [getattr(callback, each.name, None) for each in parameters if each.kind is each.VAR_KEYWORD]
    return found[0] if found and isinstance(found[0], Mapping) else {}
