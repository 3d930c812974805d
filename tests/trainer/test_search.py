"""A search of Ultralytics' own tuner, with one that trains nothing; `tests/training/test_search.py` has a real one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from yolo_callbacks.trainer.search import Search, current_search, note_iteration, watch_searches

Iterate = Callable[[Path], None]


def tuner(folder: Path, iterate: Iterate, project: str | None = "crowns") -> Callable[[], str]:
    """Make a tuner, of a class of its own that is watched."""

    class Tuner:
        tune_dir, args = folder, SimpleNamespace(project=project)

        def __call__(self, result: str = "done") -> str:
            iterate(folder)
            return result

    watch_searches(Tuner)
    watch_searches(Tuner)
    return Tuner()


def iteration(folder: Path, number: int, names: list[str], *, best: bool, to: str = "weights") -> None:
    """What an iteration writes, and the tuner's copies of it where it is the best."""
    weights = folder.parent / f"train{number}" / "weights"
    weights.mkdir(parents=True)
    for name in [*names, "last.pt"]:
        (weights / name).write_text(str(number))
        os.utime(weights / name, ns=(number, number))
    (weights / "best-a.json").write_text("{}")
    search = current_search()
    assert search is not None
    note_iteration(search, weights, [weights / name for name in names])
    for path in weights.glob("*.pt") if best else ():
        shutil.copy2(path, folder / to)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.pt")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tune" / "weights").mkdir(parents=True)
    return tmp_path / "tune"


def test_an_iteration_knows_its_search(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    seen: list[Search | None] = []
    assert current_search() is None
    assert tuner(Path("tune"), lambda _: seen.append(current_search()))() == "done"
    assert seen == [Search(folder, "crowns")]
    assert current_search() is None
    tuner(folder, lambda _: seen.append(current_search()), project=None)()
    assert seen[1:] == [Search(folder, "")]


@pytest.mark.parametrize("content", ["", "no JSON", "[]", '{"folder": 1}'])
def test_a_variable_of_other_content_names_no_search(content, monkeypatch):
    monkeypatch.setenv("YOLO_CALLBACKS_SEARCH", content)
    assert current_search() is None


def test_copies_of_earlier_iterations_are_removed_at_the_end(folder, messages):
    def iterate(folder: Path) -> None:
        (folder / "weights" / "mine.pt").write_text("of the user")
        iteration(folder, 1, ["best-a-epoch001.pt", "best-a-epoch002.pt", "best-b.pt"], best=True)
        iteration(folder, 2, ["best-a-epoch002.pt", "best-a-epoch003.pt"], best=True)
        iteration(folder, 3, ["best-a-epoch004.pt"], best=False)

    tuner(folder, iterate)()
    assert names_in(folder / "weights") == {"best-a-epoch002.pt", "best-a-epoch003.pt", "last.pt", "mine.pt"}
    assert messages == [
        f"Removed checkpoints of earlier iterations from {folder / 'weights'}: best-a-epoch001.pt, best-b.pt"
    ]


def test_each_of_several_data_sets_has_a_folder(folder):
    def iterate(folder: Path) -> None:
        for number, name, to in (
            (1, "best-a-epoch001.pt", "one"),
            (2, "best-a-epoch001.pt", "two"),
            (3, "x.pt", "one"),
        ):
            (folder / "weights" / to).mkdir(exist_ok=True)
            iteration(folder, number, [name], best=True, to=f"weights/{to}")

    tuner(folder, iterate)()
    assert names_in(folder / "weights" / "one") == {"x.pt", "last.pt"}
    assert names_in(folder / "weights" / "two") == {"best-a-epoch001.pt", "last.pt"}


def test_a_search_that_fails_or_is_resumed(folder):
    """What an earlier search of the folder has noted counts; a damaged line does not."""

    def fail(folder: Path) -> None:
        iteration(folder, 1, ["best-a-epoch001.pt"], best=True)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuner(folder, fail)()
    assert current_search() is None
    with (folder / "callbacks.iterations.jsonl").open("a") as file:
        file.write('{"kept": {"last.pt": [1]}, "others": {}}\n{"kept": ')
        file.write("\n")
    tuner(folder, lambda folder: iteration(folder, 2, ["best-a-epoch002.pt"], best=True))()
    assert names_in(folder / "weights") == {"best-a-epoch002.pt", "last.pt"}


def test_what_callbacks_did_not_write_stays(folder, monkeypatch, messages):
    """A file of another origin with the name of one of ours, and a file that cannot be removed."""

    def iterate(folder: Path) -> None:
        iteration(folder, 1, ["best-a-epoch001.pt", "best-b.pt"], best=True)
        (folder / "weights" / "best-b.pt").write_text("of the user")
        iteration(folder, 2, [], best=True)
        monkeypatch.setattr(Path, "unlink", refuse)

    def refuse(self: Path, **options: bool) -> None:
        raise PermissionError("not allowed")

    tuner(folder, iterate)()
    assert names_in(folder / "weights") == {"best-a-epoch001.pt", "best-b.pt", "last.pt"}
    assert len(messages) == 1
    assert messages[0].endswith("which could not be removed: not allowed")
