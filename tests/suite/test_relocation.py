"""A run's folder that was moved or copied: the state beside the checkpoint is taken, and nothing is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from state_mutations import EPOCH, StandIn, callbacks, copy_of_real_state
from trainings import TINY, interrupted, results_csv
from ultralytics import YOLO

from yolo_callbacks import EarlyStopping, JsonlLogger, ReduceLROnPlateau, SaveBest, attach
from yolo_callbacks.cli.command import main
from yolo_callbacks.suite.suite import Suite
from yolo_callbacks.trainer.installation import resume_takes_save_dir
from yolo_callbacks.utils.stored_paths import with_folder

VALUES = [0.1, 0.5, 0.4, 0.3, 0.3, 0.2, 0.2]
# a reduction after each epoch without improvement: from the third on
FACTORS = {3: 1.0, 4: 0.5, 5: 0.25, 6: 0.125}


def test_the_table_of_a_moved_run_names_the_new_folder(tmp_path):
    summary = {"folder": "/old/run", "callbacks": [{"outcome": "best: /old/run/weights/best.pt"}, {"outcome": None}]}
    shown = with_folder(summary, tmp_path)
    assert shown["folder"] == str(tmp_path)
    assert [row["outcome"] for row in shown["callbacks"]] == [f"best: {tmp_path}/weights/best.pt", None]
    assert with_folder(shown, tmp_path) == shown


# Real trainings -------------------------------------------------------------------------------------------------------


def suite_of(model: YOLO) -> Any:
    plateau = ReduceLROnPlateau("val/box_loss", factor=0.5, patience=0)
    return attach(model, SaveBest("mAP50", top_k=2), EarlyStopping("mAP50", patience=9), plateau, JsonlLogger())


@pytest.fixture
def begun(train, scripted):
    """A run of six epochs that was interrupted after some."""

    def begin(after: int = 3, **arguments: Any) -> Path:
        scripted(VALUES)
        model = YOLO(TINY)
        suite_of(model)
        constant = {"epochs": 6, "optimizer": "SGD", "lrf": 1.0, "warmup_epochs": 0, "name": "here"}
        return interrupted(train, model, after, **constant | arguments)

    return begin


@pytest.fixture
def resume(scripted):
    """Resume from a checkpoint; returns model, callbacks, and the factor of the rate by epoch."""

    def go_on(checkpoint: Path, after: int = 3, until: int = 6, **arguments: Any) -> SimpleNamespace:
        scripted(VALUES[after:])
        model, factors = YOLO(checkpoint), {}
        suite = suite_of(model)

        def note(trainer: Any) -> None:
            factors[trainer.epoch + 1] = round(trainer.optimizer.param_groups[0]["lr"] / trainer.args.lr0, 6)
            if trainer.epoch + 1 > until:
                raise KeyboardInterrupt

        model.add_callback("on_train_epoch_end", note)
        if until < 6:
            with pytest.raises(KeyboardInterrupt):
                model.train(resume=True, **arguments)
        else:
            model.train(resume=True, **arguments)
        return SimpleNamespace(model=model, suite=suite, factors=factors, folder=Path(model.trainer.save_dir))

    return go_on


def as_if_never_moved(run: SimpleNamespace) -> None:
    """Assert that the moved run has left the files of a whole run of six epochs."""
    folder = run.folder
    best, stopping, plateau, _ = run.suite.callbacks
    assert (best.best_epoch, list(best.best_k_models.values())) == (2, [0.5, 0.4])
    assert all(path.is_file() and path.parent == folder / "weights" for path in best.best_k_models)
    epochs = [json.loads(path.with_suffix(".json").read_text())["epoch"] for path in best.best_k_models]
    assert epochs == [2, 3]
    assert (stopping.best_epoch, stopping.wait_count, plateau.reductions) == (2, 4, [3, 4, 5, 6])
    rows = [json.loads(line).get("epoch") for line in (folder / "callbacks.jsonl").read_text().splitlines()]
    # Ultralytics makes no best.pt in a new folder before an epoch is better, and evaluates none at the end then
    assert rows == [1, 2, 3, 4, 5, 6] + [None] * (folder / "weights" / "best.pt").exists()
    assert [row["epoch"] for row in results_csv(folder)] == [1, 2, 3, 4, 5, 6]
    state = json.loads((folder / "callbacks.json").read_text())
    assert (state["epoch"], state["summary"]["status"], state["summary"]["folder"]) == (6, "finished", str(folder))
    assert run.suite.load_results()["epoch"] == 6


def moved_messages(messages: list[str]) -> list[str]:
    return [message for message in messages if "this run is resumed from" in message]


@pytest.mark.training
@pytest.mark.smoke
def test_a_moved_run_goes_on_as_before(begun, resume, tmp_path, messages, capsys):
    here = begun()
    there = Path(shutil.move(here, tmp_path / "there"))
    run = resume(there / "weights" / "last.pt")
    assert run.folder == here
    assert run.factors == {epoch: FACTORS[epoch] for epoch in (4, 5, 6)}
    as_if_never_moved(run)
    (message,) = moved_messages(messages)
    assert str(here) in message
    assert str(there) in message
    assert ("save_dir='" in message) == resume_takes_save_dir()
    assert not any("Traceback" in message for message in messages)
    again = Path(shutil.move(here, tmp_path / "again"))
    main(["show", str(again)])
    shown = capsys.readouterr().out
    assert f": {Path('weights', 'best-mAP50-epoch002.pt')}" in shown
    assert f"files in {again}" in shown


@pytest.mark.training
def test_two_moves_in_a_row_and_a_kill_between(begun, resume, tmp_path):
    here = begun()
    there = Path(shutil.move(here, tmp_path / "there"))
    resume(there / "weights" / "last.pt", until=4)
    (here / "callbacks.json").unlink()  # as if the kill had come before it: the journal was copied
    second = Path(shutil.move(here, tmp_path / "second"))
    run = resume(second / "weights" / "last.pt", after=4)
    assert run.factors == {epoch: FACTORS[epoch] for epoch in (5, 6)}
    as_if_never_moved(run)


@pytest.mark.training
def test_a_copy_while_the_original_has_gone_on(begun, resume, tmp_path):
    here = begun(after=3)
    copy = Path(shutil.copytree(here, tmp_path / "copy"))
    resume(here / "weights" / "last.pt", until=5)
    state = json.loads((here / "callbacks.json").read_text())
    assert state["epoch"] == 5
    run = resume(copy / "weights" / "last.pt", until=3)  # interrupted before its first checkpoint
    assert json.loads((here / "callbacks.json").read_text())["epoch"] == 3
    run = resume(here / "weights" / "last.pt", after=5)  # the original goes on: its journal is still there
    assert run.factors == {6: FACTORS[6]}
    assert run.suite.callbacks[2].reductions == [3, 4, 5, 6]
    shutil.rmtree(here / "weights")
    (here / "results.csv").unlink()
    run = resume(copy / "weights" / "last.pt")
    assert run.factors == {epoch: FACTORS[epoch] for epoch in (4, 5, 6)}
    as_if_never_moved(run)


@pytest.mark.training
def test_a_moved_run_that_was_over_ends_at_once(train, scripted, tmp_path, messages):
    scripted([0.3, 0.2, 0.1, 0.1])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"), EarlyStopping("mAP50", patience=2))
    here = interrupted(train, model, 3, epochs=6)
    there = Path(shutil.move(here, tmp_path / "there"))
    scripted([0.3])
    resumed, saved, stopping = (
        YOLO(there / "weights" / "last.pt"),
        SaveBest("mAP50"),
        EarlyStopping("mAP50", patience=2),
    )
    attach(resumed, saved, stopping)
    resumed.train(resume=True)
    assert (saved.best_epoch, stopping.stopped_epoch, len(results_csv(here))) == (1, 3, 3)
    assert {path.name for path in (here / "weights").glob("*.pt")} == {"last.pt", "best.pt", "best-mAP50.pt"}
    assert not any("Traceback" in message for message in messages)


@pytest.mark.training
def test_resumed_by_a_relative_path_from_another_working_directory(begun, resume, tmp_path, monkeypatch, messages):
    here = begun()
    shutil.move(here, tmp_path / "there")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = resume(Path("../there/weights/last.pt"))
    assert run.factors == {epoch: FACTORS[epoch] for epoch in (4, 5, 6)}
    as_if_never_moved(run)
    assert len(moved_messages(messages)) == 1


@pytest.mark.training
def test_save_dir_continues_a_moved_run_in_place(begun, resume, tmp_path, messages):
    if not resume_takes_save_dir():
        pytest.skip("the folder of a checkpoint is fixed before 8.4.93")
    there = Path(shutil.move(begun(), tmp_path / "there"))
    run = resume(there / "weights" / "last.pt", save_dir=str(there))
    assert run.folder == there
    assert run.factors == {epoch: FACTORS[epoch] for epoch in (4, 5, 6)}
    as_if_never_moved(run)
    assert moved_messages(messages) == []


@pytest.mark.training
def test_a_checkpoint_that_was_copied_alone_uses_the_state_of_its_run(begun, resume, tmp_path, messages):
    here = begun()
    (tmp_path / "alone").mkdir()
    shutil.copy(here / "weights" / "last.pt", tmp_path / "alone")
    run = resume(tmp_path / "alone" / "last.pt")
    assert run.factors == {epoch: FACTORS[epoch] for epoch in (4, 5, 6)}
    as_if_never_moved(run)
    assert moved_messages(messages) == []


# On a trainer that does nothing ---------------------------------------------------------------------------------------


def restored(folder: Path, checkpoint: Path) -> Suite:
    suite, trainer = Suite(callbacks()), StandIn(folder, checkpoint)
    suite.handle("on_pretrain_routine_end", trainer)
    suite.handle("on_train_start", trainer)
    return suite


def test_folders_of_wandb_runs_are_those_of_the_moved_run(tmp_path):
    moved, old = copy_of_real_state(tmp_path / "moved"), tmp_path / "old"
    name = "offline-run-20261126_154829-y0k7ioov"
    (moved / "wandb" / name).mkdir(parents=True)
    (old / "weights").mkdir(parents=True)
    suite = restored(old, moved / "weights" / "last.pt")
    logger = suite.callbacks[-1]
    assert logger._folders == [str(moved / "wandb" / name)]
    assert json.loads((old / "callbacks.json").read_text())["callbacks"]["WandbLogger"]["folders"] == logger._folders
    in_place = restored(moved, moved / "weights" / "last.pt").callbacks[-1]
    assert in_place.state_dict()["folders"] == [f"wandb/{name}"]


def test_a_foreign_run_in_the_old_place_keeps_its_rows(tmp_path, messages):
    moved, old = copy_of_real_state(tmp_path / "moved"), copy_of_real_state(tmp_path / "old")
    foreign = (old / "callbacks.jsonl").read_text().replace("0.5", "0.7")
    (old / "callbacks.jsonl").write_text(foreign)
    (moved / "results.csv").write_text("epoch,time\n1,1\n2,2\n3,3\n4,4\n")
    (old / "weights" / "best-recall.pt").write_text("of another run")
    restored(old, moved / "weights" / "last.pt")
    assert (old / "callbacks.jsonl.corrupt").read_text() == foreign
    assert (old / "callbacks.jsonl").read_text() == (moved / "callbacks.jsonl").read_text()
    assert (old / "results.csv").read_text() == "epoch,time\n1,1\n2,2\n3,3\n"  # the fourth is trained again
    assert (old / "weights" / "best-recall.pt").read_text() == "best-recall"
    assert len(moved_messages(messages)) == 1


def test_state_beside_the_checkpoint_that_is_of_another_epoch_is_not_taken(tmp_path, messages):
    moved, old = copy_of_real_state(tmp_path / "moved"), copy_of_real_state(tmp_path / "old")
    (moved / "callbacks.journal.jsonl").unlink()
    state = json.loads((moved / "callbacks.json").read_text())
    (moved / "callbacks.json").write_text(json.dumps({**state, "epoch": EPOCH + 4}))
    suite = restored(old, moved / "weights" / "last.pt")
    assert suite.callbacks[3].reductions == [3]
    assert moved_messages(messages) == []


def test_a_link_to_the_folder_is_no_move(tmp_path, messages):
    folder = copy_of_real_state(tmp_path / "run")
    (tmp_path / "link").symlink_to(folder)
    suite = restored(folder, tmp_path / "link" / "weights" / "last.pt")
    assert suite.callbacks[3].reductions == [3]
    assert moved_messages(messages) == []


def test_a_moved_folder_that_cannot_be_written_to_only_warns(tmp_path, monkeypatch, messages):
    moved, old = copy_of_real_state(tmp_path / "moved"), tmp_path / "old"
    (old / "weights").mkdir(parents=True)

    def refuse(*_: Any) -> None:
        raise OSError("no room")

    monkeypatch.setattr("yolo_callbacks.state.journal.replace_atomic", refuse)
    monkeypatch.setattr("yolo_callbacks.trainer.checkpoint_copies.copy_atomic", refuse)
    suite = restored(old, moved / "weights" / "last.pt")
    assert suite.callbacks[3].reductions == [3]
    assert suite.callbacks[0].best_epoch == 0  # its files could not be copied
    assert any("no room" in message for message in messages)
    assert not any("Traceback" in message for message in messages)
