"""Layers that are frozen and freed by epoch: the weights of real trainings, layer by layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from trainings import FAST, TINY, TINY_CLASSIFY, interrupted
from ultralytics import YOLO

from yolo_callbacks import Callback, EarlyStopping, JsonlLogger, Unfreeze, attach

FIXED = {"optimizer": "AdamW", "lr0": 0.01, "warmup_epochs": 0, "patience": 0}


class Layers(Callback):
    """Keep the tensors of each layer at the end of every epoch, those of the EMA, and what the optimizer knows."""

    def __init__(self) -> None:
        self.model: dict[int, list[dict[str, torch.Tensor]]] = {}
        self.average: dict[int, list[dict[str, torch.Tensor]]] = {}
        self.steps: dict[int, list[set[float]]] = {}
        self.trained: dict[int, list[bool]] = {}

    def on_train_epoch_end(self, trainer: Any) -> None:
        epoch, layers = trainer.epoch + 1, list(trainer.model.model)
        self.trained[epoch] = [any(each.requires_grad for each in layer.parameters()) for layer in layers]
        self.model[epoch] = [tensors(layer) for layer in layers]
        self.steps[epoch] = [
            {
                float(trainer.optimizer.state[each]["step"])
                for each in layer.parameters()
                if each in trainer.optimizer.state
            }
            for layer in layers
        ]

    def on_fit_epoch_end(self, trainer: Any) -> None:
        if trainer.validator.training:
            self.average[trainer.epoch + 1] = [tensors(layer) for layer in trainer.ema.ema.model]

    def same(self, epoch: int, than: int) -> list[bool]:
        """Return for each layer whether all of it is bit for bit what it was in another epoch."""
        pairs = zip(self.model[epoch], self.model[than], strict=True)
        return [all(torch.equal(one[name], other[name]) for name in one) for one, other in pairs]


def tensors(layer: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in layer.state_dict().items()}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint, whose weights have half precision: a resume does not round those that did not change."""
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    torch.manual_seed(0)
    model = YOLO(TINY)
    for value in model.model.state_dict().values():
        if value.is_floating_point():
            value.copy_(value.half().float())
    model.save(path)
    return str(path)


@pytest.mark.training
def test_frozen_layers_stay_bit_for_bit_and_freed_ones_move(train, messages):
    model, layers = YOLO(TINY), Layers()
    unfreeze = Unfreeze({0: "head", 2: 0, 3: "all", 4: ["-head", "-0"]})
    attach(model, unfreeze, layers, strict=True)
    start = [tensors(layer) for layer in model.model.model]
    train(model, epochs=5, **FIXED)
    layers.model[0] = start
    frozen = {epoch: layers.same(epoch, epoch - 1) for epoch in range(2, 6)}
    assert frozen == {2: [True, True, False], 3: [False, True, False], 4: [False] * 3, 5: [True, False, True]}
    assert {epoch: [bool(steps) for steps in layers.steps[epoch]] for epoch in layers.steps} == {
        1: [False, False, True], 2: [False, False, True], 3: [True, False, True], 4: [True] * 3, 5: [False, True, False]
    }  # fmt: skip
    # two batches an epoch: what was freed begins with a fresh state of the optimizer
    assert (layers.steps[3][0], layers.steps[4][:2]) == ({2.0}, [{4.0}, {2.0}])

    *changes, table = [text for text in messages if "Unfreeze" in text]
    assert changes == [
        "Unfreeze: epoch 1, trains head: 47,099 of 47,923 weights (98%), frozen: backbone",
        "Unfreeze: epoch 3, trains head, layer 0: 47,331 of 47,923 weights (99%), frozen: layer 1",
        "Unfreeze: epoch 4, trains all layers: 47,923 of 47,923 weights (100%)",
        "Unfreeze: epoch 5, trains layer 1: 592 of 47,923 weights (1%), frozen: head, layer 0",
    ]
    assert "head from epoch 1 on; head, layer 0 from epoch 3 on; all layers from epoch 4 on; layer 1 from" in table
    assert unfreeze.stages == {1: "head", 3: "head, layer 0", 4: "all layers", 5: "layer 1"}
    assert unfreeze.trained == "layer 1"


