"""RemoteControl in real trainings: each change, a file with a mistake, a resume, and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from trainings import TINY, interrupted, results_csv
from ultralytics import YOLO

from yolo_callbacks import EarlyStopping, ReduceLROnPlateau, RemoteControl, SaveBest, TrainingRun, attach
from yolo_callbacks.cli.command import main
from yolo_callbacks.report.reading import read_run

pytestmark = pytest.mark.training

FALLING = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]


def writing(model: YOLO, contents: dict[int, str]) -> None:
    """Write control.yaml while the model trains, in the epochs of `contents`."""

    def write(trainer: Any) -> None:
        if text := contents.get(trainer.epoch + 1):
            (Path(trainer.save_dir) / "control.yaml").write_text(text)

    model.add_callback("on_train_epoch_start", write)


def rates_of(folder: Path) -> list[float]:
    return [row["lr/pg0"] for row in results_csv(folder)]


def controlled(train: Any, contents: dict[int, str], *others: Any, **arguments: Any) -> tuple[Path, RemoteControl]:
    """Train with RemoteControl and other callbacks while control.yaml is written; return the folder and the former."""
    model, control = YOLO(TINY), RemoteControl()
    attach(model, control, *others, strict=True)
    writing(model, contents)
    return train(model, **arguments), control


CONSTANT = {"lrf": 1.0, "warmup_epochs": 0, "optimizer": "SGD", "lr0": 0.01}


def test_a_stop(train, scripted):
    scripted(FALLING)
    folder, control = controlled(train, {3: "stop: true"}, epochs=8)
    assert len(results_csv(folder)) == 3
    assert control.changes == [(3, "stop")]
    summary = json.loads((folder / "callbacks.json").read_text())["summary"]
    assert summary["stopped_by"] == "RemoteControl: control.yaml asks for it"
    assert [event.what for event in read_run(folder).events if event.kind == "change"] == ["Stop"]
    assert (folder / "control.yaml").read_text() == "stop: true"


def test_a_copy_of_the_checkpoint_can_be_resumed(train, scripted):
    scripted(FALLING)
    folder, control = controlled(train, {2: "save: true"}, epochs=3)
    copy = folder / "weights" / "control-epoch002.pt"
    content = torch.load(copy, map_location="cpu", weights_only=False)
    assert content["epoch"] == 1
    assert content["optimizer"] is not None
    assert control.written_files() == [copy]


def test_the_patience_of_every_stopper(train, scripted):
    scripted(FALLING)
    stopping = EarlyStopping("mAP50", patience=50)
    folder, control = controlled(train, {2: "patience: 3"}, stopping, epochs=8, patience=0)
    assert (stopping.stopped_epoch, control.changes) == (4, [(2, "patience 3")])
    assert len(results_csv(folder)) == 4


def test_the_patience_of_ultralytics_own_stopper(train, scripted):
    scripted(FALLING)
    folder, _ = controlled(train, {2: "patience: 3"}, epochs=8, patience=0)
    assert len(results_csv(folder)) == 4
    scripted(FALLING)
    folder, _ = controlled(train, {2: "patience: 0"}, EarlyStopping(), epochs=8, patience=3, name="never")
    assert len(results_csv(folder)) == 8


def test_the_learning_rate_with_a_reduction_on_top(train, scripted):
    scripted(FALLING)
    reduced = ReduceLROnPlateau("mAP50", patience=2, factor=0.1, cooldown=9)
    contents = {1: "lr-scale: 0.5", 3: "lr-scale: 0.25", 5: "lr-scale: 1"}
    folder, control = controlled(train, contents, reduced, epochs=7, **CONSTANT)
    assert reduced.reductions == [4]
    assert rates_of(folder) == pytest.approx([0.01, 0.005, 0.005, 0.0025, 0.00025, 0.001, 0.001])
    assert [epoch for epoch, _ in control.changes] == [1, 3, 5]


def test_a_mistake_is_one_warning_and_a_file_is_applied_once(train, scripted, messages):
    scripted(FALLING)
    contents = {1: "stopx: true", 2: "save: true", 3: "save: true", 4: ": : :", 5: "x" * 5000, 6: "save: true"}
    folder, control = controlled(train, contents, epochs=7)
    warnings = [line for line in messages if "changes nothing" in line]
    assert len(warnings) == 3
    assert "there is no change 'stopx', did you mean 'stop'" in warnings[0]
    assert "it is no YAML" in warnings[1]
    assert "it is larger than 4096 bytes" in warnings[2]
    assert [epoch for epoch, _ in control.changes] == [2, 6]
    assert len(results_csv(folder)) == 7


def test_a_file_of_an_earlier_run_in_the_folder_changes_nothing(train, scripted, tmp_path):
    scripted(FALLING)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "control.yaml").write_text("stop: true")
    folder, control = controlled(train, {}, epochs=3, exist_ok=True)
    assert (len(results_csv(folder)), control.changes) == (3, [])


def test_a_resume_keeps_the_changes_and_applies_none_twice(train, scripted):
    scripted(FALLING)
    model = YOLO(TINY)
    attach(model, RemoteControl(), EarlyStopping("mAP50", patience=50), SaveBest("mAP50"), strict=True)
    writing(model, {1: "lr-scale: 0.5\npatience: 5\nsave: true"})
    folder = interrupted(train, model, after=2, epochs=8, patience=0, **CONSTANT)
    scripted(FALLING[2:])
    model, control = YOLO(folder / "weights" / "last.pt"), RemoteControl()
    stopping = EarlyStopping("mAP50", patience=50)
    attach(model, control, stopping, SaveBest("mAP50"), strict=True)
    model.train(resume=True)
    assert (stopping.stopped_epoch, len(control.changes)) == (6, 3)
    assert rates_of(folder) == pytest.approx([0.01, 0.005, 0.005, 0.005, 0.005, 0.005])
    assert [path.name for path in control.written_files()] == ["control-epoch001.pt"]


def test_the_command_writes_what_the_training_reads(train, scripted, capsys):
    scripted(FALLING)
    model, control = YOLO(TINY), RemoteControl()
    attach(model, control, strict=True)
    codes: list[int] = []

    def command(trainer: Any) -> None:
        run = str(trainer.save_dir)
        TrainingRun.of(trainer).wait_for_background()  # the thread writes callbacks.json
        if trainer.epoch == 1:
            codes.extend([main(["control", run, "save"]), main(["control", run, "patience=3", "lr-scale=0.5"])])
        if trainer.epoch == 2:
            codes.append(main(["control", run, "save"]))
        if trainer.epoch == 3:
            codes.append(main(["control", run, "stop"]))

    model.add_callback("on_train_epoch_start", command)
    folder = train(model, epochs=8, **CONSTANT)
    assert codes == [0, 0, 0, 0]
    said = [line for line in capsys.readouterr().out.splitlines() if "RemoteControl applies it" in line]
    assert said[1] == (
        "save, patience=3, lr-scale=0.5: RemoteControl applies it at the end of the present epoch, 2 or later"
    )
    assert [epoch for epoch, _ in control.changes] == [2, 2, 2, 3, 4]
    assert len(results_csv(folder)) == 4
    assert main(["control", str(folder), "stop"]) == 2
    assert capsys.readouterr().err == f"{folder} is not being trained: finished\n"


def test_the_command_refuses_in_one_line(train, scripted, capsys, tmp_path):
    scripted(FALLING)
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"), strict=True)
    folder = train(model, epochs=1)
    capsys.readouterr()
    for arguments, said in (
        ([str(folder), "stop"], f"{folder} has no RemoteControl among its callbacks"),
        ([str(folder), "stopx"], "there is no change 'stopx', did you mean 'stop'"),
        ([str(folder), "patience=many"], "patience must be an integer from 0, received 'many'"),
        ([str(folder), "lr-scale=2"], "lr-scale must be above 0 and at most 1, received 2"),
        ([str(tmp_path / "none"), "stop"], f"{tmp_path / 'none'} does not exist"),
        ([str(folder)], "yolo-callbacks control: the following arguments are required: CHANGE"),
    ):
        assert main(["control", *arguments]) == 2
        printed = capsys.readouterr()
        assert (printed.out, printed.err.count("\n")) == ("", 1)
        assert printed.err.startswith(said), printed.err
