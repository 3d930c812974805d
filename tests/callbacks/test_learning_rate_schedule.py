"""A schedule of the user's own: the rates of torch's schedulers in real trainings, with what else changes rates."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from report_page import Page
from torch.optim import lr_scheduler
from trainings import TINY, interrupted, results_csv
from ultralytics import YOLO

from examples import examples
from yolo_callbacks import Callback, JsonlLogger, LearningRateSchedule, ReduceLROnPlateau, attach, extend
from yolo_callbacks.decisions.rate_schedule import RateSchedule
from yolo_callbacks.trainer.rate_scaling import warmup_iterations

Make = Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]


def rates_of_torch(make: Any, epochs: int) -> list[float]:
    """Return the rates of a scheduler of torch as shares of the base rate."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(epochs):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step() if len(rates) < epochs else None
    return rates


factors = st.sampled_from([0.05, 0.1, 0.3, 0.5, 0.9, 1.0])


@examples(200)
@given(epochs=st.integers(1, 40), every=st.integers(1, 12), gamma=factors, growth=st.integers(1, 3), lowest=factors)
def test_no_difference_from_torch(epochs, every, gamma, growth, lowest):
    cases = {
        "constant": ({}, lambda optimizer: lr_scheduler.ConstantLR(optimizer, factor=1.0)),
        "step": ({"every": every, "gamma": gamma}, lambda optimizer: lr_scheduler.StepLR(optimizer, every, gamma)),
        "exponential": ({"gamma": gamma}, lambda optimizer: lr_scheduler.ExponentialLR(optimizer, gamma)),
        "cosine_restarts": (
            {"every": every, "growth": growth, "lowest": lowest},
            lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, every, growth, eta_min=lowest),
        ),
    }
    for name, (arguments, make) in cases.items():
        schedule = RateSchedule(name, arguments)
        found = [schedule.factor(epoch, epochs) for epoch in range(epochs)]
        assert found == pytest.approx(rates_of_torch(make, epochs), rel=1e-9, abs=1e-15), name


@examples(200)
@given(epochs=st.integers(1, 40), rise=st.sampled_from([0.1, 0.25, 0.3, 0.5, 0.9]), start=factors, low=factors)
def test_one_cycle_is_that_of_torch(epochs, rise, start, low):
    assume(rise * epochs != 1.0)  # torch divides by zero there
    lowest = low * start
    schedule = RateSchedule("one_cycle", {"rise": rise, "start": start, "lowest": lowest})
    found = [schedule.factor(epoch, epochs) for epoch in range(epochs)]
    expected = rates_of_torch(
        lambda optimizer: lr_scheduler.OneCycleLR(
            optimizer, max_lr=1.0, total_steps=epochs, pct_start=rise, cycle_momentum=False,
            div_factor=1 / start, final_div_factor=start / lowest,
        ),
        epochs,
    )  # fmt: skip
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_defaults_are_those_of_torch():
    schedule = RateSchedule("one_cycle", {})
    make = lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=20, cycle_momentum=False)  # noqa: E731
    assert [schedule.factor(epoch, 20) for epoch in range(20)] == pytest.approx(rates_of_torch(make, 20))
    schedule = RateSchedule("step", {"every": 3})
    make = lambda optimizer: lr_scheduler.StepLR(optimizer, 3)  # noqa: E731
    assert [schedule.factor(epoch, 9) for epoch in range(9)] == pytest.approx(rates_of_torch(make, 9))
    schedule = RateSchedule("cosine_restarts", {"every": 3})
    make = lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3)  # noqa: E731
    assert [schedule.factor(epoch, 9) for epoch in range(9)] == pytest.approx(rates_of_torch(make, 9))


# The schedules, each with the scheduler of torch that has the same rates; there are two batches an epoch.
EPOCHS = 7
CASES: dict[str, tuple[dict[str, Any], Make]] = {
    "constant": ({}, lambda optimizer: lr_scheduler.ConstantLR(optimizer, factor=1.0)),
    "step": ({"every": 2, "gamma": 0.3}, lambda optimizer: lr_scheduler.StepLR(optimizer, 2, 0.3)),
    "exponential": ({"gamma": 0.8}, lambda optimizer: lr_scheduler.ExponentialLR(optimizer, 0.8)),
    "cosine_restarts": (
        {"every": 2, "growth": 2, "lowest": 0.1},
        lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2, 2, eta_min=0.1),
    ),
    "one_cycle": (
        {"rise": 0.4},
        lambda optimizer: lr_scheduler.OneCycleLR(
            optimizer, 1.0, total_steps=EPOCHS, pct_start=0.4, cycle_momentum=False
        ),
    ),
}
FIXED = {"optimizer": "SGD", "lr0": 0.02, "patience": 0, "epochs": EPOCHS}
BIAS, BASE, BATCHES, WARM_UP = 0.1, 0.02, 2, 2


