"""Freeze layers of a model, and train layers with a share of the rate: without a training around it."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from yolo_callbacks.decisions.layers import ModelParts
from yolo_callbacks.trainer.layer_freezing import LayerFreezing


class Model(nn.Module):
    """Three layers in a list, as Ultralytics' models have them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.yaml = {"backbone": [0, 1], "head": [2]}
        self.model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.model(batch).square().sum()  # type: ignore[no-any-return]


def trainer_of(model: Any, make: Any) -> Any:
    """A trainer with two parameter groups that know nothing of layers: weights and biases."""
    named = list(model.named_parameters())
    groups = [
        {"params": [value for name, value in named if "weight" in name], "weight_decay": 0.01},
        {"params": [value for name, value in named if "bias" in name], "weight_decay": 0.0},
    ]
    return SimpleNamespace(model=model, optimizer=make(groups), ema=None)


def step(trainer: Any) -> None:
    trainer.model(torch.arange(12.0).reshape(4, 3)).backward()
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()


OPTIMIZERS = {
    "SGD": lambda groups: torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True),
    "AdamW": lambda groups: torch.optim.AdamW(groups, lr=0.01),
    "AdamW, fused": lambda groups: torch.optim.AdamW(groups, lr=0.01, fused=True),  # as Ultralytics on a GPU
    "RMSprop": lambda groups: torch.optim.RMSprop(groups, lr=0.01, momentum=0.9),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_factor_is_that_of_a_group_of_its_own(make):
    """Against an optimizer in which each layer has groups of its own, with the rate of its factor."""
    factors = {0: 0.1, 2: 3.0}
    scaled, reference = trainer_of(Model(), make), Model()
    groups = [
        {"params": [value], "lr": 0.01 * factors.get(number, 1.0), "weight_decay": 0.01 if name == "weight" else 0.0}
        for number, layer in enumerate(reference.model)
        for name, value in layer.named_parameters()
    ]
    other = SimpleNamespace(model=reference, optimizer=make(groups))
    before = [id(group) for group in scaled.optimizer.param_groups]
    schedules = [torch.optim.lr_scheduler.ExponentialLR(each.optimizer, 0.9) for each in (scaled, other)]
    freezing = LayerFreezing(scaled)
    freezing.train_only(range(3), factors)
    for _ in range(4):
        for trainer, schedule in zip((scaled, other), schedules, strict=True):
            step(trainer)
            schedule.step()
    for name, value in scaled.model.state_dict().items():
        assert torch.equal(value, reference.state_dict()[name]), name
    assert [id(group) for group in scaled.optimizer.param_groups] == before
    assert {group["lr"] for group in scaled.optimizer.param_groups} == {schedules[0].get_last_lr()[0]}
    assert [len(group["params"]) for group in scaled.optimizer.param_groups] == [3, 3]


