"""Load the results of a training from the folder of its run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.state.state_file import STATE_FILE, read_state
from yolo_callbacks.suite.guarded_callback import GuardedCallback
from yolo_callbacks.trainer.model_inspection import run_folder, run_folders
from yolo_callbacks.utils.fields import anything, mapping
from yolo_callbacks.utils.files import LOGGER

__all__ = ["load_results"]


def load_results(model: Any, members: Iterable[GuardedCallback]) -> dict[str, Any]:
    """Read callbacks.json of the last training of a model, and load the states of its callbacks from there.

    Args:
        model: The model; None where it does not exist any more.
        members: The callbacks.

    Returns:
        The content of callbacks.json. For a list of data sets a dict of them, by run.

    Raises:
        RuntimeError: If the model has not been trained, or no folder holds results.
    """
    folder, several = run_folder(model), run_folders(model)
    if folder is None:
        raise RuntimeError("No results yet: call model.train() first")
    folders = {"": folder} if several is None else several
    states = {name: read_state(path / STATE_FILE) if path else None for name, path in folders.items()}
    found = [(path, state) for name, state in states.items() if state is not None and (path := folders[name])]
    if not found:
        raise RuntimeError(f"{folder} has no {STATE_FILE} that can be read: no callback ran in this training")
    last, results = found[-1]
    for member in members:
        if member.key in results["callbacks"]:
            _load(member, results["callbacks"][member.key], last)
    return results if several is None else states


def _load(member: GuardedCallback, state: Mapping[str, Any], folder: Path) -> None:
    """Load the state that the copy of a callback had in another process; a state that is wrong only warns."""
    try:
        member.callback.load_state_dict({**mapping(anything)(state), "folder": str(folder)})
    except Exception as error:
        LOGGER.warning(f"{member.label}: its results cannot be read: {member.origins.described(error)}")
        member.call("reset")
