"""Copies that cost no time: complete at once, files of their own soon after, whatever is written in the meantime."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trainings import TINY
from ultralytics import YOLO
from ultralytics.models.yolo.detect import DetectionTrainer

from yolo_callbacks import SaveBest, attach
from yolo_callbacks.trainer import linked_copies
from yolo_callbacks.trainer.linked_copies import LinkedCopies, break_hard_link
from yolo_callbacks.utils.background import Background
from yolo_callbacks.utils.files import write_json

WEIGHTS = b"\x00\xffweights" * 1000


@pytest.fixture
def last(tmp_path: Path) -> Path:
    path = tmp_path / "last.pt"
    path.write_bytes(WEIGHTS)
    return path


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """The thread does nothing before this is set."""
    event = threading.Event()

    def waiting(path: Path) -> None:
        event.wait(60)
        break_hard_link(path)

    monkeypatch.setattr(linked_copies, "break_hard_link", waiting)
    return event


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refuse(*_: Any, **__: Any) -> None:
    raise OSError("no room")


# Files ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_copy_is_complete_at_once_and_a_file_of_its_own_soon_after(last, held, old):
    target, copies = last.with_name("best.pt"), LinkedCopies(Background())
    if old:
        target.write_bytes(old)
    copies.take(last, target)
    assert target.samefile(last)
    held.set()
    copies.wait()
    assert not target.samefile(last)
    assert target.stat().st_mtime_ns == last.stat().st_mtime_ns
    last.write_bytes(b"the next epoch")  # in place, as Ultralytics does without us
    assert target.read_bytes() == WEIGHTS
    assert listing(last.parent) == ["best.pt", "last.pt"]


lists_open_files = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs the list of open files")


def waiting_to_be_freed() -> int:
    """How many files named best.pt are open and have no name any more."""
    names = [name for name in Path("/proc/self/fd").iterdir() if name.is_symlink()]
    return sum(str(name.readlink()).endswith("best.pt (deleted)") for name in names)


@lists_open_files
def test_what_is_replaced_or_removed_is_freed_by_the_thread(last, held):
    target, copies = last.with_name("best.pt"), LinkedCopies(Background())
    target.write_bytes(b"old")
    copies.take(last, last.with_name("other.pt"))  # at which the thread is held
    copies.take(last, target)
    assert waiting_to_be_freed() == 1
    target.write_bytes(b"new")
    with copies.free_in_background(target):
        target.unlink()
    assert waiting_to_be_freed() >= 1
    held.set()
    copies.wait()
    assert waiting_to_be_freed() == 0


@lists_open_files
@pytest.mark.parametrize(("room", "kept"), [(10, 1), (9, 0)])
def test_what_is_written_again_before_long_is_freed_just_before_it(last, monkeypatch, room, kept):
    best, thread = last.with_name("best.pt"), Background()
    copies = LinkedCopies(thread)
    best.write_bytes(WEIGHTS)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=room * len(WEIGHTS)))
    with copies.free_in_background(best, written_again=True):
        last.replace(best)
    thread.wait()
    assert waiting_to_be_freed() == kept
    for _ in range(2):
        copies.wait()
        assert waiting_to_be_freed() == 0


def test_several_copies_of_one_file(last, held):
    targets, copies = [last.with_name(f"best-{name}.pt") for name in "abc"], LinkedCopies(Background())
    for target in targets:
        copies.take(last, target)
    copies.take(targets[0], targets[2])  # which it is already
    held.set()
    copies.wait()
    copies.wait()
    assert len({target.stat().st_ino for target in [last, *targets]}) == 4
    assert all(target.read_bytes() == WEIGHTS for target in targets)


def test_a_file_system_without_hard_links_gets_a_copy_at_once(last, monkeypatch):
    monkeypatch.setattr(os, "link", refuse)
    target = last.with_name("best.pt")
    LinkedCopies(Background()).take(last, target)
    assert not target.samefile(last)
    assert target.read_bytes() == WEIGHTS


def test_where_no_thread_can_be_started_a_copy_is_made_at_once(last, monkeypatch):
    def no_thread(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    target, copies = last.with_name("best.pt"), LinkedCopies(Background())
    target.write_bytes(b"old")
    copies.take(last, target)
    assert not target.samefile(last)
    assert target.read_bytes() == WEIGHTS
    copies.wait()


def test_what_is_removed_may_be_missing_or_unreadable(tmp_path):
    copies = LinkedCopies(Background())
    for path in (tmp_path / "missing.pt", tmp_path):
        with copies.free_in_background(path):
            pass
    copies.wait()


def test_a_symbolic_link_is_followed(last):
    named, target, copies = last.with_name("link.pt"), last.with_name("best.pt"), LinkedCopies(Background())
    named.symlink_to(last)
    copies.take(named, target)
    copies.wait()
    assert not target.is_symlink()
    assert not target.samefile(last)
    assert target.read_bytes() == WEIGHTS


def test_what_a_kill_left_is_taken_over(last):
    """A copy that had not become a file of its own."""
    target, copies = last.with_name("best.pt"), LinkedCopies(Background())
    os.link(last, target)
    copies.take(last, target)
    copies.take(last, last.with_name("other.pt"))
    copies.wait()
    assert target.read_bytes() == WEIGHTS
    break_hard_link(last)
    assert target.stat().st_nlink == 1
    copies.take(last, target)
    copies.wait()
    assert listing(last.parent) == ["best.pt", "last.pt", "other.pt"]


def test_without_a_source_the_target_stays(tmp_path):
    target = tmp_path / "best.pt"
    target.write_bytes(b"old")
    with pytest.raises(FileNotFoundError, match=r"last\.pt"):
        LinkedCopies(Background()).take(tmp_path / "last.pt", target)
    assert target.read_bytes() == b"old"
    assert listing(tmp_path) == ["best.pt"]


def test_a_file_changed_while_it_is_copied_is_never_half_of_each(last, monkeypatch):
    copyfile = shutil.copyfile

    def changed(source: Path, target: Path) -> None:
        copyfile(source, target)
        last.write_bytes(b"changed")

    monkeypatch.setattr(shutil, "copyfile", changed)
    target, copies = last.with_name("best.pt"), LinkedCopies(Background())
    copies.take(last, target)
    copies.wait()
    assert target.read_bytes() == b"changed"
    assert listing(last.parent) == ["best.pt", "last.pt"]


def test_a_copy_that_finds_no_room_is_given_up_only_where_it_must_be(last, monkeypatch, caplog):
    monkeypatch.setattr(shutil, "copyfile", refuse)
    monkeypatch.setattr(linked_copies.LOGGER, "propagate", True)
    best, other, copies = last.with_name("best.pt"), last.with_name("other.pt"), LinkedCopies(Background())
    copies.take(last, best)
    copies.wait()
    monkeypatch.undo()
    copies.take(last, other)
    copies.wait()
    assert best.read_bytes() == WEIGHTS
    copies.give_up()
    assert listing(last.parent) == ["last.pt", "other.pt"]
    (warning,) = caplog.messages
    assert f"{best} is given up: the disk has no room for it and Ultralytics' own checkpoints" in warning
    copies.give_up()


def test_giving_up_never_raises(last, monkeypatch):
    monkeypatch.setattr(shutil, "copyfile", refuse)
    copies = LinkedCopies(Background())
    copies.take(last, last.with_name("best.pt"))
    copies.wait()
    monkeypatch.setattr(Path, "unlink", refuse)
    copies.give_up()


# In a training --------------------------------------------------------------------------------------------------------


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread is still at it when the next thing happens."""

    def later(path: Path) -> None:
        time.sleep(0.2)
        break_hard_link(path)

    monkeypatch.setattr(linked_copies, "break_hard_link", later)