def test_what_an_optimizer_writes_into_a_group_stays():
    class Counting(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            for group in self.param_groups:
                group["steps"] = group.get("steps", 0) + 1
            return super().step(closure)

    trainer = trainer_of(Model(), lambda groups: Counting(groups, lr=0.01))
    LayerFreezing(trainer).train_only(range(3), {0: 0.5})
    for _ in range(3):
        step(trainer)
    assert [group["steps"] for group in trainer.optimizer.param_groups] == [3, 3]


def test_groups_are_whole_again_after_a_step_that_raises():
    trainer = trainer_of(Model(), lambda groups: torch.optim.SGD(groups, lr=0.01))
    freezing, groups = LayerFreezing(trainer), trainer.optimizer.param_groups
    freezing.train_only(range(3), {0: 0.5})

    def fail() -> float:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        trainer.optimizer.step(fail)
    assert len(trainer.optimizer.param_groups) == 4
    step(trainer)
    assert trainer.optimizer.param_groups is groups
    with pytest.raises(RuntimeError, match="broken"):
        trainer.optimizer.step(fail)
    freezing.close()
    assert trainer.optimizer.param_groups is groups
    step(trainer)
    assert trainer.optimizer.param_groups is groups


def test_the_factors_follow_a_new_optimizer():
    trainer = trainer_of(Model(), OPTIMIZERS["SGD"])
    freezing = LayerFreezing(trainer)
    freezing.train_only([2], {2: 0.5})
    first, trainer.optimizer = trainer.optimizer, trainer_of(trainer.model, OPTIMIZERS["SGD"]).optimizer
    freezing.train_only([2], {2: 0.5})
    assert [len(each._optimizer_step_pre_hooks) for each in (first, trainer.optimizer)] == [0, 1]
    freezing.train_only([2], {2: 0.5})
    assert len(trainer.optimizer._optimizer_step_pre_hooks) == 1


def test_a_frozen_layer_has_no_gradient_and_no_state_and_does_not_move():
    trainer = trainer_of(Model(), OPTIMIZERS["AdamW"])
    freezing = LayerFreezing(trainer)
    freezing.train_only(range(3), {})
    step(trainer)
    trainer.model(torch.ones(4, 3)).backward()  # a gradient that was accumulated and not used
    freezing.train_only([2], {})
    freezing.freeze_statistics()
    before = copy.deepcopy(trainer.model.state_dict())
    step(trainer)
    moved = {name for name, value in trainer.model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"model.2.weight", "model.2.bias"}
    assert set(trainer.optimizer.state) == set(trainer.model.model[2].parameters())
    assert all(parameter.grad is None for parameter in trainer.model.model[:2].parameters())

    freezing.train_only([0, 2], {})
    step(trainer)
    steps = [float(trainer.optimizer.state[trainer.model.model[number].weight]["step"]) for number in (0, 2)]
    assert steps == [1.0, 3.0]  # fresh, and as before


def test_statistics_follow_the_training_mode_without_freezing_them():
    trainer = trainer_of(Model(), OPTIMIZERS["SGD"])
    LayerFreezing(trainer).train_only([2], {})
    step(trainer)
    assert trainer.model.model[1].num_batches_tracked == 1


def test_what_was_frozen_before_stays_frozen():
    trainer = trainer_of(Model(), OPTIMIZERS["SGD"])
    trainer.model.model[0].weight.requires_grad = False
    freezing = LayerFreezing(trainer)
    assert freezing.size([0]) == 4
    for layers in ([0, 1, 2], [2], [0, 2]):
        freezing.train_only(layers, {})
        assert not trainer.model.model[0].weight.requires_grad
        assert trainer.model.model[0].bias.requires_grad == (0 in layers)
    assert [freezing.size(layers) for layers in ([0], [1], [2], range(3))] == [4, 8, 10, 22]


def test_layers_that_were_never_trained_are_exact_in_the_average():
    trainer = trainer_of(Model(), OPTIMIZERS["SGD"])
    average = copy.deepcopy(trainer.model)
    with torch.no_grad():
        for value in average.state_dict().values():
            value.add_(1)
    trainer.ema = SimpleNamespace(ema=average)
    freezing = LayerFreezing(trainer)

    def same() -> list[str]:
        expected = trainer.model.state_dict()
        return [name for name, value in average.state_dict().items() if torch.equal(value, expected[name])]

    freezing.copy_to_average([1], statistics=False)
    assert same() == ["model.1.weight", "model.1.bias"]
    freezing.copy_to_average([1], statistics=True)
    assert same() == [f"model.1.{name}" for name in ("weight", "bias", "running_mean", "running_var")]
    trainer.ema = None
    freezing.copy_to_average([1], statistics=True)


def wrapped(**attributes: Any) -> Any:
    return SimpleNamespace(**attributes, parameters=list)


@pytest.mark.parametrize("name", ["module", "_orig_mod", "student_model"])
def test_a_model_inside_a_wrapper(name):
    freezing = LayerFreezing(SimpleNamespace(model=wrapped(**{name: Model()})))
    assert (freezing.obstacle, freezing.parts) == ("", ModelParts(3, 2))


@pytest.mark.parametrize(
    ("model", "obstacle"),
    [
        (nn.Linear(2, 2), "the model of this training has no list of layers"),
        (wrapped(model=nn.Linear(2, 2)), "the model of this training has no list of layers"),
        (
            wrapped(module=Model(), static_graph=True),
            "with compile=True on several GPUs the same layers must be trained in every epoch",
        ),
    ],
)
def test_a_model_whose_layers_cannot_be_frozen(model, obstacle):
    assert LayerFreezing(SimpleNamespace(model=model)).obstacle == obstacle


def test_a_model_that_does_not_say_where_its_backbone_ends():
    model = Model()
    for model.yaml in ({}, {"backbone": []}, None):
        assert LayerFreezing(SimpleNamespace(model=model)).parts == ModelParts(3, None)
