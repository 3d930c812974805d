"""Know the search of `model.tune()` that a training is an iteration of, and keep its folder of weights tidy.

Ultralytics' own tuner trains each iteration in another process. It removes the folder of every iteration but the best
one, and copies the checkpoints of each new best iteration to `weights/` in its own folder, over those that are there.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolo_callbacks.decisions.stale_copies import Iteration, Stamp, stale_copies
from yolo_callbacks.utils.fields import Field, StateError, mapping, optional, pair, read_fields, text, whole
from yolo_callbacks.utils.files import LOGGER, append_line, parse_json, stamp, to_json
from yolo_callbacks.utils.lenient import json_lines
from yolo_callbacks.utils.mlflow_run import active_run_id

__all__ = ["Search", "current_search", "note_iteration", "watch_searches"]

_VARIABLE = "YOLO_CALLBACKS_SEARCH"
_ITERATIONS = "callbacks.iterations.jsonl"
_WATCHED = "_yolo_callbacks"  # on a method that is wrapped already
_STAMPS = mapping(pair(whole(0, 2**63), whole(0, 2**63)))


@dataclass(frozen=True)
class Search:
    """A search of Ultralytics' own tuner.

    Attributes:
        folder: The folder of the search, which stays.
        project: The argument `project=` of the search.
        mlflow_run: The id of the MLflow run that was active when the search began; None without one.
    """

    folder: Path
    project: str
    mlflow_run: str | None = None


def current_search() -> Search | None:
    """Return the search that the trainings of this process are iterations of; None where they are of none."""
    try:
        fields = {"folder": Field(text), "project": Field(text), "mlflow_run": Field(optional(text), None)}
        found = read_fields(parse_json(os.environ.get(_VARIABLE, "")), fields)
    except ValueError:
        return None
    return Search(Path(found["folder"]), found["project"], found["mlflow_run"])


def watch_searches(tuner: type[Any]) -> None:
    """Let the iterations of a search know it, and remove stale checkpoints at its end.

    Args:
        tuner: The class of Ultralytics' own tuner, or a class that inherits from it.
    """
    search = tuner.__call__
    if getattr(search, _WATCHED, False):
        return

    @functools.wraps(search)
    def watched(self: Any, *arguments: Any, **keywords: Any) -> Any:
        folder = Path(self.tune_dir).absolute()
        with _announced(Search(folder, str(self.args.project or ""), active_run_id())):
            try:
                return search(self, *arguments, **keywords)
            finally:
                _remove_stale_copies(folder)

    setattr(watched, _WATCHED, True)
    tuner.__call__ = watched


@contextmanager
def _announced(search: Search) -> Iterator[None]:
    """Name a search to the processes that start in the block."""
    before = os.environ.get(_VARIABLE)
    content = {"folder": str(search.folder), "project": search.project, "mlflow_run": search.mlflow_run}
    os.environ[_VARIABLE] = to_json(content)
    try:
        yield
    finally:
        os.environ.pop(_VARIABLE, None)
        if before is not None:
            os.environ[_VARIABLE] = before


def note_iteration(search: Search, weights: Path, kept: Iterable[Path]) -> None:
    """Note the checkpoints of an iteration at its end, by which their copies are known.

    Args:
        search: The search of the iteration.
        weights: The folder of its checkpoints.
        kept: The files that callbacks have written, of any kind.

    Raises:
        OSError: If the folder of the search does not allow the write.
    """
    stamps = _stamps(weights)
    ours = {path.name for path in kept if path.parent == weights}
    noted = Iteration(
        kept={name: each for name, each in stamps.items() if name in ours},
        others={name: each for name, each in stamps.items() if name not in ours},
    )
    append_line(search.folder / _ITERATIONS, to_json(noted._asdict()))


def _remove_stale_copies(folder: Path) -> None:
    """Remove what callbacks have written in iterations that are no longer the best; a failure only warns."""
    try:
        iterations = _noted_iterations(folder / _ITERATIONS)
        weights = folder / "weights"
        of_data_sets = [path for path in weights.glob("*") if path.is_dir()]  # where there are several
        for place in (weights, *of_data_sets):
            stale = stale_copies(_stamps(place), iterations)
            for name in stale:
                (place / name).unlink(missing_ok=True)
            if stale:
                LOGGER.info(f"Removed checkpoints of earlier iterations from {place}: {', '.join(stale)}")
    except OSError as error:
        LOGGER.warning(f"{folder} may hold checkpoints of earlier iterations, which could not be removed: {error}")


def _noted_iterations(file: Path) -> list[Iteration]:
    found = []
    for line in json_lines(file) if file.is_file() else ():
        try:
            read = read_fields(line, {"kept": Field(_STAMPS), "others": Field(_STAMPS)})
        except StateError:
            continue
        found.append(Iteration(read["kept"], read["others"]))
    return found


def _stamps(folder: Path) -> dict[str, Stamp]:
    return {path.name: stamp(path) for path in folder.glob("*.pt") if not path.is_symlink()}
