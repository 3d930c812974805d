"""The training of a range test: which rate each step has, and which loss it notes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from yolo_callbacks.trainer.range_test import RangeTraining, run_range_test


def trainer_of(accumulate: int, rates: tuple[float, ...] = (0.01, 0.03)) -> Any:
    groups = [{"lr": 0.5, "initial_lr": rate} for rate in rates]
    return SimpleNamespace(
        optimizer=SimpleNamespace(param_groups=groups), accumulate=accumulate, args=SimpleNamespace(epochs=3), epochs=3
    )


@pytest.mark.parametrize("accumulate", [1, 3])
def test_each_step_of_the_optimizer_has_its_rate_and_groups_keep_their_ratio(accumulate):
    trainer, steps = trainer_of(accumulate), []
    training = RangeTraining(1e-4, 1.0, 5, lambda *step: steps.append(step))
    rates = []

    def train() -> None:
        training.start(trainer)
        assert trainer.epochs >= 5 * accumulate  # one batch an epoch would be enough
        for batch in range(100):
            training.set_rate(trainer)
            rates.append([group["lr"] for group in trainer.optimizer.param_groups])
            trainer.loss_items = {"box_loss": torch.tensor(float(batch)), "cls_loss": torch.tensor(1.0)}
            training.note_loss(trainer)

    run_range_test(training, train)
    expected = [rate for rate in (1e-4, 1e-3, 1e-2, 1e-1, 1.0) for _ in range(accumulate)]
    assert [rate for rate, _ in rates] == pytest.approx(expected)
    assert [rate for _, rate in rates] == pytest.approx([3 * rate for rate in expected])
    means = [1.0 + sum(range(accumulate * step, accumulate * (step + 1))) / accumulate for step in range(5)]
    assert training.test.losses == pytest.approx(means)
    assert [step for step, _, _ in steps] == [1, 2, 3, 4, 5]
    assert training.optimizer == "SimpleNamespace"


def test_losses_of_older_versions_are_a_tensor():
    trainer, training = trainer_of(1), RangeTraining(1e-4, 1.0, 5, lambda *step: None)
    trainer.loss_items = torch.tensor([1.0, 2.0, 0.5])
    training.note_loss(trainer)
    trainer.loss_items = torch.tensor(1.25)  # of a classification
    training.note_loss(trainer)
    assert training.test.losses == [3.5, 1.25]


def test_an_error_of_the_training_passes_and_no_function_is_left():
    from ultralytics.utils.callbacks import base

    before = {event: list(functions) for event, functions in base.default_callbacks.items()}

    def train() -> None:
        assert base.default_callbacks != before
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        run_range_test(RangeTraining(1e-4, 1.0, 5, lambda *step: None), train)
    assert base.default_callbacks == before