class Rates(Callback):
    """Keep the rate of each parameter group after each batch, by epoch, and how many epochs were planned."""

    every_rank = True

    def __init__(self) -> None:
        self.rates: dict[int, list[dict[str, float]]] = {}
        self.planned: dict[int, int] = {}
        self.warm_up = 0

    def on_train_epoch_start(self, trainer: Any) -> None:
        self.warm_up = warmup_iterations(trainer, len(trainer.train_loader))
        self.rates[trainer.epoch] = []
        self.planned[trainer.epoch] = trainer.epochs

    def on_train_batch_end(self, trainer: Any) -> None:
        groups = trainer.optimizer.param_groups
        names = [group.get("param_group", str(index)) for index, group in enumerate(groups)]
        rates = [float(group["lr"]) for group in groups]
        self.rates[trainer.epoch].append(dict(zip(names, rates, strict=True)))


def rates_of_run(folder: Path) -> list[list[float]]:
    return [[value for key, value in row.items() if key.startswith("lr/pg")] for row in results_csv(folder)]


@pytest.mark.training
@pytest.mark.parametrize("name", CASES)
def test_the_rates_are_those_of_torch_under_warm_up_and_a_reduction(train, scripted, name):
    """With a warm-up of two epochs, and a reduction to a half from the fifth epoch on."""
    arguments, make = CASES[name]
    scripted([0.1, 0.2, 0.3, 0.3, 0.4, 0.5, 0.6])
    model, rates, logger = YOLO(TINY), Rates(), JsonlLogger()
    plateau = ReduceLROnPlateau("mAP50", factor=0.5, patience=0)
    attach(model, LearningRateSchedule(name, **arguments), plateau, rates, logger, strict=True)
    folder = train(model, **FIXED, warmup_epochs=WARM_UP, warmup_bias_lr=BIAS)
    assert plateau.reductions == [4]
    factors = rates_of_torch(make, EPOCHS)
    assert rates.warm_up >= BATCHES * WARM_UP
    for epoch, batches in rates.rates.items():
        assert len(batches) == BATCHES
        for batch, found in enumerate(batches):
            done, target, scale = batch + BATCHES * epoch, BASE * factors[epoch], 0.5 if epoch >= 4 else 1.0
            limits = [0, rates.warm_up]  # up to 8.4.52 at least 100 batches
            weight, bias = (scale * np.interp(done, limits, [first, target]) for first in (0.0, BIAS))
            expected = {group: bias if group == "bias" else weight for group in found}
            if done > limits[1]:
                expected = dict.fromkeys(found, scale * target)
            if "bias" not in found:  # up to 8.3 the first group has the biases, without a name
                expected["0"] = bias if done <= limits[1] else scale * target
            assert found == pytest.approx(expected, rel=1e-6, abs=1e-12), (epoch, batch)
    logged = [json.loads(line) for line in (folder / "callbacks.jsonl").read_text().splitlines()]
    assert [row["lr/schedule"] for row in logged if "epoch" in row] == pytest.approx([BASE * each for each in factors])


@pytest.mark.training
def test_a_training_with_the_schedule_of_ultralytics_is_the_one_without(train):
    """The same rows of results.csv, to the last digit: nothing else of the training changes."""

    def linear(epoch: int, epochs: int) -> float:
        return max(1 - epoch / epochs, 0) * (1.0 - 0.01) + 0.01

    rows = []
    for name, callbacks in (("without", []), ("with", [LearningRateSchedule(linear)])):
        torch.manual_seed(0)
        model = YOLO(TINY)
        attach(model, *callbacks, Rates())
        folder = train(model, name=name, **{**FIXED, "epochs": 4})
        rows.append([{key: value for key, value in row.items() if key != "time"} for row in results_csv(folder)])
    assert rows[0] == rows[1]
    assert len(rows[0]) == 4


@pytest.mark.training
def test_a_resumed_run_has_the_rates_of_an_uninterrupted_one(train):
    runs = []
    for after in (0, 3):
        model = YOLO(TINY)
        attach(model, LearningRateSchedule("one_cycle"), JsonlLogger())
        if after:
            folder = interrupted(train, model, after, name="resumed", **FIXED)
            model = YOLO(folder / "weights" / "last.pt")
            attach(model, LearningRateSchedule("one_cycle"), JsonlLogger())
            model.train(resume=True)
        else:
            folder = train(model, name="whole", **FIXED)
        logged = [json.loads(line) for line in (folder / "callbacks.jsonl").read_text().splitlines()]
        runs.append((rates_of_run(folder), [row["lr/schedule"] for row in logged if "epoch" in row]))
    assert runs[0] == runs[1]
    assert len(runs[0][1]) == EPOCHS


@pytest.mark.training
def test_with_a_limit_of_time_the_schedule_has_the_number_of_epochs_of_now(train, monkeypatch):
    seconds = itertools.count()  # each look at the clock takes a second
    monkeypatch.setattr("ultralytics.engine.trainer.time", SimpleNamespace(time=lambda: float(next(seconds))))
    model, rates = YOLO(TINY), Rates()
    schedule = RateSchedule("one_cycle", {})
    attach(model, LearningRateSchedule("one_cycle"), rates, strict=True)
    train(model, **{**FIXED, "epochs": 100}, time=40 / 3600, warmup_epochs=0)
    assert len(set(rates.planned.values())) > 1 < len(rates.planned)
    for epoch, planned in rates.planned.items():
        expected = BASE * schedule.factor(epoch, planned)
        assert list(rates.rates[epoch][-1].values()) == pytest.approx([expected] * 3), epoch


