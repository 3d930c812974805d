"""The learning rate on a plateau: decisions as torch makes them, and the rates of real trainings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import ultralytics
from hypothesis import given
from hypothesis import strategies as st
from trainings import TINY, interrupted, results_csv
from ultralytics import YOLO

from examples import examples
from yolo_callbacks import Callback, ReduceLROnPlateau, TrainingRun, attach
from yolo_callbacks.decisions.plateau import PlateauRule, RateReduction

ULTRALYTICS = tuple(int(part) for part in ultralytics.__version__.split(".")[:3])


numbers = st.integers(0, 12).map(lambda number: number / 8)


@examples(3_000)
@given(
    values=st.lists(numbers, max_size=25),
    mode=st.sampled_from(["min", "max"]),
    factor=st.sampled_from([0.1, 0.3, 0.5, 0.9]),
    patience=st.integers(0, 4),
    min_delta=st.sampled_from([0.0, 1e-4, 0.125, 0.3]),
    cooldown=st.integers(0, 3),
    min_lr=st.sampled_from([0.0, 1e-4, 0.004, 0.02]),
)
def test_no_difference_from_torch(values, mode, factor, patience, min_delta, cooldown, min_lr):
    """Rates of every epoch, and with them the epochs of the reductions."""
    first = [0.01, 0.03, 0.0]
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in first]
    optimizer = torch.optim.SGD(groups)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode, factor=factor, patience=patience, threshold=min_delta, threshold_mode="abs",
        cooldown=cooldown, min_lr=min_lr,
    )  # fmt: skip
    rule, times = PlateauRule(mode, patience, min_delta, cooldown), 0
    for epoch, value in enumerate(values, start=1):
        scheduler.step(value)
        times += rule.check(epoch, value).reduce
        rates = [RateReduction(factor, times, min_lr).apply(rate) for rate in first]
        assert rates == [group["lr"] for group in optimizer.param_groups]
        assert (rule.wait_count, rule.cooldown_left) == (scheduler.num_bad_epochs, scheduler.cooldown_counter)


class Rates(Callback):
    """Keeps the rates of every epoch and the state of the schedule."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []
        self.lf: list[float] = []

    def on_train_epoch_end(self, trainer: Any) -> None:
        del self.rates[trainer.epoch :], self.lf[trainer.epoch :]
        self.rates.append([float(group["lr"]) for group in trainer.optimizer.param_groups])
        self.lf.append(float(trainer.lf(trainer.epoch)))


def rates_of(folder: Path) -> list[list[float]]:
    return [[value for key, value in row.items() if key.startswith("lr/")] for row in results_csv(folder)]


optimizers = ["SGD", "AdamW", *(["MuSGD"] if ULTRALYTICS >= (8, 4) else [])]


# without a start of its own for the bias, the warm-up of every group ends in proportion to its base rate
schedules = {
    "linear": {"warmup_epochs": 0.0},
    "cosine": {"warmup_epochs": 0.0, "cos_lr": True},
    "warmup": {"warmup_epochs": 3.0, "warmup_bias_lr": 0.0},
}


@pytest.mark.training
@pytest.mark.parametrize(
    ("schedule", "optimizer"),
    [
        pytest.param(schedule, optimizer, marks=[] if i == j == 2 else pytest.mark.slow, id=f"{name}-{optimizer}")
        for i, (name, schedule) in enumerate(schedules.items())
        for j, optimizer in enumerate(optimizers)
    ],
)
def test_the_reduction_holds_under_every_schedule(train, scripted, schedule, optimizer):
    """Against the same training without a reduction: every later epoch has the factor, no earlier one has."""
    rates = []
    for name, callbacks in (("without", []), ("with", [ReduceLROnPlateau("mAP50", factor=0.1, patience=0)])):
        scripted([0.5, 0.5, 0.6, 0.7, 0.8])
        model = YOLO(TINY)
        attach(model, Rates(), *callbacks)
        folder = train(model, epochs=5, name=name, optimizer=optimizer, lr0=0.01, patience=0, **schedule)
        rates.append(np.array(rates_of(folder)))
    without, reduced = rates
    assert without[2:].min() > 0
    assert reduced[:2] == pytest.approx(without[:2])
    assert reduced[2:] == pytest.approx(without[2:] * 0.1, rel=1e-4)


@pytest.mark.training
def test_the_floor_and_several_reductions(train, scripted, messages):
    scripted([0.5] * 8)
    model, plateau, rates = YOLO(TINY), ReduceLROnPlateau("mAP50", factor=0.5, patience=0, min_lr=0.002), Rates()
    attach(model, plateau, rates)
    train(model, epochs=8, optimizer="SGD", lr0=0.01, warmup_epochs=0, patience=0)
    base = [rate[0] / lf for rate, lf in zip(rates.rates, rates.lf, strict=True)]
    assert base == pytest.approx([0.01, 0.01, 0.005, 0.0025, 0.002, 0.002, 0.002, 0.002])
    assert (plateau.reductions, plateau.scale) == ([2, 3, 4], pytest.approx(0.2))
    lines = [message for message in messages if "ReduceLROnPlateau: epoch" in message]
    assert lines[0].endswith(
        "epoch 2, learning rate reduced to 0.5 of its schedule (base rate 0.01 to 0.005), "
        "mAP50: no improvement of more than 0.0001 in 1 check (best 0.5 at epoch 1)"
    )
    assert len(lines) == 3


