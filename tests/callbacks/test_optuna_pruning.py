"""OptunaPruning with real studies: what it reports, how a pruned training ends, a retry, several processes."""

from __future__ import annotations

import json
import math

import pytest
from trainings import REPEATS_COLLAPSED, TINY, interrupted, results_csv
from ultralytics import YOLO

from yolo_callbacks import JsonlLogger, OptunaPruning, SaveBest, attach
from yolo_callbacks.utils.files import plain

optuna = pytest.importorskip("optuna")

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def study(direction="maximize", *, pruner=None, **named):
    pruner = pruner or optuna.pruners.NopPruner()
    return optuna.create_study(direction=direction, pruner=pruner, **named)


class PruneAt(optuna.pruners.BasePruner):
    """Prunes each trial at a step."""

    def __init__(self, step):
        self.step = step

    def prune(self, study, trial):
        return trial.last_step == self.step


@pytest.mark.parametrize("trial", [None, "trial", 3, object(), optuna])
def test_what_is_no_trial(trial):
    with pytest.raises(TypeError, match=r"trial must be an optuna\.Trial, received"):
        OptunaPruning(trial)


@pytest.mark.training
def test_each_epoch_is_a_step_and_the_final_evaluation_is_none(train, scripted):
    values = [0.1, 0.3, 0.2, 0.25]
    scripted(values)
    of_three, seen = study(), []

    def objective(trial):
        model, pruning = YOLO(TINY), OptunaPruning(trial, "mAP50")
        attach(model, pruning, strict=True)
        train(model, epochs=4, name=f"trial{trial.number}")
        seen.append(pruning)
        return pruning.reported[4]

    of_three.optimize(objective, n_trials=1)
    (trial,) = of_three.trials
    assert trial.state is optuna.trial.TrialState.COMPLETE
    assert trial.intermediate_values == {1: 0.1, 2: 0.3, 3: 0.2, 4: 0.25} == seen[0].reported
    assert seen[0].outcome() == "4 values of mAP50 reported, not pruned"


@pytest.mark.training
def test_a_pruned_trial_ends_with_its_epoch_and_everything_closed(train, scripted, messages, tmp_path):
    scripted([0.1, 0.3, 0.2])
    pruned, evaluated = study(pruner=PruneAt(2)), []

    def objective(trial):
        model, pruning = YOLO(TINY), OptunaPruning(trial, "mAP50")
        model.add_callback("on_val_start", lambda validator: evaluated.append(validator.training))
        attach(model, pruning, SaveBest("mAP50"), JsonlLogger())
        train(model, epochs=5)
        return 1.0

    pruned.optimize(objective, n_trials=1)
    (trial,) = pruned.trials
    assert trial.state is optuna.trial.TrialState.PRUNED
    assert trial.intermediate_values == {1: 0.1, 2: 0.3}
    assert evaluated == [True, True]  # no final evaluation
    assert [row["epoch"] for row in results_csv(tmp_path / "run")] == [1, 2]
    lines = [json.loads(line) for line in (tmp_path / "run" / "callbacks.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    summary = json.loads((tmp_path / "run" / "callbacks.json").read_text())["summary"]
    assert summary["status"] == "pruned"
    assert summary["callbacks"][0]["outcome"] == "pruned at epoch 2 by mAP50 0.3"
    assert [row["failures"] for row in summary["callbacks"]] == [0, 0, 0]
    assert not [message for message in messages if "Traceback" in message]


@pytest.mark.training
@pytest.mark.skipif(REPEATS_COLLAPSED, reason="Ultralytics repeats an epoch whose fitness has dropped to 0")
def test_while_nothing_is_detected_a_metric_is_reported_and_a_loss_is_not(train, scripted):
    found = {}
    for monitor, direction in (("mAP50", "maximize"), ("val/box_loss", "minimize")):
        scripted([0.0, 0.0, 0.3, 0.0])
        each = study(direction)

        def objective(trial, monitor=monitor):
            model = YOLO(TINY)
            attach(model, OptunaPruning(trial, monitor), strict=True)
            train(model, epochs=4, name=monitor.replace("/", "-"))
            return 0.0

        each.optimize(objective, n_trials=1)
        found[monitor] = list(each.trials[0].intermediate_values)
    assert found == {"mAP50": [1, 2, 3, 4], "val/box_loss": [3]}


@pytest.mark.training
@pytest.mark.parametrize(
    ("directions", "monitor", "message"),
    [
        (["minimize"], "mAP50", "the study has direction='minimize', but mAP50 is better when it is higher"),
        (["maximize"], "val/box_loss", "create the study with direction='minimize', or give mode="),
        (["maximize", "minimize"], "mAP50", "no study of several objectives, and this one has 2"),
    ],
)
def test_a_study_that_does_not_fit(train, scripted, directions, monitor, message):
    scripted([0.1])
    trial = optuna.create_study(directions=directions).ask()
    model = YOLO(TINY)
    attach(model, OptunaPruning(trial, monitor))
    with pytest.raises(ValueError, match=message):
        train(model, epochs=1)


@pytest.mark.training
@pytest.mark.parametrize("inherit", [True, False])
@pytest.mark.filterwarnings("ignore:The reported value is ignored:UserWarning")
def test_a_retried_trial_has_the_reports_from_before_the_kill(train, scripted, inherit):
    scripted([0.1, 0.3, 0.2, 0.25])
    retried = study()
    first = retried.ask()
    model = YOLO(TINY)
    attach(model, OptunaPruning(first, "mAP50"))
    folder = interrupted(train, model, epochs=4, after=3)
    second = retried.ask()
    if inherit:
        for step, value in ((1, 0.1), (2, 0.3)):
            second.report(value, step)
    resumed, pruning = YOLO(folder / "weights" / "last.pt"), OptunaPruning(second, "mAP50")
    attach(resumed, pruning, strict=True)
    resumed.train(resume=True)
    assert retried.get_trials()[1].intermediate_values == {1: 0.1, 2: 0.3, 3: 0.2, 4: 0.25} == pruning.reported


def test_a_value_that_is_not_finite_survives_a_resume():
    first, second = (OptunaPruning(study().ask(), "mAP50") for _ in range(2))
    first._MonitorCallback__checked_epoch, first.reported = 2, {1: 0.5, 2: math.nan}
    second.load_state_dict(json.loads(json.dumps(plain(first.state_dict()))))
    assert second.reported[1] == 0.5
    assert math.isnan(second.reported[2])
