"""Trainers of users' own, stops from outside, faults of the suite itself, and files of an earlier run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trainings import READS_ANY_CSV, TINY, interrupted, results_csv
from ultralytics import YOLO
from ultralytics.models.yolo.detect import DetectionTrainer

from yolo_callbacks import EarlyStopping, ReduceLROnPlateau, SaveBest, attach
from yolo_callbacks.state.state_file import STATE_FILE
from yolo_callbacks.trainer.epoch_progress import EpochProgress
from yolo_callbacks.trainer.installation import installed_version
from yolo_callbacks.trainer.learning_rate import LearningRate
from yolo_callbacks.trainer.supervision import Supervision
from yolo_callbacks.trainer.training_run import TrainingRun

pytestmark = pytest.mark.training


def test_a_save_model_without_a_return_value_is_seen_by_its_file(train, scripted):
    events: list[str] = []

    class Own(DetectionTrainer):
        def save_model(self):
            super().save_model()

    scripted([0.1, 0.3, 0.2])
    model, saved = YOLO(TINY), SaveBest("mAP50", top_k=2)
    attach(model, saved)
    model.add_callback("on_model_save", lambda trainer: events.append("on_model_save"))
    folder = train(model, trainer=Own, epochs=3)
    assert list(saved.best_k_models.values()) == [0.3, 0.2]
    assert all(path.is_file() for path in saved.best_k_models)
    assert json.loads((folder / STATE_FILE).read_text())["epoch"] == 3


def test_a_save_model_that_writes_elsewhere_costs_no_best_checkpoint(train, scripted, messages):
    class Own(DetectionTrainer):
        def save_model(self):
            if self.epoch + 1 >= self.epochs:  # without any checkpoint Model.train raises
                return super().save_model()
            (self.wdir / "mine.pt").write_bytes(b"weights")
            return True

    scripted([0.1, 0.3, 0.2])
    model, saved = YOLO(TINY), SaveBest("mAP50")
    attach(model, saved)
    folder = train(model, trainer=Own, epochs=3)
    assert (saved.best_epoch, saved.best_score) == (2, 0.3)
    assert YOLO(saved.best_model_path).ckpt["train_metrics"]["metrics/mAP50(B)"] == 0.3
    assert not [message for message in messages if "not saved" in message]
    assert {path.name for path in (folder / "weights").iterdir()} == {
        "mine.pt", "last.pt", "best-mAP50.pt", "best-mAP50.json",
    }  # fmt: skip


@pytest.mark.skipif(not READS_ANY_CSV, reason="Ultralytics itself raises")
@pytest.mark.parametrize("fitness", [None, -2.0])
def test_metrics_count_whatever_the_fitness_is(train, fitness):
    """Metrics that come and go, and that are no numbers, beside a fitness that Ultralytics does not compute."""

    class Own(DetectionTrainer):
        def validate(self):
            own = {"metrics/mAP50(B)": 0.1 * self.epoch, "metrics/mAP50-95(B)": 0.1}
            return own | ({"metrics/late": float("nan")} if self.epoch else {}), fitness

    model, saved, late = YOLO(TINY), SaveBest("mAP50"), SaveBest(lambda m: m.get("metrics/late", 0.0), "max")
    attach(model, saved, late, EarlyStopping(patience=9))
    train(model, trainer=Own, epochs=3, val=True)
    assert (saved.best_epoch, saved.best_score) == (3, pytest.approx(0.2))
    assert (late.best_epoch, late.best_score) == (1, 0.0)


def test_an_unknown_metric_suggests_a_function(train):
    model = YOLO(TINY)
    attach(model, SaveBest("metrics/f1", "max"))
    with pytest.raises(
        ValueError, match=r"does not exist in this run.*or a function, for a metric that validation adds"
    ):
        train(model, epochs=1)


@pytest.mark.parametrize(
    ("task", "monitors"),
    [
        ("depth", {"metrics/delta1": "max", "abs_rel": "min", "val/loss": "auto"}),
        ("semantic", {"metrics/mIoU": "max", "pixel_acc": "max", "val/loss": "auto"}),
    ],
)
def test_tasks_beyond_the_five_by_the_names_of_their_metrics(train, tmp_path, task, monitors):
    from do_no_harm.arms import MODELS
    from do_no_harm.data import data_set

    if not Path(__import__("ultralytics").__file__).with_name("models").joinpath("yolo", task).is_dir():
        pytest.skip(f"this version of Ultralytics has no task {task}")
    if task == "depth" and installed_version() < (8, 4, 139):
        pytest.skip("this version of Ultralytics cannot read such a data set, 8.4.104 at least: KeyError 'version'")
    model, saved = YOLO(str(MODELS / f"{task}.yaml")), [SaveBest(name, mode) for name, mode in monitors.items()]
    attach(model, *saved, EarlyStopping())
    folder = train(model, data=str(data_set(tmp_path, task)), epochs=2)
    rows = results_csv(folder)
    for name, callback in zip(monitors, saved, strict=True):
        key = name if "/" in name else f"metrics/{name}"
        if key in rows[0]:
            assert callback.best_score == pytest.approx(rows[callback.best_epoch - 1][key], rel=1e-4)
        assert callback.best_model_path.is_file()


# A stop by code outside the callbacks ---------------------------------------------------------------------------------


def stop_and_die(model: Any, epoch: int) -> None:
    """Stop a training from outside, and interrupt it in its final evaluation, before anything is stripped."""

    def stop(trainer: Any) -> None:
        if trainer.epoch + 1 == epoch:
            trainer.stop = True

    def die(trainer: Any) -> None:
        def final_eval() -> None:
            raise KeyboardInterrupt

        trainer.final_eval = final_eval

    model.add_callback("on_train_epoch_end", stop)
    model.add_callback("on_train_start", die)


def test_a_resume_trains_on_after_a_stop_from_outside(train, scripted):
    scripted([0.1, 0.2, 0.3, 0.4])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"), EarlyStopping(), ReduceLROnPlateau("mAP50", patience=0))
    stop_and_die(model, 2)
    with pytest.raises(KeyboardInterrupt):
        train(model, epochs=4)
    folder = Path(model.trainer.save_dir)
    assert json.loads((folder / STATE_FILE).read_text())["ended"] is False
    scripted([0.3, 0.4])
    resumed, saved = YOLO(folder / "weights" / "last.pt"), SaveBest("mAP50")
    attach(resumed, saved, EarlyStopping(), ReduceLROnPlateau("mAP50", patience=0))
    resumed.train(resume=True)
    assert len(results_csv(folder)) == 4
    assert saved.best_epoch == 4


@pytest.mark.parametrize(
    ("arguments", "suite", "epochs"),
    [
        ({"patience": 1}, [SaveBest("mAP50")], 3),
        ({"patience": 9}, [EarlyStopping("mAP50", patience=1)], 3),
        ({"patience": 9, "epochs": 2}, [SaveBest("mAP50")], 2),
    ],
)
def test_a_resume_ends_at_once_after_a_stop_by_decision(train, scripted, messages, arguments, suite, epochs):
    scripted([0.1, 0.3, 0.2, 0.2])
    model = YOLO(TINY)
    attach(model, *suite)

    def die(trainer: Any) -> None:
        if trainer.stop or trainer.epoch + 1 >= trainer.epochs:
            raise KeyboardInterrupt

    model.add_callback("on_fit_epoch_end", die)
    with pytest.raises(KeyboardInterrupt):
        train(model, **{"epochs": 4, **arguments})
    folder = Path(model.trainer.save_dir)
    assert json.loads((folder / STATE_FILE).read_text())["ended"] is True
    scripted([0.9, 0.9])
    resumed = YOLO(folder / "weights" / "last.pt")
    attach(resumed, *suite)
    resumed.train(resume=True)
    assert len(results_csv(folder)) == epochs
    assert "code outside" not in messages[-1]


def test_the_table_says_that_ultralytics_own_stopper_stopped_the_run(train, scripted, messages):
    scripted([0.3, 0.2, 0.1])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"))
    train(model, epochs=9, patience=1)
    assert "stopped by Ultralytics' own stopper, patience=1" in messages[-1]


def test_the_table_says_that_other_code_stopped_the_run(train, scripted, messages):
    scripted([0.1, 0.2, 0.3])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"))
    model.add_callback("on_train_epoch_end", lambda trainer: setattr(trainer, "stop", True))
    folder = train(model, epochs=3)
    assert len(results_csv(folder)) == 1
    assert "stopped by code outside the callbacks, which set trainer.stop" in messages[-1]
    assert json.loads((folder / STATE_FILE).read_text())["summary"]["stopped_by"]


# Faults of the suite itself -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "broken"),
    [
        (Supervision, "follow"),
        (LearningRate, "apply"),
        (TrainingRun, "metric_names"),
        (EpochProgress, "epoch_trained"),
        (EpochProgress, "epoch_complete"),
        (EpochProgress, "validation_started"),
        (TrainingRun, "wait_for_background"),
    ],
)
def test_a_fault_in_the_suites_own_work_never_ends_a_training(train, monkeypatch, messages, owner, broken):
    def fail(*arguments: Any, **keywords: Any) -> Any:
        raise AttributeError(f"{broken} does not work with this trainer")

    monkeypatch.setattr(owner, broken, fail)
    model = YOLO(TINY)
    attach(model, SaveBest("val/loss"), EarlyStopping("val/loss"))
    assert len(results_csv(train(model, epochs=2))) == 2
    assert any(f"{broken} does not work with this trainer" in message for message in messages)


def test_with_strict_a_fault_in_the_suites_own_work_ends_the_training(train, monkeypatch):
    def fail(*arguments: Any, **keywords: Any) -> Any:
        raise AttributeError("broken")

    monkeypatch.setattr(EpochProgress, "epoch_trained", fail)
    model = YOLO(TINY)
    attach(model, EarlyStopping("val/loss"), strict=True)
    with pytest.raises(AttributeError, match="broken"):
        train(model, epochs=2)


# Files of an earlier run ----------------------------------------------------------------------------------------------


def names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "weights").glob("*.pt")}


def test_checkpoints_of_an_earlier_run_go_with_the_first_checkpoint_of_a_new_one(train, scripted):
    scripted([0.1, 0.2, 0.3])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50", top_k=2), SaveBest("recall"))
    folder = train(model, epochs=3)
    (folder / "weights" / "mine.pt").write_bytes(b"of the user's")
    assert names(folder) >= {"best-mAP50-epoch002.pt", "best-mAP50-epoch003.pt", "best-recall.pt"}

    seen: list[set[str]] = []
    scripted([0.4, 0.3])
    second = YOLO(TINY)
    attach(second, SaveBest("mAP50", top_k=2))
    second.add_callback("on_train_epoch_start", lambda trainer: seen.append(names(folder)))
    train(second, epochs=2, exist_ok=True)
    assert seen[0] >= {"best-mAP50-epoch002.pt", "best-mAP50-epoch003.pt", "best-recall.pt"}
    assert seen[1] == {"last.pt", "best.pt", "mine.pt", "best-mAP50-epoch001.pt"}
    assert names(folder) == seen[1] | {"best-mAP50-epoch002.pt"}
    assert not (folder / "weights" / "best-recall.json").exists()


def test_a_resume_removes_nothing(train, scripted):
    scripted([0.1, 0.2, 0.3])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"), SaveBest("recall"))
    folder = interrupted(train, model, 2, epochs=3)
    scripted([0.3])
    resumed = YOLO(folder / "weights" / "last.pt")
    attach(resumed, SaveBest("mAP50"))
    resumed.train(resume=True)
    assert names(folder) == {"last.pt", "best.pt", "best-mAP50.pt", "best-recall.pt"}


@pytest.mark.parametrize(
    "name",
    [
        "../../precious.pt",
        "weights/best.pt",
        None,
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("/tmp/precious.pt", "weights/../precious.pt", "weights/last.pt", "weights/epoch1.pt")
        ),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("results.csv", "weights/", 3, {"a": 1})),
    ],
)
def test_a_state_cannot_have_any_file_removed(train, scripted, name, tmp_path):
    scripted([0.1, 0.2])
    model = YOLO(TINY)
    attach(model, SaveBest("mAP50"))
    folder = train(model, epochs=1)
    for precious in (folder / "precious.pt", folder / "weights" / "epoch1.pt", tmp_path.parent / "precious.pt"):
        precious.write_bytes(b"precious")
    state = json.loads((folder / STATE_FILE).read_text())
    (folder / STATE_FILE).write_text(json.dumps(state | {"files": [name]}))
    again = YOLO(TINY)
    attach(again, EarlyStopping())
    train(again, epochs=1, exist_ok=True)
    assert (folder / "precious.pt").is_file()
    assert (tmp_path.parent / "precious.pt").is_file()
    assert names(folder) >= {"last.pt", "best.pt", "epoch1.pt", "best-mAP50.pt"}


def test_a_resume_keeps_the_names_that_the_run_began_with(train, scripted):
    """The first version wrote `best-metrics-mAP50(B).pt`."""
    scripted([0.1, 0.2, 0.3])
    model = YOLO(TINY)
    attach(model, SaveBest("metrics/mAP50(B)"))
    folder = interrupted(train, model, 2, epochs=3)
    weights = folder / "weights"
    for kind in ("pt", "json"):
        (weights / f"best-metrics-mAP50-B.{kind}").rename(weights / f"best-metrics-mAP50(B).{kind}")
    (folder / "callbacks.journal.jsonl").write_text("")
    state = json.loads((folder / STATE_FILE).read_text())
    old = state["callbacks"].pop("SaveBest(best-metrics-mAP50-B)")
    for key in ("stem", "stand_ins", "learned", "checks", "missed"):
        old.pop(key)
    (folder / STATE_FILE).write_text(json.dumps(state | {"callbacks": {"SaveBest(best-metrics-mAP50(B))": old}}))

    scripted([0.3])
    resumed, saved = YOLO(weights / "last.pt"), SaveBest("metrics/mAP50(B)")
    attach(resumed, saved)
    resumed.train(resume=True)
    assert names(folder) == {"last.pt", "best.pt", "best-metrics-mAP50(B).pt"}
    assert (saved.best_epoch, saved.best_model_path.name) == (3, "best-metrics-mAP50(B).pt")