def names_of_the_best(model: YOLO, saved: SaveBest) -> list[int]:
    """How many names the best file has right after the suite has decided, epoch by epoch."""
    names: list[int] = []

    def look(trainer: Any) -> None:
        if trainer.validator.training:
            names.append(saved.best_model_path.stat().st_nlink)

    model.add_callback("on_fit_epoch_end", look)
    return names


def loaded(folder: Path) -> dict[str, dict[str, Any]]:
    paths = (folder / "weights").glob("*.pt")
    return {path.name: torch.load(path, map_location="cpu", weights_only=False) for path in paths}


@pytest.mark.training
@pytest.mark.parametrize("promote", [False, True])
def test_a_copy_that_is_still_shared_is_not_stripped_with_last_pt(train, scripted, slow, promote):
    scripted([0.1, 0.2, 0.3])
    model, saved = YOLO(TINY), SaveBest("mAP50", keep_optimizer=True, promote=promote)
    attach(model, saved)
    names = names_of_the_best(model, saved)
    folder = train(model, epochs=3)
    assert names == [3 if promote else 2] * 3
    found = loaded(folder)
    assert found["best-mAP50.pt"]["epoch"] == 2
    assert found["best-mAP50.pt"]["optimizer"] is not None
    assert found["last.pt"]["optimizer"] is found["best.pt"]["optimizer"] is None
    assert {path.stat().st_nlink for path in (folder / "weights").iterdir()} == {1}


