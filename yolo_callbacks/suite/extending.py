"""Train a finished run for more epochs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from _yolo_callbacks_boot import VARIABLE
from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.state.state_file import STATE_FILE, mark_extended, read_state
from yolo_callbacks.suite.attaching import attach
from yolo_callbacks.trainer.checkpoint_copies import epoch_of_checkpoint
from yolo_callbacks.trainer.extension import extend_checkpoint, load_resumable
from yolo_callbacks.trainer.installation import default_arguments
from yolo_callbacks.utils.arguments import validate_choice, validate_int
from yolo_callbacks.utils.unknown_arguments import refuse_misspelt

__all__ = ["extend", "prepare_extension"]


def extend(
    run: str | Path,
    *callbacks: Callback,
    epochs: int,
    lr: str = "hold",
    strict: bool = False,
    report: bool = False,
    keep_resumable: bool = False,
    **arguments: Any,
) -> Any:
    """Train a finished run for more epochs, with its optimizer, the state of its callbacks and its W&B run.

    The run must have been trained with `attach(…, keep_resumable=True)`, or with `SaveBest(keep_optimizer=True)`: then
    training continues from the latest checkpoint that still has its optimizer. A run that was interrupted can be
    extended too. Where patience had ended the run, patience starts again, that of Ultralytics' own stopper too.

    Args:
        run: The folder of the run.
        *callbacks: As for `attach`; give those that the run had. Without any, the default suite.
        epochs: How many epochs the run is to have in all, more than it has.
        lr: What happens to the schedule of the learning rate. `"hold"` keeps the rates of the last epoch. `"stretch"`
            uses the rates of a run that was planned with `epochs` epochs from the start: at first they are higher than
            the last ones. Defaults to `"hold"`.
        strict: As for `attach`. Defaults to `False`.
        report: As for `attach`. Defaults to `False`.
        keep_resumable: As for `attach`. Defaults to `False`.
        **arguments: Further arguments of `model.train()` that Ultralytics allows on resume, such as `patience` or
            `close_mosaic`; `trainer` for a trainer of your own.

    Returns:
        The `YOLO` model after training.

    Raises:
        TypeError: If `epochs` is no integer, or an argument is a misspelt one of those above.
        ValueError: If there is no such folder, the run has no checkpoint to continue from, `epochs` is not more than it
            has, or `lr` is neither of the two.

    Example:
        >>> from yolo_callbacks import SaveBest, extend
        >>> def go_on():
        ...     return extend("runs/detect/train", SaveBest("mAP50"), epochs=150, lr="stretch")
    """
    from ultralytics import YOLO

    refuse_misspelt(extend, arguments, default_arguments())
    checkpoint = prepare_extension(run, epochs=epochs, lr=lr)
    model = YOLO(checkpoint)
    if callbacks or not os.environ.get(VARIABLE):
        attach(model, *callbacks, strict=strict, report=report, keep_resumable=keep_resumable)
    model.train(resume=True, **arguments)
    return model


def prepare_extension(run: str | Path, *, epochs: int, lr: str = "hold") -> Path:
    """Change the files of a run so that Ultralytics resumes it for more epochs.

    Args:
        run: The folder of the run.
        epochs: How many epochs the run is to have in all.
        lr: `"hold"` or `"stretch"`, as for `extend`.

    Returns:
        The checkpoint to resume from, last.pt of the run.

    Raises:
        TypeError: If `epochs` is no integer.
        ValueError: If there is no such folder, the run has no checkpoint to continue from, `epochs` is not more than it
            has, or `lr` is neither `"hold"` nor `"stretch"`.
    """
    epochs, lr = validate_int("epochs", epochs, minimum=1), validate_choice("lr", lr, ("hold", "stretch"))
    folder = Path(run)
    if not folder.is_dir():
        raise ValueError(f"there is no folder {str(folder)!r}: give the folder of a run")
    content = _latest_resumable(folder)
    done, planned = int(content["epoch"]) + 1, int((content.get("train_args") or {}).get("epochs") or 0)
    if epochs <= done:
        raise ValueError(f"epochs must be more than the {done} that {folder} has, received {epochs}")
    last = folder / "weights" / "last.pt"
    try:
        # In this order: after a kill between the two, a resume finishes the run with the epochs that it had.
        mark_extended(folder, after=done, planned=planned, hold=lr == "hold")
        extend_checkpoint(content, last, epochs=epochs)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{folder} cannot be extended: {error}") from error
    return last


def _latest_resumable(folder: Path) -> dict[str, Any]:
    """Return the content of the latest checkpoint that holds an optimizer."""
    weights = folder / "weights"
    for path in [weights / "last.pt", *sorted(_kept_checkpoints(folder), key=_epoch, reverse=True)]:
        content = load_resumable(path) if path.is_file() else None
        if content is not None:
            return content
    raise ValueError(
        f"{folder} cannot be extended: none of its checkpoints holds an optimizer. Train with keep_resumable=True, or "
        "SaveBest(keep_optimizer=True), to keep it"
    )


def _kept_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints that the callbacks of a run keep, as its callbacks.json lists them."""
    state = read_state(folder / STATE_FILE) or {}
    paths = [folder / name for name in state.get("files", ()) if name.endswith(".pt")]
    return [path for path in paths if path.parent == folder / "weights"]


def _epoch(checkpoint: Path) -> int:
    return epoch_of_checkpoint(checkpoint) or 0
