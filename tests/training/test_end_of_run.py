"""The end of a run: checkpoints are stripped whole, last.pt at the very end, and what is over is not resumed."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from trainings import TINY, detection_metrics, interrupted, results_csv
from ultralytics import YOLO
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils.torch_utils import strip_optimizer

from yolo_callbacks import SaveBest, attach
from yolo_callbacks.state.state_file import STATE_FILE
from yolo_callbacks.trainer.installation import installed_version

pytestmark = pytest.mark.training


# Older versions refuse to resume from any stripped checkpoint; at the latest this one starts a new training.
starts_anew = pytest.mark.skipif(installed_version() < (8, 4, 190), reason="Ultralytics refuses by itself")


def stripped(path: Path) -> bool:
    return torch.load(path, map_location="cpu", weights_only=False)["optimizer"] is None


def temporary_files(folder: Path) -> list[Path]:
    return list(folder.rglob(".*.tmp"))


def test_last_is_stripped_after_everything_else(train, scripted):
    scripted([0.1, 0.3])
    model, seen = YOLO(TINY), {}
    suite = attach(model, SaveBest("mAP50"))

    def look(name):
        def called(trainer):
            if trainer.epoch > 0:
                seen[name] = stripped(trainer.last), stripped(trainer.best)

        return called

    for event in ("on_model_save", "on_val_end", "on_train_end", "teardown"):
        model.add_callback(event, look(event) if event != "on_val_end" else lambda validator: None)
    folder = train(model, epochs=2)
    assert seen == {"on_model_save": (False, False), "on_train_end": (False, True), "teardown": (False, True)}
    assert stripped(folder / "weights" / "last.pt")
    assert suite.load_results()["summary"]["status"] == "finished"
    assert not temporary_files(folder)


def test_stripped_checkpoints_are_those_of_ultralytics(train, scripted, tmp_path):
    scripted([0.1, 0.3])
    model = YOLO(TINY)
    plain = train(model, epochs=2, name="plain")
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"))
    scripted([0.1, 0.3])
    suite = train(model, epochs=2, name="suite")
    for name in ("last.pt", "best.pt"):
        ours, theirs = (
            torch.load(run / "weights" / name, map_location="cpu", weights_only=False) for run in (suite, plain)
        )
        assert ours.keys() == theirs.keys()
        for key in ("epoch", "optimizer", "ema", "updates", "best_fitness", "train_metrics"):
            assert ours[key] == theirs[key]
        assert len(ours["train_results"]["epoch"]) == len(theirs["train_results"]["epoch"]) == 2
        pairs = zip(ours["model"].state_dict().values(), theirs["model"].state_dict().values(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("name", ["last.pt", "best.pt"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("unexpected pos")])
def test_a_checkpoint_that_cannot_be_stripped_stays_whole(train, scripted, monkeypatch, messages, name, error):
    """A full disk: torch reports it as RuntimeError."""
    scripted([0.1, 0.3])
    save = torch.save

    def full(content, file, *arguments, **keywords):
        if isinstance(file, (str, Path)) and Path(file).name.startswith(f".{name}."):
            Path(file).write_bytes(b"half")
            raise error
        return save(content, file, *arguments, **keywords)

    monkeypatch.setattr(torch, "save", full)
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"))
    folder = train(model, epochs=2)
    other = {"last.pt": "best.pt", "best.pt": "last.pt"}[name]
    assert (stripped(folder / "weights" / name), stripped(folder / "weights" / other)) == (False, True)
    assert [message for message in messages if f"{name} could not be stripped and stays as it was" in message]
    assert not temporary_files(folder)


@pytest.fixture
def interruptible():
    """Handle SIGINT as in a terminal: a process in the background of a script inherits that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("epoch", [1, 2])