@pytest.mark.training
def test_the_average_of_a_layer_that_was_never_trained_is_the_layer(train):
    model, layers = YOLO(TINY), Layers()
    attach(model, Unfreeze({0: "head", 3: "0"}), layers)
    folder = train(model, epochs=4, **FIXED)
    for epoch, average in layers.average.items():
        for number, layer in enumerate(average):
            exact = all(torch.equal(value, layers.model[epoch][number][name]) for name, value in layer.items())
            assert exact == (number == 1 or (number == 0 and epoch < 4)), (epoch, number)
    best = (
        torch.load(folder / "weights" / "last.pt", map_location="cpu", weights_only=False)["ema"]
        or YOLO(folder / "weights" / "last.pt").model
    )
    saved = tensors(best.model[1])
    assert all(torch.equal(saved[name].float(), value.half().float()) for name, value in layers.model[4][1].items())


@pytest.mark.training
def test_statistics_move_only_where_they_may(train):
    for freeze_bn in (True, False):
        model, layers = YOLO(TINY), Layers()
        attach(model, Unfreeze({0: "head", 2: "1"}, freeze_bn=freeze_bn), layers)
        train(model, epochs=3, name=f"run-{freeze_bn}", **FIXED)
        same = {
            epoch: [
                [torch.equal(layers.model[epoch][number][f"bn.{name}"], layers.model[1][number][f"bn.{name}"])
                 for name in ("weight", "running_mean", "num_batches_tracked")]
                for number in (0, 1)
            ]
            for epoch in (2, 3)
        }  # fmt: skip
        moves = [True, freeze_bn, freeze_bn]
        assert same == {2: [moves, moves], 3: [moves, [False] * 3]}, freeze_bn


@pytest.mark.training
def test_what_freeze_has_frozen_stays_frozen(train, messages):
    model, layers = YOLO(TINY), Layers()
    attach(model, Unfreeze({0: "head", 1: "all"}), layers, strict=True)
    train(model, epochs=3, freeze=1, **FIXED)
    assert [layers.same(epoch, epoch - 1) for epoch in (2, 3)] == [[True, False, False]] * 2
    assert "Unfreeze: epoch 2, trains all layers: 47,691 of 47,691 weights (100%)" in messages


@pytest.mark.training
def test_a_layer_with_a_factor_moves_by_that_share(train):
    """The first step of SGD is in proportion to the gradient and the rate."""
    moved = {}
    for scale in (None, {"backbone": 0.25, "head": 0.5}):
        model, layers = YOLO(TINY), Layers()
        attach(model, Unfreeze({0: "all"}, lr_scale=scale), layers)
        seen: list[Any] = []
        model.add_callback("on_train_start", lambda trainer, seen=seen: seen.extend(map(tensors, trainer.model.model)))
        fixed = {**FIXED, "optimizer": "SGD", "weight_decay": 0.0}
        folder = train(model, epochs=1, batch=8, nbs=8, name=f"run-{scale is None}", **fixed)
        names = ("conv.weight", "conv.weight", "cv2.0.0.conv.weight")
        moved[scale is None] = [layers.model[1][number][name] - seen[number][name] for number, name in enumerate(names)]
        assert "lr/pg0" in (folder / "results.csv").read_text()
    for number, factor in enumerate((0.25, 0.25, 0.5)):
        assert moved[True][number].abs().max() > 0
        torch.testing.assert_close(moved[False][number], moved[True][number] * factor, rtol=1e-3, atol=1e-8)