@pytest.mark.training
@pytest.mark.parametrize(("way", "expected"), [("hold", [0.03, 0.03]), ("stretch", [0.09, 0.045])])
def test_an_extended_run_holds_the_schedule_or_follows_it(train, way, expected):
    def half(epoch: int, epochs: int) -> float:
        return 3.0 * 0.5**epoch if epochs == 2 else 9.0 * 0.5 ** (epoch - 1)

    model = YOLO(TINY)
    attach(model, LearningRateSchedule(half), keep_resumable=True)
    folder = train(model, **{**FIXED, "epochs": 2}, warmup_epochs=0)
    schedule = LearningRateSchedule(half)
    extend(folder, schedule, epochs=4, lr=way)
    assert [row[0] for row in rates_of_run(folder)[2:]] == pytest.approx(expected)


@pytest.mark.training
def test_a_function_that_is_wrong_ends_the_training_before_its_first_epoch(train):
    model = YOLO(TINY)
    attach(model, LearningRateSchedule(lambda epoch, epochs: 1.0 if epoch < 2 else -1.0))
    with pytest.raises(ValueError, match="must return a factor of at least 0, at epoch 2 it returned -1"):
        train(model, epochs=4)
    assert not (Path(model.trainer.save_dir) / "results.csv").exists()


@pytest.mark.training
def test_a_function_that_fails_later_keeps_the_last_factor(train, messages):
    asked: list[int] = []

    def failing(epoch: int, epochs: int) -> float:
        asked.append(epoch)
        if len(asked) > 4 and epoch >= 2:  # not when it is validated
            raise RuntimeError("broken")
        return 0.5

    model, rates = YOLO(TINY), Rates()
    attach(model, LearningRateSchedule(failing), rates, strict=True)
    train(model, **{**FIXED, "epochs": 4}, warmup_epochs=0)
    assert [set(batches[-1].values()) for batches in rates.rates.values()] == [{0.01}] * 4
    (warning,) = [text for text in messages if "LearningRateSchedule:" in text]
    assert warning == (
        "LearningRateSchedule: schedule fails at epoch 2 of 4: RuntimeError('broken'). The last factor, 0.5, is kept"
    )


@pytest.mark.training
def test_a_scheduler_of_the_users_own_stays(train, messages):
    from ultralytics.models.yolo.detect import DetectionTrainer

    class Own(DetectionTrainer):
        def _setup_scheduler(self) -> None:
            super()._setup_scheduler()
            self.scheduler = lr_scheduler.ExponentialLR(self.optimizer, 0.5)

    model, rates = YOLO(TINY), Rates()
    attach(model, LearningRateSchedule("constant"), rates, strict=True)
    train(model, trainer=Own, **{**FIXED, "epochs": 3}, warmup_epochs=0)
    assert [batches[-1] for batches in rates.rates.values()][-1] != {BASE}
    (warning,) = [text for text in messages if "is off for this run" in text]
    assert warning.endswith("the scheduler of this training (ExponentialLR) is not Ultralytics' own")


@pytest.mark.training
def test_single_methods_work_without_a_suite(train):
    model, rates, schedule = YOLO(TINY), Rates(), LearningRateSchedule("step", every=1, gamma=0.5)
    for event in ("on_train_epoch_start", "on_fit_epoch_end"):
        model.add_callback(event, getattr(schedule, event))
    for event in ("on_train_epoch_start", "on_train_batch_end"):
        model.add_callback(event, getattr(rates, event))
    train(model, **{**FIXED, "epochs": 3}, warmup_epochs=0)
    assert [set(batches[-1].values()) for batches in rates.rates.values()] == [{0.02}, {0.01}, {0.005}]
    assert schedule.factor == 0.25
    assert schedule.outcome() == "step(every=1, gamma=0.5): 0.25 of the base rate in the last epoch"


@pytest.mark.training
def test_the_report_draws_the_schedule_beside_the_rates(train, blank_figures):
    model = YOLO(TINY)
    attach(model, LearningRateSchedule("one_cycle"), report=True)
    folder = train(model, **{**FIXED, "epochs": 3})
    page = Page(folder / "report.html")
    (chart,) = [name for name in page.charts if name.startswith("learning rate")]
    drawn = [float(value) for value in page.values(chart, "schedule")]
    assert drawn == pytest.approx(
        [BASE * RateSchedule("one_cycle", {}).factor(epoch, 3) for epoch in range(3)], rel=0.01
    )
    assert len(page.charts[chart]["lines"]) > 1


def test_the_arguments_are_shown():
    assert repr(LearningRateSchedule("step", every=3)) == "LearningRateSchedule(schedule='step', every=3)"


def test_epochs_cannot_be_chosen():
    with pytest.raises(ValueError, match="epochs cannot be chosen for LearningRateSchedule"):
        LearningRateSchedule("constant").in_epochs("5:")