def test_a_ctrl_c_during_the_write_of_a_checkpoint_counts_its_epoch(train, scripted, monkeypatch, epoch):
    scripted([0.1, 0.3, 0.2])
    read = BaseTrainer.read_results_csv

    def interrupting(trainer):  # Ultralytics calls it in save_model()
        if trainer.epoch + 1 == epoch:
            signal.raise_signal(signal.SIGINT)
        return read(trainer)

    monkeypatch.setattr(BaseTrainer, "read_results_csv", interrupting)
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"))
    with pytest.raises(KeyboardInterrupt):
        train(model, epochs=3)
    folder = Path(model.trainer.save_dir)
    summary = json.loads((folder / STATE_FILE).read_text())["summary"]
    assert summary["epochs"] == epoch == len(results_csv(folder))
    assert summary["next_step"].startswith("from ultralytics import YOLO")
    monkeypatch.setattr(BaseTrainer, "read_results_csv", read)
    resumed, saved = YOLO(folder / "weights" / "last.pt"), SaveBest("mAP50")
    scripted([0.1, 0.3, 0.2][epoch:])
    attach(resumed, saved)
    resumed.train(resume=True)
    assert saved.best_epoch == 2


def test_an_interrupted_end_leaves_a_run_that_a_resume_finishes(train, scripted):
    """A Ctrl-C in the final evaluation, after the stripping."""
    scripted([0.1, 0.3])

    def interrupt(validator):
        if not validator.training:
            raise KeyboardInterrupt

    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"))
    model.add_callback("on_val_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(model, epochs=2)
    folder = Path(model.trainer.save_dir)
    last = folder / "weights" / "last.pt"
    assert not stripped(last)
    assert not temporary_files(folder)
    assert json.loads((folder / STATE_FILE).read_text())["summary"]["status"] == "ended by Ctrl-C"
    resumed = YOLO(last)
    attach(resumed, SaveBest("mAP50"))
    epochs = []
    resumed.add_callback("on_train_epoch_end", lambda trainer: epochs.append(trainer.epoch))
    resumed.train(resume=True)
    assert epochs == []
    assert stripped(last)
    assert json.loads((folder / STATE_FILE).read_text())["summary"]["status"] == "finished"


def test_an_interrupted_end_after_a_late_attachment_leaves_a_run_that_can_be_resumed(train, scripted):
    scripted([0.1, 0.3])

    def attach_late(trainer):
        if trainer.epoch == 0:
            attach(trainer, SaveBest("mAP50"))

    def interrupt(validator):
        if not validator.training:
            raise KeyboardInterrupt

    model = YOLO(TINY)
    model.add_callback("on_train_epoch_start", attach_late)
    model.add_callback("on_val_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(model, epochs=2)
    assert not stripped(Path(model.trainer.last))
    if installed_version() > (8, 4, 140):  # earlier ones do not call `teardown`; the next run there removes the file
        assert not temporary_files(Path(model.trainer.save_dir))


def test_a_final_eval_of_the_users_own_strips_through_temporary_files_too(train, scripted, monkeypatch):
    written = []
    save = torch.save

    def record(content, file, *arguments, **keywords):
        if isinstance(file, (str, Path)):
            written.append(Path(file).name)
        return save(content, file, *arguments, **keywords)

    class Own(DetectionTrainer):
        def final_eval(self):
            for path in (self.last, self.best):
                strip_optimizer(path)

    monkeypatch.setattr(torch, "save", record)
    scripted([0.1, 0.3])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"))
    folder = train(model, trainer=Own, epochs=2)
    assert stripped(folder / "weights" / "last.pt")
    assert stripped(folder / "weights" / "best.pt")
    assert {name.split(".pt.")[0] for name in written} == {".last", ".best"}
    assert stripped(folder / "weights" / "best-mAP50.pt")  # a copy of best.pt, which is of the same epoch


@pytest.mark.parametrize(
    ("monitor", "replaced", "copied"),
    [("mAP50", False, True), ("recall", False, False), ("mAP50", True, False)],
    ids=["the epoch of best.pt", "another epoch", "a best.pt that other code has replaced"],
)
def test_a_checkpoint_of_the_epoch_of_best_pt_is_not_serialised_again(train, scripted, monitor, replaced, copied):
    recalls = {0.1: 0.9, 0.3: 0.2}
    scripted([detection_metrics(value, **{"metrics/recall(B)": recall}) for value, recall in recalls.items()])
    model = YOLO(TINY)
    attach(model, SaveBest(monitor))

    def replace(trainer: Any) -> None:
        if not trainer.validator.training and replaced:
            shutil.copyfile(trainer.last, trainer.best)

    model.callbacks["on_fit_epoch_end"].insert(0, replace)
    folder = train(model, epochs=2)
    ours, best = (folder / "weights" / name for name in (f"best-{monitor}.pt", "best.pt"))
    assert stripped(ours)
    assert (ours.read_bytes() == best.read_bytes()) == copied
    assert not ours.samefile(best)
    assert YOLO(ours).ckpt["train_metrics"]["metrics/recall(B)"] == (0.9 if monitor == "recall" else 0.2)


def test_checkpoints_of_a_period_are_written_whole(train, scripted, monkeypatch):
    scripted([0.1, 0.3])
    written, write = [], Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", lambda self, data: (written.append(self), write(self, data))[1])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"))
    folder = train(model, epochs=2, save_period=1)
    assert {path.name for path in (folder / "weights").glob("epoch*.pt")} == {"epoch0.pt", "epoch1.pt"}
    assert written
    assert not [path for path in written if path.parent == folder / "weights"]
    assert not temporary_files(folder)