@pytest.mark.training
def test_a_resumed_run_trains_what_an_uninterrupted_one_does(train, weights, messages):
    schedule = {0: "head", 3: "0", 5: "all"}
    whole, logger = Layers(), JsonlLogger()
    model = YOLO(weights)
    attach(model, Unfreeze(schedule, lr_scale=0.5), whole, logger)
    expected = rows(train(model, epochs=6, name="whole", **FIXED))
    for after in (2, 3, 4):
        model = YOLO(weights)
        attach(model, Unfreeze(schedule, lr_scale=0.5), JsonlLogger())
        folder = interrupted(train, model, after, epochs=6, name=f"after-{after}", **FIXED)
        del messages[:]
        model, layers, unfreeze = YOLO(folder / "weights" / "last.pt"), Layers(), Unfreeze(schedule, lr_scale=0.5)
        attach(model, unfreeze, layers, JsonlLogger())
        model.train(resume=True)
        assert list(layers.model) == list(range(after + 1, 7))
        # how many steps the optimizer has made with each layer, the frozen ones none
        assert layers.steps == {epoch: steps for epoch, steps in whole.steps.items() if epoch > after}
        for epoch in layers.model:
            start = whole.model[1]
            kept = [all(torch.equal(one[name], start[number][name]) for name in one)
                    for number, one in enumerate(layers.model[epoch])]  # fmt: skip
            assert kept == [epoch <= 3, epoch <= 5, False], epoch
        assert rows(folder) == expected
        first = next(text for text in messages if text.startswith("Unfreeze"))
        assert first.startswith(f"Unfreeze: epoch {after + 1}, trains head{', layer 0' if after >= 3 else ''}: ")
        assert unfreeze.outcome() == "head from epoch 1 on; head, layer 0 from epoch 4 on; all layers from epoch 6 on"


def rows(folder: Path) -> list[Any]:
    """The epochs in the log of a run, with the share of its weights that were trained."""
    logged = [json.loads(line) for line in (folder / "callbacks.jsonl").read_text().splitlines()]
    return [(row["epoch"], row["unfreeze/trained"]) for row in logged if "epoch" in row]


@pytest.mark.training
def test_after_a_recovery_from_nan_the_layers_are_those_of_the_epoch(train, scripted):
    model, layers = YOLO(TINY), Layers()
    attach(model, Unfreeze({0: "head", 2: "all"}), layers, strict=True)
    poisoned: list[int] = []

    def poison(trainer: Any) -> None:
        if trainer.epoch == 2 and not poisoned:
            poisoned.append(trainer.epoch)
            trainer.loss = trainer.loss * float("nan")

    model.add_callback("on_train_epoch_end", poison)
    scripted([0.1, 0.2, float("nan"), 0.3, 0.4])
    train(model, epochs=4, **FIXED)
    assert poisoned == [2]
    assert layers.trained == {1: [False, False, True], 2: [False, False, True], 3: [True] * 3, 4: [True] * 3}
    # the steps of the first attempt are forgotten; up to 8.4.103 or so the second one makes none
    assert layers.steps[3][:2] in ([{2.0}, {2.0}], [set(), set()])


@pytest.mark.training
def test_single_methods_work_without_a_suite(train):
    model, layers, unfreeze = YOLO(TINY), Layers(), Unfreeze({0: "head", 1: "1"}, lr_scale=0.1)
    for event in ("on_train_epoch_start", "on_train_batch_start", "on_train_epoch_end", "on_fit_epoch_end", "teardown"):
        model.add_callback(event, getattr(unfreeze, event))
    model.add_callback("on_train_epoch_end", layers.on_train_epoch_end)
    train(model, epochs=3, **FIXED)
    assert [layers.same(epoch, epoch - 1) for epoch in (2, 3)] == [[True, False, False]] * 2


@pytest.mark.training
def test_the_share_of_trained_weights_is_a_monitor(train):
    model, stopping = YOLO(TINY), EarlyStopping("unfreeze/trained", "min", patience=1)
    attach(model, Unfreeze({0: "1"}), stopping, strict=True)
    train(model, epochs=4, **FIXED)
    assert (stopping.best_score, stopping.stopped_epoch) == (pytest.approx(592 / 47923), 2)