@pytest.mark.training
def test_the_reduction_holds_where_the_schedule_is_rebuilt_each_epoch(train, scripted):
    """`time=` makes a new scheduler after every epoch."""
    scripted([0.5] * 200)
    model, plateau, rates = YOLO(TINY), ReduceLROnPlateau("mAP50", factor=0.1, patience=1), Rates()

    def enough(trainer):
        trainer.stop = trainer.stop or trainer.epoch >= 5

    model.add_callback("on_fit_epoch_end", enough)
    attach(model, plateau, rates)
    folder = train(model, epochs=100, time=0.01, optimizer="SGD", lr0=0.01, warmup_epochs=0, patience=0)
    assert plateau.reductions == [3, 5]
    initial = [rate[0] for rate in rates_of(folder)]
    assert max(initial[3:5]) <= 0.001
    assert max(initial[5:]) <= 0.0001


@pytest.mark.training
@pytest.mark.skipif(ULTRALYTICS < (8, 3, 213), reason="recovers from NaN from 8.3.213 on")
def test_the_reduction_survives_recovery_from_nan(train, scripted):
    """The checkpoint that is loaded then is the one of before the reduction."""
    scripted([0.5, 0.5, float("nan"), 0.6, 0.7])
    model, plateau, rates = YOLO(TINY), ReduceLROnPlateau("mAP50", factor=0.1, patience=0), Rates()
    passes: list[int] = []

    def poison(trainer):
        passes.append(trainer.epoch + 1)
        if passes == [1, 2, 3]:
            trainer.loss = torch.tensor(float("nan"))

    model.add_callback("on_train_epoch_end", poison)
    attach(model, plateau, rates)
    train(model, epochs=4, optimizer="SGD", lr0=0.01, warmup_epochs=0, patience=0)
    assert passes == [1, 2, 3, 3, 4]
    assert plateau.reductions == [2]
    base = [rate[0] / lf for rate, lf in zip(rates.rates, rates.lf, strict=True)]
    assert base == pytest.approx([0.01, 0.01, 0.001, 0.001])


@pytest.mark.training
@pytest.mark.smoke
def test_the_reduction_survives_a_kill_and_a_resume(train, scripted, messages):
    scripted([0.5] * 6)
    whole = YOLO(TINY)
    arguments = {"epochs": 6, "optimizer": "SGD", "lr0": 0.01, "warmup_epochs": 0, "patience": 0}
    attach(whole, ReduceLROnPlateau("mAP50", factor=0.1, patience=1))
    expected = rates_of(train(whole, name="whole", **arguments))

    scripted([0.5] * 6)
    model = YOLO(TINY)
    attach(model, ReduceLROnPlateau("mAP50", factor=0.1, patience=1))
    folder = interrupted(train, model, 4, name="killed", **arguments)
    assert json.loads((folder / "callbacks.json").read_text())["callbacks"]["ReduceLROnPlateau(mAP50)"]["cuts"] == [3]

    scripted([0.5] * 6)
    resumed, plateau = YOLO(folder / "weights" / "last.pt"), ReduceLROnPlateau("mAP50", factor=0.1, patience=1)
    attach(resumed, plateau)
    resumed.train(resume=True)
    assert plateau.reductions == [3, 5]
    assert rates_of(folder) == expected


@pytest.mark.training
def test_two_plateaus_add_up_and_publish_apart(train, scripted):
    scripted([0.5] * 4)
    model, rates, published = YOLO(TINY), Rates(), []
    attach(
        model,
        rates,
        ReduceLROnPlateau("mAP50", factor=0.5, patience=1),
        ReduceLROnPlateau("recall", factor=0.1, patience=1),
    )
    model.add_callback("on_fit_epoch_end", lambda t: published.append(dict(TrainingRun.of(t).record().scalars)))
    train(model, epochs=4, optimizer="SGD", lr0=0.01, warmup_epochs=0, patience=0)
    assert rates.rates[3][0] / rates.lf[3] == pytest.approx(0.01 * 0.5 * 0.1)
    assert published[3] == {"lr/scale": 0.5, "lr/scale(recall)": pytest.approx(0.1)}


@pytest.mark.training
def test_without_a_suite_it_reduces_as_well(train, scripted):
    scripted([0.5] * 5)
    model, plateau, rates = YOLO(TINY), ReduceLROnPlateau("mAP50", factor=0.1, patience=1), Rates()
    model.add_callback("on_train_epoch_end", rates.on_train_epoch_end)
    model.add_callback("on_fit_epoch_end", plateau.on_fit_epoch_end)
    train(model, epochs=5, optimizer="SGD", lr0=0.01, warmup_epochs=0, patience=0)
    base = [rate[0] / lf for rate, lf in zip(rates.rates, rates.lf, strict=True)]
    assert base == pytest.approx([0.01, 0.01, 0.01, 0.001, 0.001])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"factor": 1.0}, ValueError, "factor must be between 0 and 1, received 1.0"),
        ({"factor": 0}, ValueError, "factor must be between 0 and 1, received 0"),
        ({"factor": "0.1"}, TypeError, "factor must be a number, received '0.1'"),
        ({"patience": -1}, ValueError, "patience must be at least 0, received -1"),
        ({"patience": 1.5}, TypeError, "patience must be an integer, received 1.5"),
        ({"cooldown": -1}, ValueError, "cooldown must be at least 0, received -1"),
        ({"min_lr": -0.1}, ValueError, "min_lr must be finite and at least 0, received -0.1"),
        ({"min_delta": -1}, ValueError, "min_delta must be finite and at least 0, received -1"),
        ({"training_phases": 1}, TypeError, "training_phases must be True or False, received 1"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        ReduceLROnPlateau(**arguments)
