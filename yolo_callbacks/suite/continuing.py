"""Continue a training that was interrupted, here or on another machine, or start it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _yolo_callbacks_boot import VARIABLE
from yolo_callbacks.callbacks.mirror import Mirror
from yolo_callbacks.state.mirror_store import Copy
from yolo_callbacks.state.state_file import STATE_FILE, read_state
from yolo_callbacks.state.trial_files import install_files
from yolo_callbacks.suite.attaching import attach
from yolo_callbacks.suite.handlers import add_handlers, remove_handlers
from yolo_callbacks.trainer.continuation import adopt_checkpoint, completed_epochs, fixed_folder, load_weights
from yolo_callbacks.trainer.model_inspection import task_of
from yolo_callbacks.trainer.stripping import strip_checkpoint
from yolo_callbacks.trainer.trial_arguments import resume_from
from yolo_callbacks.utils.files import LOGGER, set_aside, temporary_beside
from yolo_callbacks.utils.repeating import repeated_by

__all__ = ["Continuation", "find_continuation", "resume_or_train"]

_DELAYS = (1.0, 2.0, 4.0)
"""The seconds before each further attempt to read a mirror: without it, a training might start afresh."""
_OVER = ("finished", "pruned")
_NEEDED = "resume_or_train needs to know which run is meant: give name=, project= or save_dir=, the same in each call"


@dataclass(frozen=True)
class Continuation:
    """What a training goes on from.

    Attributes:
        folder: The folder of the run.
        epochs: The number of completed epochs; 0 if the training starts.
        over: Whether the run is over, and nothing is left to train.
        store: The URL of the mirror that it was copied from, without credentials; "" if it was in the folder.
    """

    folder: Path
    epochs: int = 0
    over: bool = False
    store: str = ""

    @property
    def last(self) -> Path:
        """The checkpoint of the last epoch."""
        return self.folder / "weights" / "last.pt"

    @property
    def best(self) -> Path:
        """The best checkpoint, or the last one where there is none."""
        best = self.last.with_name("best.pt")
        return best if best.is_file() else self.last


def resume_or_train(model: Any, mirror: str | Mirror | None = None, **arguments: Any) -> Any:
    """Continue a training that was interrupted, on this machine or another one; start it if there is none.

    A script that a cluster starts again and again needs this one call. The run is the one in the folder that
    `project=` and `name=`, or `save_dir=`, name. Where a mirror has a later epoch of it, or the folder is missing, the
    newest complete copy is written to the folder first. The run goes on with the same decisions, rows and W&B run as
    an uninterrupted one.

    A run that is over is not trained again: the model gets its best checkpoint. Only checkpoints in that folder and in
    that mirror are loaded. A mirror that cannot be reached costs a warning, and what is in the folder counts.

    Args:
        model: A `YOLO` model, as for a new training. Attach callbacks before, the same ones in each call.
        mirror: The URL of a mirror, or a `Mirror`. It is attached too, if the model has no `Mirror`. Defaults to
            `None`, which takes the `Mirror` of the model; without one only the folder counts.
        **arguments: The arguments of `model.train()`, the same ones in each call. One of `name`, `project` and
            `save_dir` is needed.

    Returns:
        What `model.train()` returns; None if the run is over.

    Raises:
        TypeError: If `model` takes no callbacks, or `mirror` is neither a string nor a `Mirror`.
        ValueError: If no argument names the run, `resume` is given, or `mirror` is no URL of a store.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import EarlyStopping, Mirror, SaveBest, attach, resume_or_train
        >>> def main():
        ...     model = YOLO("yolo11n.pt")
        ...     attach(model, SaveBest("mAP50"), EarlyStopping(), Mirror("s3://bucket/first"))
        ...     resume_or_train(model, data="coco8.yaml", epochs=100, name="first")
    """
    task = task_of(model, caller="resume_or_train")
    if arguments.get("resume"):
        raise ValueError("resume_or_train decides whether to resume: leave out resume=")
    found = find_continuation(task, arguments, _mirror_of(model, mirror))
    if found.over:
        load_weights(model, found.best)
        return None
    if found.epochs:
        resume_from(model, found.last, arguments)
    else:
        arguments["exist_ok"] = True
    with repeated_by("call resume_or_train again with the same callbacks and arguments"):
        return model.train(**arguments)


def find_continuation(task: str, arguments: Mapping[str, Any], mirror: Mirror | None) -> Continuation:
    """Find what a training goes on from, and write it to the folder of the run; say which it is.

    Args:
        task: Ultralytics' name of the task.
        arguments: The arguments of the training.
        mirror: The mirror; None if there is none.

    Raises:
        ValueError: If no argument names the run.
    """
    if not any(arguments.get(name) for name in ("name", "project", "save_dir")):
        raise ValueError(_NEEDED)
    folder = fixed_folder(task, arguments).absolute()
    here = _local(folder)
    found = here if mirror is None else _with_mirror(here, mirror)
    origin = f", copied from {found.store}" if found.store else ""
    if found.over:
        _strip(found)
        LOGGER.info(f"Callbacks: the run in {folder} is over, there is nothing to train{origin}")
    elif found.epochs:
        adopt_checkpoint(found.last, folder, arguments)
        LOGGER.info(f"Callbacks: the run in {folder} goes on after epoch {found.epochs}{origin}")
    else:
        LOGGER.info(f"Callbacks: there is nothing to continue, a training starts in {folder}")
    return found


def _mirror_of(model: Any, given: str | Mirror | None) -> Mirror | None:
    """Return the mirror to read, and let the model have one to write if it has none."""
    if given is not None and not isinstance(given, (str, Mirror)):
        raise TypeError(f"mirror must be a URL or a Mirror, received {type(given).__name__}")
    mirror = Mirror(given) if isinstance(given, str) else given
    suite = remove_handlers(model)
    callbacks = suite.callbacks if suite is not None else ()
    own = next((callback for callback in callbacks if isinstance(callback, Mirror)), None)
    if mirror is None or own is not None:
        if suite is not None:
            add_handlers(model, suite)
    elif suite is not None:
        options = {name: getattr(suite, name) for name in ("strict", "report", "keep_resumable")}
        attach(model, *callbacks, mirror, **options)
    elif not os.environ.get(VARIABLE):
        attach(model, mirror)
    return mirror or own


# In the folder of the run ---------------------------------------------------------------------------------------------


def _local(folder: Path) -> Continuation:
    """Return what the folder of the run holds."""
    last = folder / "weights" / "last.pt"
    if not last.is_file():
        return Continuation(folder)
    try:
        epochs = completed_epochs(last)
    except Exception as error:  # torch raises several for a damaged file
        LOGGER.warning(f"{last} cannot be read ({error}){set_aside(last)}")
        return Continuation(folder)
    return Continuation(folder, epochs, over=not epochs or _status(folder) in _OVER)


def _strip(over: Continuation) -> None:
    """Strip last.pt of a run that is over, which is the last step of a run: a kill or a copy may have come before."""
    state = read_state(over.folder / STATE_FILE) or {}
    if state.get("keep_resumable"):
        return
    try:
        if completed_epochs(over.last):
            strip_checkpoint(over.last)
    except Exception as error:  # torch raises several for a damaged file
        LOGGER.warning(f"{over.last} could not be stripped and stays as it was: {error}")


def _status(folder: Path) -> str:
    state = read_state(folder / STATE_FILE) or {}
    return str((state.get("summary") or {}).get("status"))


# In the mirror --------------------------------------------------------------------------------------------------------


def _with_mirror(here: Continuation, mirror: Mirror) -> Continuation:
    """Return what the folder holds after the newest copy was written to it, where that is later."""
    for attempt, delay in enumerate((0.0, *_DELAYS)):
        time.sleep(delay)
        try:
            return _read_mirror(here, mirror)
        except Exception as error:  # a file system of fsspec may raise anything
            if attempt == len(_DELAYS):
                what = f"{mirror.shown_url} cannot be read ({mirror.described(error)})"
                LOGGER.warning(f"Callbacks: {what}: only {here.folder} counts")
    return here


def _read_mirror(here: Continuation, mirror: Mirror) -> Continuation:
    for copy in mirror.store.copies():
        if not _is_later(copy, here, mirror):
            break
        if _take(mirror, copy, here.folder):
            return Continuation(here.folder, copy.epoch, over=copy.finished, store=mirror.shown_url)
    return here


def _is_later(copy: Copy, here: Continuation, mirror: Mirror) -> bool:
    """Return whether a copy holds more of the run than its folder."""
    if here.over or not here.epochs:
        return not here.over
    states = (read_state(here.folder / STATE_FILE) or {}).get("callbacks") or {}
    state = states.get(mirror.state_key(""))
    if not isinstance(state, Mapping) or state.get("run") != copy.key:
        LOGGER.warning(
            f"Callbacks: {mirror.shown_url} holds another run than {here.folder}, which goes on. To continue the other "
            "one, give it another name="
        )
        return False
    return copy.epoch > here.epochs or (copy.finished and copy.epoch == here.epochs)


def _take(mirror: Mirror, copy: Copy, folder: Path) -> bool:
    """Write a copy to the folder of the run; return whether it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(folder / "mirror")
    temporary.mkdir(mode=0o700)
    try:
        mirror.store.download(copy, temporary)
        install_files(temporary, folder)
    except (FileNotFoundError, ValueError) as error:
        LOGGER.warning(
            f"Callbacks: the copy of epoch {copy.epoch} in {mirror.shown_url} is not whole "
            f"({mirror.described(error)}): an older one is tried"
        )
        return False
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return True
