"""The reduction of the learning rate in real trainings, under schedulers of any kind."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import ultralytics
from torch.optim import lr_scheduler as torch_schedulers
from trainings import TINY, interrupted
from ultralytics import YOLO
from ultralytics.models.yolo.detect import DetectionTrainer

from yolo_callbacks import Callback, EarlyStopping, ReduceLROnPlateau, SaveBest, attach
from yolo_callbacks.trainer.training_run import TrainingRun

pytestmark = pytest.mark.training

ULTRALYTICS = tuple(int(part) for part in ultralytics.__version__.split(".")[:3])
EPOCHS = 6
ARGUMENTS = {"epochs": EPOCHS, "optimizer": "SGD", "lr0": 0.01, "warmup_epochs": 0, "patience": 0}
NEVER_BETTER = [0.5] * EPOCHS


class Plateau(torch_schedulers.ReduceLROnPlateau):
    """The scheduler of torch that needs a metric, which Ultralytics does not give."""

    def step(self, metrics: Any = None, epoch: Any = None) -> None:
        if metrics is not None:
            super().step(metrics)


class Absolute:
    """A scheduler of a user's own that computes each rate from the epoch."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer, self.last_epoch = optimizer, -1
        self.first = [group["lr"] for group in optimizer.param_groups]

    def step(self) -> None:
        self.last_epoch += 1
        for group, first in zip(self.optimizer.param_groups, self.first, strict=True):
            group["lr"] = first / (1 + self.last_epoch)