@pytest.mark.parametrize("name", ["last.pt", "best.pt", "best-mAP50.pt"])
@pytest.mark.parametrize("named", [False, True])
def test_a_run_that_is_over_is_not_resumed(train, scripted, tmp_path, name, named):
    scripted([0.1, 0.3])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"))
    folder = train(model, epochs=2)
    path = folder / "weights" / name
    model = YOLO(path)
    attach(model, SaveBest("mAP50"))
    with pytest.raises(ValueError, match=rf"{name} is of a run that is over.*yolo-callbacks extend {folder} epochs="):
        model.train(resume=str(path) if named else True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


@starts_anew
def test_without_callbacks_ultralytics_decides(train, scripted):
    scripted([0.1])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"))
    folder = train(model, epochs=1)
    scripted([0.1])
    assert train(YOLO(folder / "weights" / "last.pt"), epochs=1, resume=True, name="again").name == "again"


def test_a_checkpoint_without_optimizer_of_an_interrupted_run_names_the_one_to_resume(train, scripted):
    """The final evaluation has stripped best.pt before a kill."""
    scripted([0.1, 0.3])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"))
    folder = interrupted(train, model, 2, epochs=4)
    strip_optimizer(folder / "weights" / "best.pt")
    model = YOLO(folder / "weights" / "best.pt")
    attach(model, SaveBest("mAP50"))
    with pytest.raises(ValueError, match=rf"cannot be resumed: resume {folder / 'weights' / 'last.pt'}"):
        model.train(resume=True)


@starts_anew
def test_weights_that_lie_in_no_run_are_left_to_ultralytics(train, scripted, tmp_path):
    scripted([0.1])
    model = YOLO(TINY)
    folder = train(model, epochs=1, name="elsewhere")
    weights = tmp_path / "pretrained.pt"
    (folder / "weights" / "best.pt").rename(weights)
    scripted([0.1])
    model = YOLO(weights)
    attach(model, SaveBest("mAP50"))
    assert train(model, epochs=1, resume=True, name="new").name == "new"


def test_a_run_that_has_all_its_epochs_ends_at_once_without_any_state(train, scripted):
    """Its callbacks.json and journal are gone."""
    scripted([0.1, 0.3])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"), keep_resumable=True)
    folder = train(model, epochs=2)
    for name in (STATE_FILE, "callbacks.journal.jsonl"):
        (folder / name).unlink()
    resumed, epochs = YOLO(folder / "weights" / "last.pt"), []
    attach(resumed, SaveBest("mAP50"))
    resumed.add_callback("on_train_epoch_end", lambda trainer: epochs.append(trainer.epoch))
    scripted([0.9, 0.9])
    resumed.train(resume=True)
    assert epochs == []
    assert stripped(folder / "weights" / "last.pt")
