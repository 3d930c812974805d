"""Trainers as users write them: those of Ultralytics' guides, and methods that are overridden in every way."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.optim import lr_scheduler
from ultralytics.models.yolo.classify import ClassificationTrainer
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.loss import v8DetectionLoss


def overriding(base: type = DetectionTrainer, /, **methods: Any) -> type:
    """A trainer with methods of its own; each gets the trainer, and reaches the one it replaces by `base`."""
    return type("OwnTrainer", (base,), methods)


def scripted(*results: dict[str, Any] | None, fitness: Any = ()) -> type:
    """A trainer that adds to the metrics of each epoch, or with `None` replaces all of them by none.

    Args:
        *results: What is added in the first epoch, in the second and so on, the last one to the end.
        fitness: The fitness of each epoch in the same way; what validation says where it is empty.
    """

    def validate(self: Any) -> Any:
        best = self.best_fitness
        metrics, value = DetectionTrainer.validate(self)
        if fitness:
            value = fitness[min(self.epoch, len(fitness) - 1)]
            self.best_fitness = max((each for each in (best, value) if each is not None), default=None)
        extra = results[min(self.epoch, len(results) - 1)] if results else {}
        return ({} if extra is None else {**metrics, **extra}), value

    return overriding(validate=validate)


def scheduled(make: Any) -> type:
    """A trainer with a scheduler of the user's own, made from the optimizer."""

    def setup(self: Any) -> None:
        DetectionTrainer._setup_scheduler(self)
        self.scheduler = make(self.optimizer)

    return overriding(_setup_scheduler=setup)


# Ultralytics' guide to custom trainers ------------------------------------------------------------------------------


class MetricsTrainer(DetectionTrainer):
    """Logs the F1 score of each epoch."""

    def validate(self) -> Any:
        metrics, fitness = super().validate()
        box = self.validator.metrics.box
        scores = np.asarray(box.f1)
        metrics["metrics/f1(B)"] = float(scores.mean()) if scores.size else 0.0
        return metrics, fitness


class WeightedLoss(v8DetectionLoss):
    """The loss of detection with a weight for each class."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        weights = torch.tensor([1.0, 3.0, 0.5])
        self.bce = torch.nn.BCEWithLogitsLoss(reduction="none", pos_weight=weights)


class WeightedModel(DetectionModel):
    """A model that trains with it."""

    def init_criterion(self) -> Any:
        return WeightedLoss(self)


class WeightedTrainer(DetectionTrainer):
    """Trains that model."""

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
        model = WeightedModel(cfg, nc=self.data["nc"], ch=self.data["channels"], verbose=False)
        if weights:
            model.load(weights)
        return model


class RecallTrainer(DetectionTrainer):
    """Saves the best model by another metric."""

    def validate(self) -> Any:
        best = self.best_fitness
        metrics, _ = super().validate()
        fitness = metrics["metrics/recall(B)"] + 0.1 * self.epoch
        self.best_fitness = fitness if best is None else max(best, fitness)
        return metrics, fitness


class FreezingTrainer(DetectionTrainer):
    """Freezes the backbone, and lets it go in the third epoch."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_callback("on_train_epoch_start", self._unfreeze)

    @staticmethod
    def _unfreeze(trainer: Any) -> None:
        if trainer.epoch == 2:
            trainer.freeze_layer_names = [".dfl"]
            for name, parameter in trainer.model.named_parameters():
                parameter.requires_grad = ".dfl" not in name