class Recursive:
    """A scheduler of a user's own that starts from the rate that is there; it has no room for attributes."""

    __slots__ = ("last_epoch", "optimizer")

    def __init__(self, optimizer: Any) -> None:
        self.optimizer, self.last_epoch = optimizer, -1

    def step(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = max(0.7 * group["lr"], 1e-4)


class Delegating:
    """A wrapper that has no `step` of its own, as of libraries for several devices."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["inner"], name)


class Warming:
    """A wrapper that writes the rates of the first epochs itself, then lets another scheduler do it."""

    def __init__(self, inner: Any, epochs: int) -> None:
        self.inner, self.epochs, self.last_epoch = inner, epochs, -1

    def step(self) -> None:
        self.last_epoch += 1
        if self.last_epoch > self.epochs:
            self.inner.step()
            return
        for group in self.inner.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * (1 + self.last_epoch) / (1 + self.epochs)


def replaced_on_the_instance(optimizer: Any) -> Any:
    scheduler = torch_schedulers.ExponentialLR(optimizer, 0.8)
    scheduler.step = functools.partial(scheduler.step)
    return scheduler


S = torch_schedulers
SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "LambdaLR": lambda o: S.LambdaLR(o, lambda epoch: 0.9**epoch),
    "MultiplicativeLR": lambda o: S.MultiplicativeLR(o, lambda epoch: 0.9),
    "StepLR": lambda o: S.StepLR(o, 2, 0.5),
    "MultiStepLR": lambda o: S.MultiStepLR(o, [2, 4], 0.5),
    "ConstantLR": lambda o: S.ConstantLR(o, 0.5, 4),
    "LinearLR": lambda o: S.LinearLR(o, 0.5, 1.0, 4),
    "ExponentialLR": lambda o: S.ExponentialLR(o, 0.8),
    "PolynomialLR": lambda o: S.PolynomialLR(o, 8, 2.0),
    "CosineAnnealingLR": lambda o: S.CosineAnnealingLR(o, 8, eta_min=1e-4),
    "CosineAnnealingWarmRestarts": lambda o: S.CosineAnnealingWarmRestarts(o, 3),
    "OneCycleLR": lambda o: S.OneCycleLR(o, 0.1, total_steps=10),
    "CyclicLR": lambda o: S.CyclicLR(o, 0.001, 0.01, step_size_up=2),
    "ReduceLROnPlateau": lambda o: Plateau(o, "min", factor=0.3, patience=1, min_lr=1e-4),
    "SequentialLR": lambda o: S.SequentialLR(o, [S.LinearLR(o, 0.1, 1.0, 2), S.CosineAnnealingLR(o, 6)], [3]),
    "ChainedScheduler": lambda o: S.ChainedScheduler([S.ConstantLR(o, 0.5, 3), S.ExponentialLR(o, 0.8)]),
    "a class of the user's own": Absolute,
    "a recursive class with members": Recursive,
    "a wrapper around StepLR": lambda o: Delegating(S.StepLR(o, 2, 0.5)),
    "a warm-up around CosineAnnealingLR": lambda o: Warming(S.CosineAnnealingLR(o, 6), 2),
    "step replaced on the instance": replaced_on_the_instance,
}


def trainer_with(make: Callable[[Any], Any], *, tensors: bool = False) -> type[DetectionTrainer]:
    """A trainer with a scheduler of its own, and another base rate for each parameter group."""

    class OwnTrainer(DetectionTrainer):
        def _setup_scheduler(self) -> None:
            first = self.scheduler is None
            super()._setup_scheduler()
            if first:
                for index, group in enumerate(self.optimizer.param_groups):
                    rate = 0.01 * (index + 1)
                    group["lr"] = torch.tensor(rate) if tensors else rate
                    group.pop("initial_lr", None)
            self.scheduler = make(self.optimizer)

    return OwnTrainer


class Rates:
    """Record the rates of each batch, and the scalars logged at the end of each epoch."""

    def __init__(self, model: YOLO) -> None:
        self.batches: dict[int, list[list[float]]] = {}
        self.scales: dict[int, float] = {}
        self.published: dict[int, dict[str, float]] = {}
        model.add_callback("on_train_epoch_start", lambda t: self.batches.pop(t.epoch + 1, None))
        model.add_callback("on_train_batch_end", self.note)
        model.add_callback("on_fit_epoch_end", self.note_scale)

    def note(self, trainer: Any) -> None:
        rates = [float(group["lr"]) for group in trainer.optimizer.param_groups]
        self.batches.setdefault(trainer.epoch + 1, []).append(rates)

    def note_scale(self, trainer: Any) -> None:
        record = TrainingRun.of(trainer).record()
        if not record.final:
            self.published[record.epoch] = dict(record.scalars)
            self.scales[record.epoch] = record.scalars.get("lr/scale", 1.0)


def compare(without: Rates, reduced: Rates, *, rel: float = 1e-9) -> None:
    """Each rate is that of the same training without the callback, times what was logged one epoch before."""
    assert list(reduced.batches) == list(without.batches) == list(range(1, len(without.batches) + 1))
    for epoch, batches in without.batches.items():
        scale = reduced.scales.get(epoch - 1, 1.0)
        expected = [[rate * scale for rate in rates] for rates in batches]
        assert reduced.batches[epoch] == [pytest.approx(rates, rel=rel, abs=0) for rates in expected], epoch


@pytest.fixture
def both(train, scripted):
    """Train without the callback and with it, reducing at the end of epochs 2, 4 and 6; the rates of both."""

    def run(prepare: Callable[[YOLO], None] = lambda model: None, **arguments: Any) -> tuple[Rates, Rates]:
        rates = []
        for name in ("without", "reduced"):
            scripted(NEVER_BETTER)
            model = YOLO(TINY)
            plateau = ReduceLROnPlateau("mAP50", factor=0.3, patience=0, cooldown=1)
            attach(model, *([EarlyStopping("recall", patience=50)] if name == "without" else [plateau]))
            prepare(model)
            rates.append(Rates(model))
            train(model, name=name, **{**ARGUMENTS, **arguments})
        without, reduced = rates
        expected = [1.0, 0.3, 0.3, 0.09, 0.09, 0.027]
        assert [reduced.scales[epoch] for epoch in range(1, 7)] == pytest.approx(expected)
        assert plateau.reductions == [2, 4, 6]
        return without, reduced

    return run


# One that goes on from the rate that is there, and one that computes it from the epoch.
SAMPLE = ("a recursive class with members", "OneCycleLR")
slow = functools.partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize("name", [*SAMPLE, *(slow(name) for name in SCHEDULERS if name not in SAMPLE)])
def test_every_scheduler_is_multiplied(both, name):
    def prepare(model):
        if name == "ReduceLROnPlateau":  # before and after the epoch's own decision makes no difference
            model.add_callback("on_fit_epoch_end", lambda trainer: trainer.scheduler.step(1.0))

    without, reduced = both(prepare, trainer=trainer_with(SCHEDULERS[name]))
    compare(without, reduced)
    assert len({rates[0][0] for rates in without.batches.values()}) > 1  # the schedule itself does something


@pytest.mark.parametrize("name", ["StepLR", slow("LambdaLR"), slow("SequentialLR")])
def test_rates_that_are_tensors(both, name):
    compare(*both(trainer=trainer_with(SCHEDULERS[name], tensors=True)), rel=1e-5)


@pytest.mark.parametrize("warmup_bias_lr", [0.1, slow(0.0)])
@pytest.mark.parametrize("cos_lr", [slow(False, id="linear"), pytest.param(True, id="cosine")])
def test_warm_up(both, cos_lr, warmup_bias_lr):
    without, reduced = both(warmup_epochs=4.0, warmup_bias_lr=warmup_bias_lr, cos_lr=cos_lr)
    compare(without, reduced)
    assert without.batches[3][0] != without.batches[3][1]  # a rate of its own for each batch


@pytest.mark.slow
def test_warm_up_of_a_recursive_scheduler_ends_within_an_epoch(both):
    """The scheduler goes on from the last rate of the warm-up."""
    without, reduced = both(trainer=trainer_with(SCHEDULERS["ExponentialLR"]), warmup_epochs=2.5, warmup_bias_lr=0.1)
    compare(without, reduced)


@pytest.mark.slow
def test_one_cycle_by_batch(both):
    class ByBatch(trainer_with(lambda o: S.OneCycleLR(o, 0.1, total_steps=40))):
        def optimizer_step(self) -> None:
            super().optimizer_step()
            self.scheduler.step()

    without, reduced = both(trainer=ByBatch)
    compare(without, reduced)
    assert without.batches[3][0] != without.batches[3][1]


@pytest.mark.parametrize("make", [slow(None, id="linear"), pytest.param(SCHEDULERS["ExponentialLR"], id="recursive")])
def test_a_new_scheduler_in_each_epoch(both, make):
    """`time=` makes one; how long it takes to get there is not compared."""
    # Ultralytics' own schedule depends on an estimate of the number of epochs: here on a constant
    arguments = {"trainer": trainer_with(make)} if make else {"lrf": 1.0}

    def prepare(model):
        def stop(trainer):
            trainer.stop = trainer.epoch + 1 >= EPOCHS

        model.add_callback("on_fit_epoch_end", stop)

    compare(*both(prepare, time=0.5, epochs=100, **arguments))


@pytest.mark.skipif(ULTRALYTICS < (8, 3, 213), reason="recovers from NaN from 8.3.213 on")
@pytest.mark.parametrize(
    ("name", "epoch"), [("LambdaLR", 3), *(slow(*case) for case in (("StepLR", 4), ("LambdaLR", 4), ("StepLR", 3)))]
)
def test_recovery_from_nan(train, scripted, name, epoch):
    """The checkpoint that is loaded holds the rates of before the last reduction, or those after it."""
    rates = []
    for reduces in (False, True):
        scripted([*NEVER_BETTER[: epoch - 1], float("nan"), *NEVER_BETTER[epoch - 1 :]])
        model, passes = YOLO(TINY), []

        def poison(trainer, passes=passes):
            passes.append(trainer.epoch + 1)
            if passes.count(epoch) == 1 and passes[-1] == epoch:
                trainer.loss = torch.tensor(float("nan"))

        model.add_callback("on_train_epoch_end", poison)
        plateau = ReduceLROnPlateau("mAP50", factor=0.3, patience=0, cooldown=1)
        attach(model, *([plateau] if reduces else []), EarlyStopping("recall", patience=50))
        rates.append(Rates(model))
        train(model, name=str(reduces), trainer=trainer_with(SCHEDULERS[name]), **ARGUMENTS)
        assert passes == sorted([*range(1, EPOCHS + 1), epoch])
    compare(*rates)
    assert rates[1].scales[5] == pytest.approx(0.09)


@pytest.mark.parametrize(
    ("name", "after"),
    [
        slow("StepLR", 3),
        ("a recursive class with members", 2),
        slow("StepLR", 2),
        slow("LambdaLR", 3),
        slow("CosineAnnealingLR", 2),
    ],
)
def test_a_resumed_run_has_the_rates_of_an_uninterrupted_one(train, scripted, name, after):
    trainer = trainer_with(SCHEDULERS[name])

    def new(weights: Any) -> tuple[YOLO, Rates]:
        scripted(NEVER_BETTER)
        model = YOLO(weights)
        attach(model, ReduceLROnPlateau("mAP50", factor=0.3, patience=0, cooldown=1, min_lr=0.001))
        return model, Rates(model)

    model, whole = new(TINY)
    train(model, name="whole", trainer=trainer, **ARGUMENTS)
    model, first = new(TINY)
    folder = interrupted(train, model, after, name="parts", trainer=trainer, **ARGUMENTS)
    model, second = new(folder / "weights" / "last.pt")
    model.train(trainer=trainer, resume=True)
    assert {**first.batches, **second.batches} == whole.batches
    assert {**first.scales, **second.scales} == whole.scales
    assert len(set(whole.scales.values())) == 4


@pytest.mark.skipif(ULTRALYTICS <= (8, 4, 140), reason="Ultralytics makes a new optimizer for the retry")
def test_a_retry_after_memory_ran_out(train, scripted):
    """In the first epoch of a resumed run: a factor has an effect, and older versions make a new optimizer."""

    class Failing(trainer_with(SCHEDULERS["LambdaLR"])):
        fails = 0

        def preprocess_batch(self, batch: Any) -> Any:
            if self.resume and not self.fails:
                self.fails += 1
                raise RuntimeError("CUDA out of memory")
            return super().preprocess_batch(batch)

    scripted(NEVER_BETTER)
    model = YOLO(TINY)
    attach(model, ReduceLROnPlateau("mAP50", factor=0.3, patience=0, cooldown=1))
    folder = interrupted(train, model, 3, name="run", trainer=Failing, **ARGUMENTS)
    scripted(NEVER_BETTER)
    model = YOLO(folder / "weights" / "last.pt")
    attach(model, ReduceLROnPlateau("mAP50", factor=0.3, patience=0, cooldown=1))
    rates = Rates(model)
    model.train(trainer=Failing, resume=True)
    assert rates.scales == pytest.approx({4: 0.09, 5: 0.09, 6: 0.027})
    for epoch, scale in ((4, 0.3), (5, 0.09), (6, 0.09)):
        expected = [0.01 * (index + 1) * 0.9**epoch * scale for index in range(3)]
        ours = rates.batches[epoch]
        # Ultralytics 8.4.190 keeps the optimizer and sets the epoch of the scheduler back
        assert ours[-1] == pytest.approx([rate / 0.9 for rate in expected])


@pytest.mark.slow
def test_a_scheduler_that_is_replaced_during_the_run(both):
    def prepare(model):
        def replace(trainer):
            if trainer.epoch == 2:
                trainer.scheduler = S.ExponentialLR(trainer.optimizer, 0.5)

        model.add_callback("on_fit_epoch_end", replace)

    without, reduced = both(prepare)
    compare(without, reduced)


class Idle:
    """In the place of a scheduler, for a script that changes the rates between epochs."""

    last_epoch = -1

    def step(self) -> None:
        pass


@pytest.mark.slow
def test_rates_that_a_script_changes_between_epochs(both):
    def prepare(model):
        def fall(trainer):
            for group in trainer.optimizer.param_groups:
                group["lr"] *= 0.8

        model.add_callback("on_fit_epoch_end", fall)

    without, reduced = both(prepare, trainer=trainer_with(lambda optimizer: Idle()))
    compare(without, reduced)


# What cannot be reduced -----------------------------------------------------------------------------------------------


class Final(Recursive):
    """A class that allows no subclass."""

    def __init_subclass__(cls) -> None:
        raise RuntimeError("this class is final")


class NoStep:
    """In the place of a scheduler, for a trainer that schedules in its own way."""

    last_epoch = -1


class StepsElsewhere(trainer_with(lambda optimizer: NoStep())):
    """A trainer whose scheduler has no `step` when the run is set up, and later one that does nothing."""

    def _model_train(self) -> None:
        super()._model_train()
        for group in self.optimizer.param_groups:
            group["lr"] = 0.004


def give_a_step(trainer: Any) -> None:
    NoStep.step = lambda self: None


@pytest.mark.parametrize(
    ("trainer", "reason"),
    [
        (trainer_with(Final), "the step() of a Final cannot be wrapped"),
        (StepsElsewhere, "its scheduler (NoStep) has no method step()"),
    ],
)
def test_what_cannot_be_reduced_is_said_once_and_nothing_is_claimed(
    train, scripted, messages, monkeypatch, trainer, reason
):
    monkeypatch.delattr(NoStep, "step", raising=False)
    rates, started = [], []
    for reduces in (False, True):
        monkeypatch.delattr(NoStep, "step", raising=False)
        scripted(NEVER_BETTER)
        model = YOLO(TINY)
        first, second = ReduceLROnPlateau("mAP50", patience=0), ReduceLROnPlateau("recall", patience=0)
        attach(model, *([first, second] if reduces else []), SaveBest("mAP50"))
        model.add_callback("on_train_start", give_a_step)
        model.add_callback("on_train_start", lambda _: started.append(len(messages)))
        rates.append(Rates(model))
        train(model, name=str(reduces), trainer=trainer, **ARGUMENTS)
    assert rates[0].batches == rates[1].batches
    assert len(rates[1].batches) == EPOCHS
    warned = [index for index, message in enumerate(messages) if "cannot be reduced" in message]
    assert len(warned) == 1
    assert warned[0] < started[1]  # before the first epoch
    assert reason in messages[warned[0]]
    assert (first.reductions, second.reductions, first.scale, second.scale) == ([], [], 1.0, 1.0)
    assert set(rates[1].scales.values()) == {1.0}
    assert not [message for message in messages if "learning rate reduced to" in message]
    assert f"off: {reason}" in messages[-1]


@pytest.mark.parametrize("first_epoch", [1, 4])
def test_rates_that_other_code_writes(train, scripted, messages, first_epoch):
    """Where it begins after a reduction, that one holds until then."""
    scripted(NEVER_BETTER)
    model = YOLO(TINY)
    plateau = ReduceLROnPlateau("mAP50", factor=0.3, patience=0, cooldown=1)

    def write(trainer):
        if trainer.epoch + 1 >= first_epoch:
            for group in trainer.optimizer.param_groups:
                group["lr"] = 0.005

    model.add_callback("on_train_batch_start", write)
    attach(model, plateau)
    rates = Rates(model)
    train(model, lrf=1.0, **ARGUMENTS)
    scales = {1: 1.0, 2: 0.3, 3: 0.3} if first_epoch == 4 else {}
    assert rates.scales == {**dict.fromkeys(range(1, EPOCHS + 1), 1.0), **scales}
    expected = {epoch: 0.005 if epoch >= first_epoch else 0.01 * scales.get(epoch - 1, 1.0) for epoch in rates.batches}
    assert {epoch: batches[0][0] for epoch, batches in rates.batches.items()} == pytest.approx(expected)
    assert plateau.reductions == ([2] if first_epoch == 4 else [])
    warned = [message for message in messages if "cannot be reduced" in message]
    assert len(warned) == 1
    assert "other code overwrites it after scheduler.step()" in warned[0]
    assert ("the factor 0.3 has no effect" in warned[0]) == (first_epoch == 4)


# What else must hold --------------------------------------------------------------------------------------------------


def test_the_scheduler_stays_what_it_is(train, scripted, tmp_path):
    """Users store its state, copy and pickle it, and read its rates."""
    scripted(NEVER_BETTER)
    model, seen = YOLO(TINY), []

    def look(trainer):
        scheduler = trainer.scheduler
        copies = (copy.deepcopy(scheduler), copy.copy(scheduler), pickle.loads(pickle.dumps(scheduler)))
        torch.save(scheduler.state_dict(), tmp_path / "scheduler.pt")
        stored = torch.load(tmp_path / "scheduler.pt", weights_only=False)
        assert stored == scheduler.state_dict()
        assert "step" not in stored
        assert {type(copied) for copied in copies} == {S.StepLR}
        assert scheduler.__class__ is S.StepLR
        seen.append((scheduler.base_lrs, [group["initial_lr"] for group in trainer.optimizer.param_groups]))

    model.add_callback("on_fit_epoch_end", look)
    attach(model, ReduceLROnPlateau("mAP50", factor=0.3, patience=0), strict=True)
    train(model, trainer=trainer_with(SCHEDULERS["StepLR"]), **ARGUMENTS)
    assert seen == [([0.01, 0.02, 0.03],) * 2] * (EPOCHS + 1)
    trainer = model.trainer
    assert type(trainer.scheduler) is S.StepLR
    assert not {"_setup_scheduler", "preprocess_batch"} & set(vars(trainer))
    trainer.scheduler.step()


def test_nothing_is_on_the_path_of_a_batch_after_the_warm_up(train, scripted):
    scripted(NEVER_BETTER)
    model, wrapped = YOLO(TINY), {}
    attach(model, ReduceLROnPlateau("mAP50", factor=0.3, patience=2))
    model.add_callback("on_train_batch_start", lambda t: wrapped.setdefault(t.epoch + 1, "preprocess_batch" in vars(t)))
    train(model, **{**ARGUMENTS, "warmup_epochs": 4.0})
    # the warm-up reaches into epoch 5; the reduction comes with epoch 4; older versions warm up for 100 batches
    newest = ULTRALYTICS >= (8, 4, 103)
    assert wrapped == {1: False, 2: False, 3: False, 4: False, 5: True, 6: not newest}


def test_a_run_without_the_callback_is_left_alone(train, scripted):
    scripted(NEVER_BETTER)
    model, kinds = YOLO(TINY), set()
    model.add_callback("on_train_epoch_end", lambda t: kinds.add(type(t.scheduler)))
    attach(model, EarlyStopping(patience=50), SaveBest("mAP50"))
    train(model, trainer=trainer_with(SCHEDULERS["SequentialLR"]), **ARGUMENTS)
    assert kinds == {S.SequentialLR}


def test_the_factors_of_several_multiply(train, scripted):
    """A floor is one for what the callbacks before have left: the logged factors are nevertheless those of the run."""
    rates = []
    for reduces in (False, True):
        scripted(NEVER_BETTER)
        model = YOLO(TINY)
        several = [
            ReduceLROnPlateau("mAP50", factor=0.5, patience=1),
            ReduceLROnPlateau("recall", factor=0.1, patience=2, min_lr=0.002),
        ]
        attach(model, *(several if reduces else []))
        rates.append(Rates(model))
        train(model, name=str(reduces), trainer=trainer_with(SCHEDULERS["StepLR"]), **ARGUMENTS)
    without, reduced = rates
    products = {epoch: logged["lr/scale"] * logged["lr/scale(recall)"] for epoch, logged in reduced.published.items()}
    highest = max(range(3), key=lambda index: without.batches[1][0][index])
    ratios = {
        epoch: batches[0][highest] / without.batches[epoch][0][highest] for epoch, batches in reduced.batches.items()
    }
    assert ratios == pytest.approx({1: 1.0, **{epoch + 1: products[epoch] for epoch in range(1, EPOCHS)}})
    assert products[5] < products[3] < 1.0


@pytest.mark.parametrize("optimizer", ["SGD", slow("AdamW")])
def test_a_decimal_floor_is_met_exactly(train, scripted, optimizer):
    scripted(NEVER_BETTER)
    model = YOLO(TINY)
    attach(model, ReduceLROnPlateau("mAP50", factor=0.6, patience=0, min_lr=0.007))
    rates = Rates(model)
    train(model, **{**ARGUMENTS, "optimizer": optimizer, "lr0": 0.012, "lrf": 1.0})
    assert [rates.batches[epoch][0][0] for epoch in (1, 2)] == [0.012, 0.012]
    assert [rates.batches[epoch][0] for epoch in (4, 5, 6)] == [[0.007] * 3] * 3  # 0.012 * (0.007 / 0.012) is less
    assert rates.scales[6] == pytest.approx(7 / 12)


class Unvalidated(Callback):
    """Leaves out validation in some epochs, as users do."""

    def on_train_epoch_start(self, trainer: Any) -> None:
        trainer.args.val = trainer.epoch % 2 == 0


def test_the_factor_is_logged_in_epochs_without_a_check(train, scripted):
    scripted(NEVER_BETTER)
    model = YOLO(TINY)
    attach(model, Unvalidated(), ReduceLROnPlateau("mAP50", factor=0.3, patience=0))
    rates = Rates(model)
    train(model, **ARGUMENTS)
    assert list(rates.published) == list(range(1, EPOCHS + 1))
    assert [logged["lr/scale"] for logged in rates.published.values()][:4] == pytest.approx([1.0, 1.0, 0.3, 0.3])


def test_as_a_plain_function(train, scripted):
    rates = []
    for reduces in (False, True):
        scripted(NEVER_BETTER)
        model = YOLO(TINY)
        plateau = ReduceLROnPlateau("mAP50", factor=0.3, patience=0, cooldown=1)
        if reduces:
            model.add_callback("on_fit_epoch_end", plateau.on_fit_epoch_end)
        rates.append(Rates(model))
        train(model, name=str(reduces), trainer=trainer_with(SCHEDULERS["StepLR"]), **ARGUMENTS)
    compare(*rates)
    assert plateau.reductions == [2, 4, 6]
    assert type(model.trainer.scheduler) is S.StepLR


def test_the_checkpoint_loads_without_the_library(train, scripted):
    """Its optimizer knows the factor; Ultralytics and torch do not mind."""
    scripted(NEVER_BETTER)
    model = YOLO(TINY)
    attach(model, ReduceLROnPlateau("mAP50", factor=0.3, patience=0, cooldown=1))
    trainer = trainer_with(SCHEDULERS["StepLR"])
    folder: Path = interrupted(train, model, 4, name="run", trainer=trainer, **ARGUMENTS)
    plain = YOLO(folder / "weights" / "last.pt")
    scripted(NEVER_BETTER)
    rates = Rates(plain)
    plain.train(trainer=trainer, resume=True)
    assert list(rates.batches) == [5, 6]
