"""RayTuneReporter in trials without Ray Tune around: what is reported and when, a stop, a restored trial, a clone."""

from __future__ import annotations

import functools
import json
import shutil

import pytest
import torch
from trainings import REPEATS_COLLAPSED, TINY, results_csv
from ultralytics import YOLO

from yolo_callbacks import EarlyStopping, JsonlLogger, RayTuneReporter, SaveBest, WandbLogger, attach
from yolo_callbacks.utils.ray_trial import ThreadTrial, current_trial


def summary_of(folder):
    return json.loads((folder / "callbacks.json").read_text())["summary"]


def is_stripped(path):
    return torch.load(path, weights_only=False)["optimizer"] is None


@pytest.fixture
def start(train, tmp_path):
    """Start a trial that trains with a reporter and other callbacks; `done` has what the function did afterwards."""

    def begin(reporter=None, *others, identity="a_0", epochs=4, done=None, **arguments):
        def function(config):
            model = YOLO(TINY, task="detect")
            attach(model, reporter or RayTuneReporter("mAP50"), *others, strict=True)
            train(model, epochs=epochs, name=None, optimizer="SGD", **arguments)
            if done is not None:
                done.append("more")

        return ThreadTrial(identity, function, {})

    return begin


def epochs_of(trial):
    """The epochs that a trial reports, to its end."""
    return [report.metrics["epoch"] for report in iter(trial.next_report, None)]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"checkpoint": 1}, TypeError, "checkpoint must be True or False, received 1"),
        ({"every": 0}, ValueError, "every must be at least 1, received 0"),
        ({"every": 1.5}, TypeError, "every must be an integer"),
        ({"monitor": 3}, TypeError, "monitor must be"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        RayTuneReporter(**arguments)


@pytest.mark.training
def test_each_epoch_is_reported_once_and_the_last_one_at_the_end(start, scripted, tmp_path):
    scripted([0.1, 0.3, 0.2, 0.25])
    folder, reporter = tmp_path / "a_0", RayTuneReporter("mAP50")
    trial = start(reporter, EarlyStopping("mAP50", patience=9), SaveBest("mAP50"))
    reports, status = [], []
    for report in iter(trial.next_report, None):
        reports.append(report)
        status.append((json.loads((folder / "callbacks.json").read_text())["summary"] or {}).get("status"))
    assert [report.metrics["epoch"] for report in reports] == [1, 2, 3, 4] == reporter.reported_epochs
    assert [report.metrics["mAP50"] for report in reports] == [0.1, 0.3, 0.2, 0.25]
    assert [report.last for report in reports] == [False, False, False, True]
    assert all(report.checkpoint for report in reports)
    assert status == [None, None, None, "finished"]
    expected = {"metrics/mAP50-95(B)", "val/box_loss", "train/box_loss", "early_stopping/wait", "best/mAP50", "fitness"}
    assert expected <= reports[1].metrics.keys()
    assert all(type(value) in (float, int) for value in reports[1].metrics.values())
    outcomes = {row["name"]: row["outcome"] for row in summary_of(folder)["callbacks"]}
    assert outcomes["RayTuneReporter"] == "4 epochs reported by mAP50"


@pytest.mark.training
def test_a_stopped_trial_ends_with_its_epoch_and_everything_closed(start, scripted, messages, tmp_path):
    scripted([0.1, 0.3, 0.2, 0.25])
    done, folder = [], tmp_path / "a_0"
    trial = start(None, SaveBest("mAP50"), JsonlLogger(), done=done)
    trial.next_report()
    trial.next_report()
    trial.stop()
    assert trial.next_report() is None
    assert done == []  # `model.train()` has raised
    summary = summary_of(folder)
    assert (summary["status"], summary["epochs"]) == ("pruned", 2)
    assert summary["stopped_by"] == "RayTuneReporter: Ray Tune stopped the trial at epoch 2"
    assert [row["epoch"] for row in results_csv(folder)] == [1, 2]
    lines = [json.loads(line) for line in (folder / "callbacks.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]  # and none of a final evaluation
    assert [is_stripped(path) for path in sorted((folder / "weights").glob("*.pt"))] == [True] * 3
    assert not [message for message in messages if "Traceback" in message]


@pytest.mark.training
def test_a_stop_by_a_callback_is_the_last_report(start, scripted):
    scripted([0.5, 0.4, 0.3, 0.2])
    reports = list(iter(start(None, EarlyStopping("mAP50", patience=2)).next_report, None))
    assert [(report.metrics["epoch"], report.last) for report in reports] == [(1, False), (2, False), (3, True)]


@pytest.mark.training
def test_each_nth_epoch_and_the_last(start, scripted):
    scripted([0.1, 0.2, 0.3, 0.4, 0.5])
    reports = list(iter(start(RayTuneReporter("mAP50", every=2, checkpoint=False), epochs=5).next_report, None))
    assert [report.metrics["epoch"] for report in reports] == [2, 4, 5]
    assert not any(report.checkpoint for report in reports)


@pytest.mark.training
@pytest.mark.skipif(REPEATS_COLLAPSED, reason="Ultralytics repeats an epoch whose fitness has dropped to 0")
def test_while_nothing_is_detected_a_metric_is_reported_and_a_loss_is_not(start, scripted):
    scripted([0.0, 0.3, 0.0, 0.2])
    reports = list(iter(start().next_report, None))
    assert [(report.metrics["mAP50"], "val/box_loss" in report.metrics) for report in reports] == [
        (0.0, False),
        (0.3, True),
        (0.0, False),
        (0.2, True),
    ]
    scripted([0.0, 0.3, 0.0, 0.2])
    assert epochs_of(start(RayTuneReporter("val/box_loss"))) == [2, 4]


@pytest.mark.training
@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_a_restored_trial_goes_on_with_the_same_decisions(killed, start, scripted, tmp_path):
    """A killed one has written an epoch that Ray Tune does not know."""
    values = [0.5, 0.8, 0.7, 0.6, 0.5]

    def callbacks():
        return SaveBest("mAP50", top_k=2), EarlyStopping("mAP50", patience=3), JsonlLogger()

    scripted(values)
    assert epochs_of(start(None, *callbacks(), epochs=5, project=str(tmp_path / "whole"))) == [1, 2, 3, 4, 5]
    scripted(values)
    first, saved = start(None, *callbacks(), epochs=5), tmp_path / "saved"
    for _ in range(3):
        report = first.next_report()
    saved.mkdir()
    report.write(saved)
    if killed:
        first.next_report()
    first.stop()
    scripted(values[3:])
    reporter = RayTuneReporter("mAP50")
    second = start(reporter, *callbacks(), epochs=5)
    second.checkpoint = saved
    assert epochs_of(second) == [4, 5]
    assert reporter.reported_epochs == [1, 2, 3, 4, 5]
    one, other = tmp_path / "whole" / "a_0", tmp_path / "a_0"
    assert [row["epoch"] for row in results_csv(other)] == [1, 2, 3, 4, 5]
    assert summary_of(other)["status"] == "finished"
    for name in ("outcome", "name"):
        found = [[row[name] for row in summary_of(folder)["callbacks"]] for folder in (one, other)]
        assert str(found[0]).replace(str(one), str(other)) == str(found[1])
    kept = [sorted(path.name for path in (folder / "weights").iterdir()) for folder in (one, other)]
    assert kept[0] == kept[1]
    for folder in (one, other):
        lines = [json.loads(line) for line in (folder / "callbacks.jsonl").read_text().splitlines()]
        assert [line["epoch"] for line in lines if "epoch" in line] == [1, 2, 3, 4, 5]


@pytest.mark.training
def test_a_clone_of_another_trial_has_a_folder_and_rates_of_its_own(start, scripted, tmp_path):
    scripted([0.1, 0.2])
    good, saved = start(None, WandbLogger(mode="offline"), lr0=0.01, momentum=0.9), tmp_path / "saved"
    good.next_report()
    report = good.next_report()
    saved.mkdir()
    report.write(saved)
    good.stop()
    (tmp_path / "b_0").mkdir()  # of the trial itself, before it took over the other one
    scripted([0.3, 0.4])
    seen = []

    class Seen(SaveBest):
        def on_train_epoch_end(self, trainer):
            group = trainer.optimizer.param_groups[0]
            seen.append((trainer.epoch + 1, trainer.args.lr0, trainer.scheduler.base_lrs[0], group["momentum"]))

    clone = start(
        None, Seen("mAP50"), WandbLogger(mode="offline"), identity="b_0", lr0=0.02, momentum=0.8, warmup_epochs=0
    )
    clone.checkpoint = saved
    assert epochs_of(clone) == [3, 4]
    assert seen == [(epoch, 0.02, 0.02, 0.8) for epoch in (3, 4)]
    (folder,) = [path for path in tmp_path.glob("b_0*") if (path / "callbacks.json").exists()]
    assert folder.name != "b_0"
    assert [row["epoch"] for row in results_csv(folder)] == [1, 2, 3, 4]
    assert summary_of(tmp_path / "a_0")["epochs"] == 2
    states = [json.loads((each / "callbacks.json").read_text())["callbacks"] for each in (tmp_path / "a_0", folder)]
    first, second = (each["WandbLogger"]["run_id"] for each in states)
    assert None not in (first, second)
    assert first != second


@pytest.mark.training
def test_a_trial_goes_on_on_a_machine_that_lacks_its_folder(start, scripted, tmp_path):
    scripted([0.1, 0.2, 0.3, 0.4])
    first, saved, folder = start(None, SaveBest("mAP50")), tmp_path / "saved", tmp_path / "a_0"
    first.next_report()
    report = first.next_report()
    saved.mkdir()
    report.write(saved)
    first.stop()
    shutil.rmtree(folder)
    scripted([0.3, 0.4])
    second = start(None, SaveBest("mAP50"))
    second.checkpoint = saved
    assert epochs_of(second) == [3, 4]
    assert [row["epoch"] for row in results_csv(folder)] == [1, 2, 3, 4]
    assert json.loads((folder / "weights" / "best-mAP50.json").read_text())["epoch"] == 4


@pytest.mark.training
def test_a_checkpoint_of_a_run_that_is_over_begins_again(start, scripted, tmp_path):
    scripted([0.1, 0.2])
    *_, report = iter(start(epochs=2).next_report, None)
    report.write(saved := tmp_path / "saved")
    scripted([0.1, 0.2])
    again = start(epochs=2)
    again.checkpoint = saved
    assert epochs_of(again) == [1, 2]


@pytest.mark.training
def test_a_checkpoint_that_is_none_of_ours_is_left_alone(start, scripted, tmp_path):
    scripted([0.1, 0.2])
    trial, foreign = start(epochs=2), tmp_path / "foreign"
    (foreign / "weights").mkdir(parents=True)
    (foreign / "weights" / "last.pt").write_bytes(b"")
    trial.checkpoint = foreign
    assert epochs_of(trial) == [1, 2]


@pytest.mark.training
def test_the_reporter_of_ultralytics_is_off(train, scripted, messages):
    scripted([0.1, 0.2])
    reported = []

    def built_in(trainer):
        reported.append(trainer.epoch)

    built_in.__module__ = "ultralytics.utils.callbacks.raytune"

    def function(config):
        model = YOLO(TINY, task="detect")
        model.add_callback("on_fit_epoch_end", built_in)
        attach(model, RayTuneReporter())
        train(model, epochs=2)

    assert epochs_of(ThreadTrial("a_0", function, {})) == [1, 2]
    assert reported == []
    assert [message for message in messages if "Ultralytics' own reporter is off" in message]


@pytest.mark.training
def test_outside_of_a_trial_it_says_so_and_does_nothing(train, scripted, messages):
    scripted([0.1, 0.2])
    model, reporter = YOLO(TINY), RayTuneReporter()
    attach(model, reporter)
    folder = train(model, epochs=2)
    assert messages[0] == "RayTuneReporter: nothing is reported, because this is no trial of Ray Tune"
    assert len(messages) == 2  # and the table
    assert reporter.reported_epochs == []
    assert summary_of(folder)["callbacks"][0]["outcome"] == "nothing: this is no trial of Ray Tune"


@pytest.mark.training
def test_a_single_function_without_a_suite(train, scripted):
    scripted([0.1, 0.2, 0.3])
    done = []

    def function(config):
        model = YOLO(TINY, task="detect")
        model.add_callback("on_fit_epoch_end", RayTuneReporter("mAP50").on_fit_epoch_end)
        train(model, epochs=3)
        done.append(current_trial())

    trial = ThreadTrial("a_0", function, {})
    assert epochs_of(trial) == [1, 2, 3]
    assert done == [trial]
    scripted([0.1, 0.2, 0.3])
    stopped = ThreadTrial("a_1", function, {})
    stopped.next_report()
    stopped.stop()
    assert len(done) == 1


@pytest.mark.training
def test_a_training_that_fails_reports_no_last_epoch(start, scripted, monkeypatch):
    scripted([0.1, 0.2])
    from ultralytics.engine.trainer import BaseTrainer

    def fail(trainer):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(BaseTrainer, "final_eval", functools.partialmethod(fail))
    trial = start(epochs=2)
    assert trial.next_report().metrics["epoch"] == 1
    with pytest.raises(RuntimeError, match="the disk is full"):
        trial.next_report()