class PerLayerTrainer(DetectionTrainer):
    """Trains the backbone at a lower rate than the head."""

    def build_optimizer(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        parameters = list(model.named_parameters())
        backbone = [value for name, value in parameters if not name.startswith("model.2.")]
        head = [value for name, value in parameters if name.startswith("model.2.")]
        return torch.optim.AdamW([{"params": backbone, "lr": 1e-4}, {"params": head, "lr": 1e-2}], weight_decay=1e-4)


# Overridden methods ---------------------------------------------------------------------------------------------------


def save_without_return(self: Any) -> None:
    DetectionTrainer.save_model(self)


def save_own_best(self: Any) -> bool:
    """Saves another best by a rule of its own, under a name of its own."""
    saved = DetectionTrainer.save_model(self)
    if self.epoch % 2:
        (self.wdir / "mine.pt").write_bytes(self.last.read_bytes())
    return saved


def save_without_super(self: Any) -> bool:
    """Writes a checkpoint of its own form, no optimizer in it."""
    model = self.ema.ema
    content = {"epoch": self.epoch, "model": None, "ema": model, "optimizer": None, "train_args": vars(self.args)}
    torch.save(content, self.last)
    torch.save(content, self.best)
    return True


def save_every_second(self: Any) -> bool:
    return bool(self.epoch % 2) and DetectionTrainer.save_model(self)


def no_save(self: Any) -> None:
    """Writes nothing."""


def validate_every_second(self: Any) -> Any:
    """Gives the last numbers again in between."""
    if self.epoch % 2 == 0:
        self.kept = DetectionTrainer.validate(self)
    return dict(self.kept[0]), self.kept[1]


def validate_without_super(self: Any) -> Any:
    """Knows nothing of Ultralytics' validator."""
    fitness = 0.1 * (self.epoch + 1)
    self.best_fitness = fitness
    return {"accuracy": fitness}, fitness


def no_final_eval(self: Any) -> None:
    """Strips nothing and validates nothing."""


def final_eval_later(self: Any) -> None:
    """Calls the one it replaces, and looks at the result."""
    DetectionTrainer.final_eval(self)
    self.seen = self.metrics["metrics/mAP50(B)"]


def step_twice_as_often(self: Any) -> None:
    """Does without the clipping of gradients."""
    self.scaler.step(self.optimizer)
    self.scaler.update()
    self.optimizer.zero_grad()
    self.ema.update(self.model)


def get_dataset(self: Any) -> Any:
    data = DetectionTrainer.get_dataset(self)
    data["names"] = {index: f"own {name}" for index, name in data["names"].items()}
    return data


def plot_own(self: Any) -> None:
    """Plots by means of its own."""
    (self.save_dir / "own-plot.txt").write_text(self.csv.read_text().splitlines()[0])


def save_own_metrics(self: Any, metrics: dict[str, Any]) -> None:
    """Leaves out of results.csv what is no number."""
    numbers = {key: value for key, value in metrics.items() if isinstance(value, (int, float))}
    DetectionTrainer.save_metrics(self, numbers)


class ForgetfulTrainer(DetectionTrainer):
    """Has a constructor with other names, and attributes of its own that are like ours."""

    def __init__(self, config: Any = None, overrides: Any = None, _callbacks: Any = None) -> None:
        super().__init__(overrides=overrides, _callbacks=_callbacks)
        self.run = self.record = self.suite = self.state = None


class NoNumbers(DetectionTrainer):
    """Reports a text among its metrics."""

    save_metrics = save_own_metrics

    def validate(self) -> Any:
        metrics, fitness = super().validate()
        return {**metrics, "metrics/verdict": "good", "metrics/none": None, "metrics/list": [1, 2]}, fitness


class ClassifierOnTop(ClassificationTrainer):
    """Counts the top-1 accuracy as its fitness, and nothing else."""

    def validate(self) -> Any:
        metrics, _ = super().validate()
        return metrics, metrics["metrics/accuracy_top1"]


# Schedulers -----------------------------------------------------------------------------------------------------------


class OwnScheduler:
    """A scheduler that is none of torch's: it knows an optimizer and how to step."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer, self.last_epoch = optimizer, -1

    def step(self) -> None:
        self.last_epoch += 1
        for group in self.optimizer.param_groups:
            group["lr"] = 0.01 / (1 + self.last_epoch)


def sequential(optimizer: Any) -> Any:
    first, second = lr_scheduler.LinearLR(optimizer, 0.1, 1.0, 2), lr_scheduler.CosineAnnealingLR(optimizer, 4)
    return lr_scheduler.SequentialLR(optimizer, [first, second], [2])


def chained(optimizer: Any) -> Any:
    parts = lr_scheduler.LinearLR(optimizer, 0.1, 1.0, 2), lr_scheduler.ExponentialLR(optimizer, 0.9)
    return lr_scheduler.ChainedScheduler(list(parts), optimizer=optimizer)


def setup_without_super(self: Any) -> None:
    """Sets a scheduler and the function that Ultralytics' warm-up asks."""
    self.lf = lambda epoch: 0.5**epoch
    self.scheduler = lr_scheduler.LambdaLR(self.optimizer, lr_lambda=self.lf)


# Faults ---------------------------------------------------------------------------------------------------------------


class PoisonedOnce(DetectionTrainer):
    """Has a loss that is not a number, once, in the second epoch."""

    poisoned = False

    def preprocess_batch(self, batch: Any) -> Any:
        batch = super().preprocess_batch(batch)
        if self.epoch == 1 and not self.poisoned:
            self.poisoned = True
            batch["img"] = batch["img"] * float("nan")
        return batch


class PoisonedForGood(DetectionTrainer):
    """Has a loss that is not a number from the second epoch on."""

    def preprocess_batch(self, batch: Any) -> Any:
        batch = super().preprocess_batch(batch)
        return {**batch, "img": batch["img"] * float("nan")} if self.epoch else batch


class ShortOfMemory(DetectionTrainer):
    """Runs out of memory once, in the first epoch."""

    short = False

    def preprocess_batch(self, batch: Any) -> Any:
        if not self.short:
            self.short = True
            raise RuntimeError("CUDA out of memory")
        return super().preprocess_batch(batch)


class FailsInValidation(DetectionTrainer):
    """Fails in the second validation."""

    def validate(self) -> Any:
        if self.epoch == 1:
            raise OSError("the disk of the user's is gone")
        return super().validate()