@pytest.mark.training
def test_the_next_checkpoint_does_not_reach_a_copy_that_is_still_shared(train, scripted, monkeypatch):
    monkeypatch.setattr(linked_copies, "break_hard_link", lambda path: None)
    scripted([0.1, 0.3, 0.2, 0.1])
    model, saved = YOLO(TINY), SaveBest("mAP50", keep_optimizer=True)
    attach(model, saved)
    names = names_of_the_best(model, saved)
    found = loaded(train(model, epochs=4))
    assert names == [2, 2, 1, 1]
    assert found["best-mAP50.pt"]["epoch"] == 1


@pytest.mark.training
def test_a_trainer_that_writes_its_own_way_is_left_alone(train, scripted):
    class OwnTrainer(DetectionTrainer):
        def save_model(self) -> Any:
            written.append(self.last.name)
            return super().save_model()

    written: list[str] = []
    scripted([0.1, 0.2])
    model, saved = YOLO(TINY), SaveBest("mAP50")
    attach(model, saved)
    names = names_of_the_best(model, saved)
    train(model, epochs=2, trainer=OwnTrainer)
    assert (names, written) == ([1, 1], ["last.pt", "last.pt"])


@pytest.mark.training
def test_outside_a_suite_a_copy_is_a_copy(train, scripted):
    scripted([0.1, 0.2])
    model, saved = YOLO(TINY), SaveBest("mAP50")
    model.add_callback("on_fit_epoch_end", saved.on_fit_epoch_end)
    names = names_of_the_best(model, saved)
    train(model, epochs=2)
    assert names == [1, 1]


@pytest.mark.training
@pytest.mark.parametrize("suite", [True, False])
def test_small_files_that_replace_others_are_written_by_the_thread_of_a_suite(train, scripted, monkeypatch, suite):
    by: dict[str, set[str]] = {}

    def noting(path: Path, content: dict[str, Any]) -> None:
        by.setdefault(path.name, set()).add(threading.current_thread().name)
        write_json(path, content)

    for module in ("trainer.checkpoint_copies", "state.run_state"):
        monkeypatch.setattr(f"yolo_callbacks.{module}.write_json", noting)
    scripted([0.1, 0.2, 0.1])
    model, saved = YOLO(TINY), SaveBest("mAP50")
    if suite:
        attach(model, saved)
    else:
        model.add_callback("on_fit_epoch_end", saved.on_fit_epoch_end)
    folder = train(model, epochs=3)
    threads = {name: {thread.rstrip("_0123456789") for thread in names} for name, names in by.items()}
    ours = {"best-mAP50.json": {"yolo-callbacks"}, "callbacks.json": {"yolo-callbacks"}}
    assert threads == (ours if suite else {"best-mAP50.json": {"MainThread"}})
    assert json.loads((folder / "weights" / "best-mAP50.json").read_text())["epoch"] == 2