@pytest.mark.training
@pytest.mark.parametrize(
    ("source", "schedule", "scale", "arguments", "match"),
    [
        (TINY, {0: "head", 5: "neck"}, None, {}, r"this model has no neck, it has backbone \(0-1\), head \(2\)"),
        (TINY, {0: "head", 5: "1-3"}, None, {}, "this model has no layer 3, its layers are 0-2"),
        (TINY, {0: "head"}, {"neck": 0.1}, {}, "this model has no neck"),
        (TINY, {0: "head", 5: "-2"}, None, {}, r"trains no layer after 5 epochs\n"),
        (TINY, {0: "backbone"}, None, {"freeze": 2}, r"trains no layer after 0 epochs \(what freeze= has frozen stays"),
    ],
)
def test_a_schedule_that_does_not_fit_the_model(train, source, schedule, scale, arguments, match):
    model = YOLO(source)
    attach(model, Unfreeze(schedule, lr_scale=scale))
    with pytest.raises(ValueError, match=match):
        train(model, epochs=1, **arguments)
    assert not (Path(model.trainer.save_dir) / "results.csv").exists()


@pytest.mark.training
def test_a_training_whose_layers_cannot_be_frozen_goes_on(train, messages):
    model = YOLO(TINY)
    attach(model, Unfreeze({0: "head"}), strict=True)
    # as with compile=True on several GPUs
    model.add_callback(
        "on_pretrain_routine_start", lambda trainer: setattr(trainer, "get_model", with_static_graph(trainer.get_model))
    )
    train(model, epochs=2)
    (warning,) = [text for text in messages if "is off for this run" in text]
    assert warning.startswith("Unfreeze is off for this run: with compile=True on several GPUs the same layers must be")


def with_static_graph(get_model: Any) -> Any:
    def get(*arguments: Any, **keywords: Any) -> Any:
        made = get_model(*arguments, **keywords)
        made.static_graph = True
        return made

    return get


@pytest.mark.training
def test_a_classification_model_has_a_head_too(tmp_path):
    import digits

    data = digits.classification(tmp_path / "crops", train=4, val=2)
    model, layers = YOLO(TINY_CLASSIFY), Layers()
    attach(model, Unfreeze({0: "head", 1: "all"}), layers, strict=True)
    model.train(**{**FAST, **FIXED}, data=str(data), epochs=3, project=str(tmp_path), name="run")
    assert [layers.same(epoch, epoch - 1) for epoch in (2, 3)] == [[False] * 3] * 2
    assert layers.steps[1][:2] == [set(), set()]


@pytest.mark.parametrize("arguments", [{"freeze_bn": 1}, {"freeze_bn": None}, {"lr_scale": "0.1"}])
def test_wrong_arguments(arguments):
    with pytest.raises(TypeError, match=f"{next(iter(arguments))} must be"):
        Unfreeze({0: "head"}, **arguments)


def test_the_arguments_are_shown():
    assert repr(Unfreeze({0: "head"}, lr_scale=0.5)) == "Unfreeze(schedule={0: 'head'}, lr_scale=0.5)"


@pytest.mark.training
def test_the_neck_is_what_is_between_backbone_and_head(train, tmp_path):
    file = tmp_path / "necked.yaml"
    file.write_text(
        Path(TINY).read_text().replace("head:\n", "head:\n  - [-1, 1, Conv, [8, 3, 1]]\n").replace("[[1]", "[[2]")
    )
    model, layers, unfreeze = YOLO(file), Layers(), Unfreeze({0: "head", 1: "neck", 2: ["-all", "neck"], 3: "all"})
    attach(model, unfreeze, layers, strict=True)
    train(model, epochs=4, **FIXED)
    same = {epoch: layers.same(epoch, epoch - 1) for epoch in (2, 3, 4)}
    assert same == {2: [True, True, False, False], 3: [True, True, False, True], 4: [False] * 4}
    assert unfreeze.stages == {1: "head", 2: "neck, head", 3: "neck", 4: "all layers"}


def test_epochs_cannot_be_chosen():
    with pytest.raises(ValueError, match="epochs cannot be chosen for Unfreeze: its schedule says"):
        Unfreeze({0: "head"}).in_epochs("5:")
